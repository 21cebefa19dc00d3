// MatMulInteger (ai.onnx 10): the matrix product of 8-bit integers less their zero points, in int32 (modulo 2^32). A zero
// point is one number, or one a row of A or a column of B. Shapes are those of MatMul.
#include "ops/matmul.h"
#include "ops/quantized_matmul.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  for (size_t i = 2; i < 4; ++i)
    if (c.has_input(i) && c.dtype(i) != DType::kUndefined && c.dtype(i - 2) != DType::kUndefined && c.dtype(i) != c.dtype(i - 2))
      return error(ErrorCode::kInvalidModel, "{} is {}, but its matrix is {}", i == 2 ? "a_zero_point" : "b_zero_point",
                   dtype_name(c.dtype(i)), dtype_name(c.dtype(i - 2)));
  ir::Type output = ir::Type::tensor(DType::kInt32);
  if (c.shape(0) && c.shape(1)) {
    CAMEO_ASSIGN(output.shape, matmul_shape(*c.shape(0), *c.shape(1)));
  }
  c.set_output(0, std::move(output));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor none;
  const Tensor& a = c.input(0);
  const Tensor& b = c.input(1);
  CAMEO_ASSIGN(const auto left, without_zero_point<uint32_t>(c, a, c.has_input(2) ? c.input(2) : none, QuantSide::kRows, "a_zero_point"));
  CAMEO_ASSIGN(const auto right,
               without_zero_point<uint32_t>(c, b, c.has_input(3) ? c.input(3) : none, QuantSide::kColumns, "b_zero_point"));
  if (c.output(0).num_elements() > 0) multiply_batches(c, a.dims(), b.dims(), left.data(), right.data(), c.output(0).data<uint32_t>());
  return {};
}

constexpr TypeSet kBytes = {DType::kInt8, DType::kUint8};

}  // namespace

CAMEO_DEFINE_OP(MatMulInteger) = {
    .name = "MatMulInteger",
    .min_version = 10,
    .min_inputs = 2,
    .max_inputs = 4,
    .input_types = {kBytes},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
