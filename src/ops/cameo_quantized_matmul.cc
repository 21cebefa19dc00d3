// ai.cameo.QuantizedMatMul (1): X [..., k] of 8 bits times W, a packed k x n matrix of int8 (cameo_quantized.h).
#include <algorithm>

#include "ops/cameo_quantized.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<CameoQuantizedMatMulAttrs>();
  std::optional<ir::Shape> shape = c.shape(0);
  if (shape) {
    if (shape->empty()) return error(ErrorCode::kInvalidModel, "X is a scalar; it must have rank 1 or more");
    if (shape->back().is_const() && shape->back().value() != attrs.k)
      return error(ErrorCode::kInvalidInput, "X has shape {}, but W {} rows", ir::to_string(*shape), attrs.k);
    shape->back() = attrs.n;
  }
  CAMEO_ASSIGN(ir::Type type, infer_quantized(c, attrs, attrs.k, false, std::move(shape)));
  c.set_output(0, std::move(type));
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<CameoQuantizedMatMulAttrs>();
  CAMEO_TRY(check_quantized(attrs, attrs.k, false, c.input(1), c.input(2)));
  const Tensor& x = c.input(0);
  Dims dims = x.dims();
  dims[dims.rank() - 1] = attrs.n;
  const int64_t size = dims.num_elements(), k = attrs.k;
  if (size == 0) return {};
  const auto acc = c.scratch<int32_t>(size);
  const auto* w = c.input(1).data<int8_t>();
  const auto panel = c.scratch<int32_t>(k * 16);
  for (int64_t first = 0; first < attrs.n; first += 16) {
    unpack_panel(w, k, first / 16, panel.data());
    for (int64_t r = 0; r < size / attrs.n; ++r) {
      uint32_t sums[16] = {};
      add_products(x, r * k, k, attrs.x_zero, panel.data(), sums);
      std::copy_n(sums, std::min<int64_t>(16, attrs.n - first), acc.data() + r * attrs.n + first);
    }
  }
  return finish_quantized(c, attrs, dims, acc.data());
}

constexpr TypeSet kBytes = {DType::kUint8, DType::kInt8};

}  // namespace

CAMEO_DEFINE_OP(CameoQuantizedMatMul) = {
    .name = "QuantizedMatMul",
    .domain = kCameoDomain,
    .max_version = 1,
    .min_inputs = 3,
    .max_inputs = kVariadic,
    .input_types = {kBytes, {DType::kInt8}, {DType::kFloat32}, kBytes | TypeSet{DType::kFloat32}},
    .make_attrs = &ir::make_attrs<CameoQuantizedMatMulAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
