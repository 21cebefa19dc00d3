#include "ops/quantized_matmul.h"

#include <algorithm>

#include "ops/matmul.h"
#include "ops/matrix_product.h"

namespace cameo::ops {

Result<Dims> quant_strides(const Dims& parameter, const Dims& matrix, QuantSide side, const char* what) {
  if (parameter.num_elements() == 1) return Dims(matrix.rank(), 0);
  Dims dims = parameter;
  if (dims.rank() == 1 && side == QuantSide::kRows) dims.push_back(1);
  bool fits = dims.rank() <= matrix.rank();
  for (size_t i = 0; fits && i < dims.rank(); ++i) fits = dims[i] == 1 || dims[i] == matrix[matrix.rank() - dims.rank() + i];
  if (!fits)
    return error(ErrorCode::kInvalidInput, "{} has shape {}, which fits neither the whole of {} nor its {}", what, parameter.to_string(),
                 matrix.to_string(), side == QuantSide::kRows ? "rows" : "columns");
  return broadcast_strides(dims, matrix);
}

template <class Acc>
void multiply_batches(KernelContext& context, const Dims& a_dims, const Dims& b_dims, const Acc* a, const Acc* b, Acc* c) {
  const MatMulPlan plan = plan_matmul(a_dims, b_dims);
  const auto workspace = context.scratch<Acc>(gemm_workspace(plan.m, plan.n, plan.k));
  for_each_offset(plan.batch, {&plan.a_strides, &plan.b_strides}, [&](const int64_t* offset) {
    const MatrixView<Acc> left{a + offset[0] * plan.m * plan.k, plan.k, 1};
    const MatrixView<Acc> right{b + offset[1] * plan.k * plan.n, plan.n, 1};
    std::fill_n(c, plan.m * plan.n, Acc{});
    gemm<Acc, Acc>(plan.m, plan.n, plan.k, left, right, c, plan.n, workspace);
    c += plan.m * plan.n;
  });
}

template void multiply_batches<uint32_t>(KernelContext&, const Dims&, const Dims&, const uint32_t*, const uint32_t*, uint32_t*);
template void multiply_batches<float>(KernelContext&, const Dims&, const Dims&, const float*, const float*, float*);

}  // namespace cameo::ops
