// MatMul (ai.onnx 1, 9, 13): the matrix product as numpy.matmul has it: the last two extents are matrices, those before
// them broadcast; an operand of rank 1 is a row on the left, a column on the right, and its extent vanishes.
// 16-bit floats are multiplied and added in float; integers wrap around.
#include "ops/matmul.h"

#include <algorithm>

#include "ops/dispatch.h"
#include "ops/matrix_product.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  if (c.dtype(0) != DType::kUndefined && c.dtype(1) != DType::kUndefined && c.dtype(0) != c.dtype(1))
    return error(ErrorCode::kInvalidModel, "input 1 is {}, but both inputs must be of one type and the first is {}", dtype_name(c.dtype(1)),
                 dtype_name(c.dtype(0)));
  ir::Type output = ir::Type::tensor(c.dtype(0));
  if (c.shape(0) && c.shape(1)) {
    CAMEO_ASSIGN(output.shape, matmul_shape(*c.shape(0), *c.shape(1)));
  }
  c.set_output(0, std::move(output));
  return {};
}

template <class T, class Acc>
Status multiply(KernelContext& c) {
  const Tensor& a = c.input(0);
  const Tensor& b = c.input(1);
  Tensor& y = c.output(0);
  const MatMulPlan plan = plan_matmul(a.dims(), b.dims());
  const auto workspace = c.scratch<Acc>(gemm_workspace(plan.m, plan.n, plan.k));
  const int64_t size = plan.m * plan.n;
  Acc* sums = y.data<Acc>();
  if constexpr (!std::is_same_v<T, Acc>) sums = c.scratch<Acc>(size).data();
  int64_t at = 0;
  for_each_offset(plan.batch, {&plan.a_strides, &plan.b_strides}, [&](const int64_t* offset) {
    const MatrixView<T> left{a.data<T>() + offset[0] * plan.m * plan.k, plan.k, 1};
    const MatrixView<T> right{b.data<T>() + offset[1] * plan.k * plan.n, plan.n, 1};
    Acc* to = std::is_same_v<T, Acc> ? sums + at : sums;
    std::fill_n(to, size, Acc{});
    gemm<T, Acc>(plan.m, plan.n, plan.k, left, right, to, plan.n, workspace);
    if constexpr (!std::is_same_v<T, Acc>) std::transform(to, to + size, y.data<T>() + at, [](Acc x) { return static_cast<T>(x); });
    at += size;
  });
  return {};
}

Status reference(KernelContext& c) {
  if (c.output(0).num_elements() == 0) return {};
  switch (c.input(0).dtype()) {
    case DType::kFloat32:
      return multiply<float, float>(c);
    case DType::kFloat64:
      return multiply<double, double>(c);
    case DType::kFloat16:
      return multiply<Float16, float>(c);
    case DType::kBfloat16:
      return multiply<Bfloat16, float>(c);
    case DType::kInt32:
    case DType::kUint32:
      return multiply<uint32_t, uint32_t>(c);
    default:
      return multiply<uint64_t, uint64_t>(c);
  }
}

}  // namespace

CAMEO_DEFINE_OP(MatMul) = {
    .name = "MatMul",
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kFloatTypes | TypeSet{DType::kInt32, DType::kInt64, DType::kUint32, DType::kUint64}},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
