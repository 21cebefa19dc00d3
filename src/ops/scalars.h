// Numbers that operators take as one-element tensors.
#pragma once

#include "ops/dispatch.h"
#include "ops/op.h"

namespace cameo::ops {

// The one element of a number tensor, as an int64 or double; the error names the input as `what`.
template <class R>
Result<R> read_scalar(const Tensor& tensor, const char* what) {
  if (tensor.num_elements() != 1)
    return error(ErrorCode::kInvalidInput, "{} has shape {}; it must be one number", what, tensor.dims().to_string());
  R value = 0;
  CAMEO_TRY(dispatch_numbers(tensor.dtype(), what, [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    value = static_cast<R>(static_cast<compute_t<T>>(tensor.data<T>()[0]));
    return {};
  }));
  return value;
}

}  // namespace cameo::ops
