// What GlobalAveragePool, GlobalLpPool and GlobalMaxPool share: each channel of [N, C, spatial…] becomes one element.
#pragma once

#include "ops/accumulate.h"
#include "ops/dispatch.h"
#include "ops/op.h"

namespace cameo::ops {

// [N, C, 1, …] of the input's type.
Status infer_global_pool(InferContext& c);

// y[i] = pool(channel i, its elements); pool takes (const T*, int64_t) and gives compute_t<T>.
template <class Pool>
Status global_pool(KernelContext& c, const char* what, Pool pool) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  const int64_t planes = y.num_elements();
  if (planes == 0) return {};
  const int64_t size = x.num_elements() / planes;
  return dispatch_floats(x.dtype(), what, [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < planes; ++i) y.data<T>()[i] = static_cast<T>(pool(x.data<T>() + i * size, size));
    return {};
  });
}

}  // namespace cameo::ops
