// ai.cameo.QuantizedMatMul on the product of quantized_gemm.isa.cc: rows are read where they lie when their length is a multiple of 4.
#include <algorithm>
#include <cstring>

#include "backends/cpu/kernels/quantized_product.h"
#include "base/error.h"

namespace cameo::tactics {
namespace {

class MatrixRows final : public cpu::QuantizedRows {
 public:
  MatrixRows(const uint8_t* x, int64_t k) : x_(x), k_(k) {
    depth = (k + 3) / 4 * 4;
    pack_bytes = depth == k ? 0 : depth;
  }
  void locate(int64_t first, int64_t count, const uint8_t** pointers, uint8_t* pack) const override {
    for (int64_t i = 0; i < count; ++i) {
      pointers[i] = x_ + (first + i) * k_;
      if (pack_bytes == 0) continue;
      uint8_t* copy = pack + i * depth;
      std::memset(copy + depth - 4, 0, 4);
      std::memcpy(copy, pointers[i], static_cast<size_t>(k_));
      pointers[i] = copy;
    }
  }

 private:
  const uint8_t* x_;
  int64_t k_;
};

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  if (!facts[node.inputs[1]].constant.defined()) return refuse("the weight is not constant");
  return {};
}

Result<std::vector<Tensor>> prepack(const ir::Node& node, std::span<const ops::Fact> facts) {
  const auto& attrs = node.attrs_as<ops::CameoQuantizedMatMulAttrs>();
  return cpu::column_sums(facts[node.inputs[1]].constant, attrs.k, attrs.n, false);
}

Status run(ops::KernelContext& c) {
  const auto& attrs = c.attrs<ops::CameoQuantizedMatMulAttrs>();
  CAMEO_TRY(ops::check_quantized(attrs, attrs.k, false, c.input(1), c.input(2)));
  const Tensor& x = c.input(0);
  if ((x.dtype() != DType::kUint8 && x.dtype() != DType::kInt8) || x.rank() == 0 || x.dim(x.rank() - 1) != attrs.k)
    return error(ErrorCode::kInvalidPlan, "X is {} of shape {}, but W has {} rows", dtype_name(x.dtype()), x.dims().to_string(), attrs.k);
  const int64_t rows = Dims(x.dims().span().first(x.rank() - 1)).num_elements();
  const cpu::QuantizedInput input = cpu::quantized_input(c, attrs.x_zero);
  return cpu::run_quantized(c, attrs, c.input(1), rows, input.zero, false, MatrixRows(input.data, attrs.k));
}

}  // namespace

CAMEO_DEFINE_TACTIC(quantized_matmul) = {
    .name = "quantized_matmul",
    .op = "QuantizedMatMul",
    .domain = "ai.cameo",
    .supports = &supports,
    .prepack = &prepack,
    .run = &run,
};

}  // namespace cameo::tactics
