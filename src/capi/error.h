// Errors of the C interface: kept per thread.
#pragma once

#include <new>

#include "cameo/error.h"

namespace cameo::capi {

// Keeps the error for cameo_last_error() and gives its code.
int32_t fail(const Error& error);
int32_t fail(ErrorCode code, const char* message);

inline int32_t done(const Status& status) { return status.ok() ? 0 : fail(status.error()); }

// No exception crosses the C interface.
template <class Fn>
int32_t guarded(Fn fn) {
  try {
    return fn();
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kOutOfMemory, "out of memory");
  }
}

}  // namespace cameo::capi
