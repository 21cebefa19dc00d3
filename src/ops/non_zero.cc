// NonZero (ai.onnx 9, 13): the indices of the elements that are not zero (not the empty string), in row-major order, as
// int64[rank, count]; for a scalar the first extent is 0.
#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

// Calls fn(i) for each element that is not zero; -0.0 is zero.
template <class Fn>
Status for_each_nonzero(const Tensor& x, Fn fn) {
  const auto visit = [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    const T* at = x.data<T>();
    for (int64_t i = 0, n = x.num_elements(); i < n; ++i) {
      if constexpr (std::is_same_v<T, std::string>) {
        if (!at[i].empty()) fn(i);
      } else {
        if (static_cast<compute_t<T>>(at[i]) != compute_t<T>{}) fn(i);
      }
    }
    return {};
  };
  switch (x.dtype()) {
    case DType::kString:
      return visit(TypeTag<std::string>{});
    case DType::kBool:
      return visit(TypeTag<uint8_t>{});
    case DType::kComplex64:
      return visit(TypeTag<Complex64>{});
    case DType::kComplex128:
      return visit(TypeTag<Complex128>{});
    default:
      return dispatch_numbers(x.dtype(), "NonZero", visit);
  }
}

Status infer(InferContext& c) {
  ir::Shape out(2);
  if (c.shape(0)) out[0] = static_cast<int64_t>(c.shape(0)->size());
  if (const Tensor* x = c.constant(0)) {
    int64_t count = 0;
    CAMEO_TRY(for_each_nonzero(*x, [&](int64_t) { ++count; }));
    out[1] = count;
  }
  c.set_output(0, DType::kInt64, std::move(out));
  return {};
}

// A mask, the usual case, without a branch for each element.
Status list_true(KernelContext& c, const Tensor& x) {
  const uint8_t* mask = x.data<uint8_t>();
  const int64_t n = x.num_elements();
  int64_t count = 0, found = 0;
  for (int64_t i = 0; i < n; ++i) count += mask[i] != 0;
  CAMEO_TRY(c.allocate_output(0, DType::kInt64, {1, count}));
  int64_t* to = c.output(0).data<int64_t>();
  for (int64_t i = 0; found < count; ++i) {
    to[found] = i;
    found += mask[i] != 0;
  }
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  if (x.dtype() == DType::kBool && x.rank() == 1) return list_true(c, x);
  int64_t count = 0;
  CAMEO_TRY(for_each_nonzero(x, [&](int64_t) { ++count; }));
  const auto rank = static_cast<int64_t>(x.rank());
  CAMEO_TRY(c.allocate_output(0, DType::kInt64, {rank, count}));
  int64_t* to = c.output(0).data<int64_t>();
  int64_t column = 0;
  return for_each_nonzero(x, [&](int64_t i) {
    for (int64_t axis = rank; axis-- > 0; i /= x.dim(static_cast<size_t>(axis)))
      to[axis * count + column] = i % x.dim(static_cast<size_t>(axis));
    ++column;
  });
}

}  // namespace

CAMEO_DEFINE_OP(NonZero) = {
    .name = "NonZero",
    .min_version = 9,
    .infer = &infer,
    .reference = &reference,
    .flags = kDataDependent,
};

}  // namespace cameo::ops
