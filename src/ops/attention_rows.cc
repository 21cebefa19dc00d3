#include "ops/attention_rows.h"

#include <cmath>
#include <limits>

#include "ops/accumulate.h"
#include "ops/dispatch.h"

namespace cameo::ops {
namespace {

// Callers have checked the type.
template <class Fn>
void for_number(DType type, Fn fn) {
  const Status status = dispatch_numbers(type, "attention", [&](auto tag) -> Status {
    fn(tag);
    return {};
  });
  static_cast<void>(status);
}

template <class Fn>
void for_float(DType type, Fn fn) {
  const Status status = dispatch_floats(type, "attention", [&](auto tag) -> Status {
    fn(tag);
    return {};
  });
  static_cast<void>(status);
}

}  // namespace

template <class C>
void load_row(DType type, const void* data, int64_t offset, int64_t n, C* to) {
  if (type == DType::kBool) {
    const bool* from = static_cast<const bool*>(data) + offset;
    for (int64_t i = 0; i < n; ++i) to[i] = from[i] ? C{1} : C{0};
    return;
  }
  for_number(type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = static_cast<const T*>(data) + offset;
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<C>(static_cast<compute_t<T>>(from[i]));
  });
}

template <class C>
void store_row(DType type, void* data, int64_t offset, int64_t n, const C* from) {
  for_float(type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = static_cast<T*>(data) + offset;
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(static_cast<compute_t<T>>(from[i]));
  });
}

template <class C>
void round_row(DType type, C* x, int64_t n) {
  if (type == dtype_of<C>() || type == DType::kFloat64) return;
  for_float(type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < n; ++i) x[i] = static_cast<C>(static_cast<compute_t<T>>(static_cast<T>(static_cast<compute_t<T>>(x[i]))));
  });
}

template <class C>
void softmax_row(DType precision, C* x, int64_t n) {
  constexpr C kInfinity = std::numeric_limits<C>::infinity();
  round_row(precision, x, n);
  C largest = -kInfinity;
  for (int64_t i = 0; i < n; ++i)
    if (!(x[i] <= largest) && largest == largest) largest = x[i];
  if (largest == -kInfinity) {
    std::fill_n(x, n, C{0});
    return;
  }
  for (int64_t i = 0; i < n; ++i) x[i] -= largest;
  round_row(precision, x, n);
  for (int64_t i = 0; i < n; ++i) x[i] = std::exp(x[i]);
  round_row(precision, x, n);
  C sum = sum_of<C>(x, n);
  round_row(precision, &sum, 1);
  for (int64_t i = 0; i < n; ++i) x[i] /= sum;
  round_row(precision, x, n);
}

template void load_row(DType, const void*, int64_t, int64_t, float*);
template void load_row(DType, const void*, int64_t, int64_t, double*);
template void store_row(DType, void*, int64_t, int64_t, const float*);
template void store_row(DType, void*, int64_t, int64_t, const double*);
template void round_row(DType, float*, int64_t);
template void round_row(DType, double*, int64_t);
template void softmax_row(DType, float*, int64_t);
template void softmax_row(DType, double*, int64_t);

Status check_head_groups(const ir::Dim& query_heads, const ir::Dim& kv_heads) {
  if (!query_heads.is_const() || !kv_heads.is_const()) return {};
  if (kv_heads.value() < 1 || query_heads.value() % kv_heads.value() != 0)
    return error(ErrorCode::kInvalidInput, "there are {} query heads for {} heads of keys and values; they must be a multiple",
                 query_heads.value(), kv_heads.value());
  return {};
}

}  // namespace cameo::ops
