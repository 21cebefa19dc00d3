#include "ops/scatter_update.h"

#include <algorithm>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

template <class T, class F>
void combine(const void* from, void* to, int64_t count, F f) {
  using C = compute_t<T>;
  const auto* a = static_cast<const T*>(from);
  auto* b = static_cast<T*>(to);
  for (int64_t i = 0; i < count; ++i) b[i] = static_cast<T>(f(static_cast<C>(b[i]), static_cast<C>(a[i])));
}

// Integers wrap around: unsigned arithmetic, as signed overflow is undefined and small types would be promoted to int.
template <class C, class F>
C wrapping(C a, C b, F f) {
  if constexpr (std::is_integral_v<C>)
    return static_cast<C>(f(static_cast<uint64_t>(a), static_cast<uint64_t>(b)));
  else
    return f(a, b);
}

template <class T>
Result<CombineFn> arithmetic(const std::string& reduction) {
  using C = compute_t<T>;
  if (reduction == "add")
    return CombineFn([](const void* from, void* to, int64_t n) {
      combine<T>(from, to, n, [](C a, C b) { return wrapping(a, b, [](auto x, auto y) { return x + y; }); });
    });
  if (reduction == "mul")
    return CombineFn([](const void* from, void* to, int64_t n) {
      combine<T>(from, to, n, [](C a, C b) { return wrapping(a, b, [](auto x, auto y) { return x * y; }); });
    });
  // a != a: the element is NaN already and stays.
  if (reduction == "max")
    return CombineFn(
        [](const void* from, void* to, int64_t n) { combine<T>(from, to, n, [](C a, C b) { return a > b || a != a ? a : b; }); });
  return CombineFn(
      [](const void* from, void* to, int64_t n) { combine<T>(from, to, n, [](C a, C b) { return a < b || a != a ? a : b; }); });
}

}  // namespace

Status check_reduction(const std::string& reduction, int version) {
  const bool known = reduction == "none" || (version >= 16 && (reduction == "add" || reduction == "mul")) ||
                     (version >= 18 && (reduction == "max" || reduction == "min"));
  if (!known)
    return error(ErrorCode::kInvalidModel, "reduction is '{}'; allowed: none, add and mul (from version 16), max and min (from 18)",
                 reduction);
  return {};
}

Result<CombineFn> combine_function(const std::string& reduction, DType type, int version) {
  CAMEO_TRY(check_reduction(reduction, version));
  CombineFn fn = nullptr;
  const auto choose = [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    if (reduction == "none") {
      fn = [](const void* from, void* to, int64_t n) { std::copy_n(static_cast<const T*>(from), n, static_cast<T*>(to)); };
      return {};
    }
    if constexpr (std::is_same_v<T, Complex128> || std::is_same_v<T, std::string>) {
      return error(ErrorCode::kUnsupported, "reduction '{}' does not take {}", reduction, dtype_name(type));
    } else {
      CAMEO_ASSIGN(fn, arithmetic<T>(reduction));
      return {};
    }
  };
  CAMEO_TRY(reduction == "none" ? dispatch_storage(type, "Scatter", choose) : dispatch_numbers(type, "A reduction", choose));
  return fn;
}

Status infer_scatter_elements(InferContext& c, int64_t axis_attribute) {
  CAMEO_TRY(check_same_dtype(c, {0, 2}));
  c.set_output(0, c.input(0));
  if (c.shape(1) && c.shape(2)) {
    CAMEO_TRY(check_rank(c, 2, c.shape(1)->size(), "the updates"));
    for (size_t i = 0; i < c.shape(1)->size(); ++i) CAMEO_TRY(agree((*c.shape(1))[i], (*c.shape(2))[i], "extents of the updates"));
  }
  if (!c.shape(0)) return {};
  const ir::Shape& data = *c.shape(0);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(axis_attribute, data.size()));
  CAMEO_TRY(check_rank(c, 1, data.size(), "the indices"));
  if (!c.shape(1)) return {};
  for (size_t i = 0; i < data.size(); ++i) {
    const ir::Dim& n = (*c.shape(1))[i];
    if (i != axis && n.is_const() && data[i].is_const() && n.value() > data[i].value())
      return error(ErrorCode::kInvalidInput, "indices have the extent {} along axis {}, but the data has only {}", n.value(), i,
                   data[i].value());
  }
  return {};
}

Status scatter_elements(KernelContext& c, int64_t axis_attribute, const std::string& reduction) {
  const Tensor &x = c.input(0), &indices = c.input(1), &updates = c.input(2);
  Tensor& y = c.output(0);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(axis_attribute, x.rank()));
  CAMEO_ASSIGN(const CombineFn combine, combine_function(reduction, x.dtype(), c.version()));
  const auto at = c.scratch<int64_t>(indices.num_elements());
  CAMEO_TRY(read_indices(indices, x.dim(axis), at));
  CAMEO_TRY(copy_input(c));
  Dims read = strides_of(indices.dims()), written = strides_of(y.dims());
  const int64_t step = written[axis];
  written[axis] = 0;
  for_each_offset(indices.dims(), {&read, &written}, [&](const int64_t* offset) {
    combine(address(updates, offset[0]), address(y, offset[1] + at[static_cast<size_t>(offset[0])] * step), 1);
  });
  return {};
}

}  // namespace cameo::ops
