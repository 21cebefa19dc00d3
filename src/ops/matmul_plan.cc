#include "ops/matmul.h"

namespace cameo::ops {

Result<ir::Shape> matmul_shape(const ir::Shape& a, const ir::Shape& b) {
  if (a.empty() || b.empty()) return error(ErrorCode::kInvalidModel, "a matrix product needs operands of rank 1 or more, not a scalar");
  const ir::Dim& inner_a = a.back();
  const ir::Dim& inner_b = b.size() == 1 ? b[0] : b[b.size() - 2];
  if (inner_a.is_const() && inner_b.is_const() && !(inner_a == inner_b))
    return error(ErrorCode::kInvalidInput, "{} and {} cannot be multiplied: {} columns against {} rows", ir::to_string(a), ir::to_string(b),
                 inner_a.to_string(), inner_b.to_string());
  const auto batch = [](const ir::Shape& s) {
    return ir::Shape(s.begin(), s.end() - static_cast<ptrdiff_t>(std::min<size_t>(s.size(), 2)));
  };
  CAMEO_ASSIGN(ir::Shape shape, broadcast(batch(a), batch(b)));
  if (a.size() > 1) shape.push_back(a[a.size() - 2]);
  if (b.size() > 1) shape.push_back(b.back());
  return shape;
}

MatMulPlan plan_matmul(const Dims& a, const Dims& b) {
  MatMulPlan plan;
  plan.k = a.back();
  if (a.rank() > 1) plan.m = a[a.rank() - 2];
  if (b.rank() > 1) plan.n = b.back();
  const auto batch = [](const Dims& d) { return Dims(d.span().first(d.rank() > 2 ? d.rank() - 2 : 0)); };
  const Dims batch_a = batch(a), batch_b = batch(b);
  if (batch_b.num_elements() == 1 && batch_a.rank() >= batch_b.rank()) {
    plan.m *= batch_a.num_elements();
    return plan;
  }
  plan.batch = Dims(std::max(batch_a.rank(), batch_b.rank()), 1);
  for (size_t i = 0; i < plan.batch.rank(); ++i) {
    const auto extent = [&](const Dims& d) { return i + d.rank() < plan.batch.rank() ? 1 : d[i + d.rank() - plan.batch.rank()]; };
    plan.batch[i] = extent(batch_a) == 1 ? extent(batch_b) : extent(batch_a);
  }
  plan.a_strides = broadcast_strides(batch_a, plan.batch);
  plan.b_strides = broadcast_strides(batch_b, plan.batch);
  return plan;
}

}  // namespace cameo::ops
