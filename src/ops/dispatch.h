// Calls a generic lambda with the C++ type that stands for an element type.
#pragma once

#include <string>

#include "base/error.h"
#include "base/numeric.h"
#include "cameo/types.h"

namespace cameo::ops {

template <class T>
struct TypeTag {
  using type = T;
};

#define CAMEO_CASE(dtype, cpp) \
  case DType::dtype:           \
    return fn(TypeTag<cpp>{});

// fn(tag) returns Status; `using T = typename decltype(tag)::type`. Other types are an error that names `what`.
template <class Fn>
Status dispatch_floats(DType type, const char* what, Fn&& fn) {
  switch (type) {
    CAMEO_CASE(kFloat32, float)
    CAMEO_CASE(kFloat64, double)
    CAMEO_CASE(kFloat16, Float16)
    CAMEO_CASE(kBfloat16, Bfloat16)
    default:
      return error(ErrorCode::kUnsupported, "{} does not take {}", what, dtype_name(type));
  }
}

template <class Fn>
Status dispatch_integers(DType type, const char* what, Fn&& fn) {
  switch (type) {
    CAMEO_CASE(kInt8, int8_t)
    CAMEO_CASE(kInt16, int16_t)
    CAMEO_CASE(kInt32, int32_t)
    CAMEO_CASE(kInt64, int64_t)
    CAMEO_CASE(kUint8, uint8_t)
    CAMEO_CASE(kUint16, uint16_t)
    CAMEO_CASE(kUint32, uint32_t)
    CAMEO_CASE(kUint64, uint64_t)
    default:
      return error(ErrorCode::kUnsupported, "{} does not take {}", what, dtype_name(type));
  }
}

template <class Fn>
Status dispatch_numbers(DType type, const char* what, Fn&& fn) {
  switch (type) {
    CAMEO_CASE(kFloat32, float)
    CAMEO_CASE(kFloat64, double)
    CAMEO_CASE(kFloat16, Float16)
    CAMEO_CASE(kBfloat16, Bfloat16)
    default:
      return dispatch_integers(type, what, fn);
  }
}

// By the element's size alone, for operators that only move elements: uint8_t, uint16_t, uint32_t, uint64_t,
// Complex128 for 16 bytes, std::string.
template <class Fn>
Status dispatch_storage(DType type, const char* what, Fn&& fn) {
  if (type == DType::kString) return fn(TypeTag<std::string>{});
  switch (dtype_size(type)) {
    case 1:
      return fn(TypeTag<uint8_t>{});
    case 2:
      return fn(TypeTag<uint16_t>{});
    case 4:
      return fn(TypeTag<uint32_t>{});
    case 8:
      return fn(TypeTag<uint64_t>{});
    case 16:
      return fn(TypeTag<Complex128>{});
    default:
      return error(ErrorCode::kUnsupported, "{} does not take {}", what, dtype_name(type));
  }
}

#undef CAMEO_CASE

}  // namespace cameo::ops
