// Types as ONNX files write them, as ir::Type.
#pragma once

#include "ir/type.h"
#include "onnx/model.h"

namespace cameo::onnx {

// A dim_param becomes a symbol. kInvalidModel for element types that do not exist, negative extents and products
// beyond 2^58; kUnsupported for maps, sparse tensors and opaque types. An unset part is unknown.
Result<ir::Type> to_type(const TypeProto& proto);

}  // namespace cameo::onnx
