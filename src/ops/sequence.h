// What the operators on sequences share.
#pragma once

#include <span>

#include "ops/op.h"

namespace cameo::ops {

// The type of the elements of input i; unknown when the input's type is. An error when the input is no sequence.
Result<ir::Type> element_type(const InferContext& context, size_t i);

// The elements of input i.
Result<std::span<const RtValue>> sequence_elements(const KernelContext& context, size_t i);

// A position given by a one-element index tensor: negative ones count from the end; allowed are [-size, size - 1], and also
// `size` itself when `past_end`.
Result<size_t> sequence_position(const Tensor& position, size_t size, bool past_end);

// The same value in memory that lives as long as it is referred to: what a view has is copied.
Result<RtValue> owning(const RtValue& value);

// The element type of a sequence's tensors: that of its elements, or what the empty sequence was made for.
DType sequence_dtype(const RtValue& sequence);

}  // namespace cameo::ops
