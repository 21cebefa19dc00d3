// Types of values at run time.
#pragma once

#include "ops/op.h"

namespace cameo::ops {

// The type of a value: exact for tensors; of a sequence or optional, what all its elements have in common.
ir::Type type_of(const RtValue& value);

}  // namespace cameo::ops
