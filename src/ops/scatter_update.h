// What ScatterElements and ScatterND share: how an update is combined with the element it meets.
#pragma once

#include "ops/op.h"

namespace cameo::ops {

// to[i] = to[i] combined with from[i]; either pointer is to elements of the type it was asked for.
using CombineFn = void (*)(const void* from, void* to, int64_t count);

// The function of a reduction: none, add, mul, and from version 18 max and min. NaN wins over numbers in max and min.
Result<CombineFn> combine_function(const std::string& reduction, DType type, int version);
// Whether the version knows the reduction; for infer().
Status check_reduction(const std::string& reduction, int version);

// infer() and reference() of ScatterElements and of Scatter, its name in versions 9 and 10.
Status infer_scatter_elements(InferContext& context, int64_t axis);
Status scatter_elements(KernelContext& context, int64_t axis, const std::string& reduction);

}  // namespace cameo::ops
