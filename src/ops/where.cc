// Where (ai.onnx 9, 16): x where the condition is true, y elsewhere; all three broadcast.
#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  if (c.dtype(1) != DType::kUndefined && c.dtype(2) != DType::kUndefined && c.dtype(1) != c.dtype(2))
    return error(ErrorCode::kInvalidModel, "X is {}, but Y is {}; they must be of one type", dtype_name(c.dtype(1)),
                 dtype_name(c.dtype(2)));
  ir::Type output = ir::Type::tensor(c.dtype(1) != DType::kUndefined ? c.dtype(1) : c.dtype(2));
  if (c.shape(0) && c.shape(1) && c.shape(2)) {
    CAMEO_ASSIGN(const ir::Shape both, broadcast(*c.shape(1), *c.shape(2)));
    CAMEO_ASSIGN(output.shape, broadcast(*c.shape(0), both));
  }
  c.set_output(0, std::move(output));
  // Shape arithmetic: Where(shape == -1, 1, shape).
  auto x = c.values(1), y = c.values(2), condition = c.values(0);
  if (const Tensor* known = c.constant(0); known && known->rank() <= 1 && known->num_elements() <= 1024) {
    condition.emplace();
    for (bool b : known->span<bool>()) condition->push_back(b ? 1 : 0);
  }
  if (!x || !y || !condition) return {};
  const size_t n = std::max({x->size(), y->size(), condition->size()});
  ir::Shape values;
  for (size_t i = 0; i < n; ++i) {
    const auto pick = [i, n](const ir::Shape& s) { return s.size() == n ? s[i] : s.size() == 1 ? s[0] : ir::Dim::unknown(); };
    const ir::Dim which = pick(*condition), a = pick(*x), b = pick(*y);
    values.push_back(which.is(1) || a == b ? a : which.is(0) ? b : ir::Dim::unknown());
  }
  if (!x->empty() && !y->empty() && !condition->empty()) c.set_values(0, std::move(values));
  return {};
}

template <class T>
void select(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& z) {
  const bool* pc = condition.data<bool>();
  const T* pa = a.data<T>();
  const T* pb = b.data<T>();
  T* pz = z.data<T>();
  if (z.num_elements() == 0) return;
  Dims rows = z.dims();
  Dims sc = broadcast_strides(condition.dims(), rows), sa = broadcast_strides(a.dims(), rows), sb = broadcast_strides(b.dims(), rows);
  int64_t inner = 1, step_c = 0, step_a = 0, step_b = 0;
  if (rows.rank() > 0) {
    inner = rows.back(), step_c = sc.back(), step_a = sa.back(), step_b = sb.back();
    for (Dims* d : {&rows, &sc, &sa, &sb}) d->erase(d->rank() - 1);
  }
  for_each_offset(rows, {&sc, &sa, &sb}, [&](const int64_t* offset) {
    const bool* rc = pc + offset[0];
    const T* ra = pa + offset[1];
    const T* rb = pb + offset[2];
    for (int64_t i = 0; i < inner; ++i) *pz++ = rc[i * step_c] ? ra[i * step_a] : rb[i * step_b];
  });
}

Status reference(KernelContext& c) {
  return dispatch_storage(c.output(0).dtype(), "Where", [&](auto tag) -> Status {
    select<typename decltype(tag)::type>(c.input(0), c.input(1), c.input(2), c.output(0));
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Where) = {
    .name = "Where",
    .min_version = 9,
    .min_inputs = 3,
    .max_inputs = 3,
    .input_types = {kBoolType, kAllTypes, kAllTypes},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
