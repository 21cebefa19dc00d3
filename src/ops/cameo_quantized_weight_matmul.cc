// ai.cameo.QuantizedWeightMatMul (1): y = program(A · W, e1, …, ek), where A is float32 [..., k] and W a k x n matrix of 4, 8 or 16
// bits (cameo_quantized_weight.h). Inputs: A, values, scales (absent for 16 bits), zero points or offsets (optional), e1 to ek, which
// broadcast to the product. With `splits` there is one output per number: that many columns of y, from the left.
#include "ops/cameo_quantized_weight_matmul.h"

#include <algorithm>

namespace cameo::ops {
namespace {

Status check_splits(const CameoQuantizedWeightMatMulAttrs& attrs, size_t num_outputs) {
  if (num_outputs != std::max<size_t>(attrs.splits.size(), 1))
    return error(ErrorCode::kInvalidModel, "the node has {} outputs, but splits asks for {}", num_outputs,
                 std::max<size_t>(attrs.splits.size(), 1));
  int64_t sum = 0;
  for (int64_t columns : attrs.splits) {
    if (columns < 0 || columns > attrs.n) return error(ErrorCode::kInvalidModel, "splits holds {}, and W has {} columns", columns, attrs.n);
    sum += columns;
  }
  if (!attrs.splits.empty() && sum != attrs.n)
    return error(ErrorCode::kInvalidModel, "the product has {} columns, but splits has {}", attrs.n, sum);
  return {};
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<CameoQuantizedWeightMatMulAttrs>();
  QuantizedWeightTensors weight;
  bool known = true;
  const auto tensor = [&](size_t i) {
    if (!c.has_input(i)) return Tensor();
    const auto dims = c.shape(i) ? ir::to_dims(*c.shape(i)) : std::nullopt;
    if (!dims || c.dtype(i) == DType::kUndefined) known = false;
    return dims ? Tensor::view(c.dtype(i), *dims, nullptr) : Tensor();
  };
  weight = {tensor(1), tensor(2), tensor(3)};
  if (known) CAMEO_TRY(check_quantized_weight(attrs, weight));
  CAMEO_TRY(check_splits(attrs, c.num_outputs()));
  std::optional<ir::Shape> shape = c.shape(0);
  if (shape) {
    if (shape->empty()) return error(ErrorCode::kInvalidModel, "A is a scalar; it must have rank 1 or more");
    if (shape->back().is_const() && shape->back().value() != attrs.k)
      return error(ErrorCode::kInvalidInput, "A has shape {}, but the weight {} rows", ir::to_string(*shape), attrs.k);
    shape->back() = attrs.n;
  }
  CAMEO_TRY(check_epilogue(c, attrs, kQuantizedWeightOperands, shape));
  for (size_t i = 0; i < c.num_outputs(); ++i) {
    ir::Type type = ir::Type::tensor(DType::kFloat32);
    type.shape = shape;
    if (shape && !attrs.splits.empty()) type.shape->back() = attrs.splits[i];
    c.set_output(i, std::move(type));
  }
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<CameoQuantizedWeightMatMulAttrs>();
  CAMEO_ASSIGN(const QuantizedWeightTensors weight, quantized_weight_of(c));
  const Tensor& a = c.input(0);
  const int64_t k = attrs.k, n = attrs.n;
  Dims dims = a.dims();
  dims[dims.rank() - 1] = n;
  if (dims.num_elements() == 0) return {};
  const int64_t rows = dims.num_elements() / n;
  float* y = attrs.splits.empty() ? c.output(0).data<float>() : c.scratch<float>(rows * n).data();
  const auto column = c.scratch<float>(k);
  for (int64_t j = 0; j < n; ++j) {
    if (j % 256 == 0) CAMEO_TRY(c.check_cancelled());
    for (int64_t i = 0; i < k; ++i) column[static_cast<size_t>(i)] = dequantized(attrs, weight, i, j);
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = a.data<float>() + r * k;
      float sum = 0;
      for (int64_t i = 0; i < k; ++i) sum += row[i] * column[static_cast<size_t>(i)];
      y[r * n + j] = sum;
    }
  }
  CAMEO_TRY(apply_epilogue(c, attrs, kQuantizedWeightOperands, dims, y));
  const float* from = y;
  for (size_t i = 0; i < attrs.splits.size(); from += attrs.splits[i++]) {
    if (!c.has_output(i)) continue;
    float* part = c.output(i).data<float>();
    for (int64_t r = 0; r < rows; ++r) std::copy_n(from + r * n, attrs.splits[i], part + r * attrs.splits[i]);
  }
  return {};
}

constexpr TypeSet kFloat = {DType::kFloat32};

}  // namespace

Result<QuantizedWeightTensors> quantized_weight_of(KernelContext& c) {
  const auto tensor = [&](size_t i) { return c.has_input(i) ? c.input(i) : Tensor(); };
  QuantizedWeightTensors weight = {tensor(1), tensor(2), tensor(3)};
  CAMEO_TRY(check_quantized_weight(c.attrs<CameoQuantizedWeightMatMulAttrs>(), weight));
  return weight;
}

CAMEO_DEFINE_OP(CameoQuantizedWeightMatMul) = {
    .name = "QuantizedWeightMatMul",
    .domain = kCameoDomain,
    .max_version = 1,
    .min_inputs = 2,
    .max_inputs = kVariadic,
    .max_outputs = kVariadic,
    .input_types = {kFloat,
                    {DType::kUint8, DType::kFloat16, DType::kBfloat16},
                    {DType::kFloat32, DType::kFloat16},
                    {DType::kUint8, DType::kFloat32, DType::kFloat16},
                    kFloat},
    .make_attrs = &ir::make_attrs<CameoQuantizedWeightMatMulAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
