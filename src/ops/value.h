// Types of values at run time.
#pragma once

#include "ops/op.h"

namespace cameo::ops {

// The type of a value: exact for tensors; of a sequence or optional, what all its elements have in common.
ir::Type type_of(const RtValue& value);

// At run time inference knows all inputs, so an output that is still open has to be one that its kernel makes itself
// (kDataDependent, kControlFlow, sequences). Any other node breaks its operator's rules, and its kernel must not run.
Status check_settled(const ir::Node& node, size_t output, const ir::Type& type);

}  // namespace cameo::ops
