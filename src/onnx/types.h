// Types as ONNX files write them, as ir::Type.
#pragma once

#include <string>

#include "ir/type.h"
#include "onnx/model.h"

namespace cameo::onnx {

// A dim_param becomes a symbol. kInvalidModel for element types that do not exist, negative extents and products
// beyond 2^58; kUnsupported for maps, sparse tensors and opaque types. An unset part is unknown.
Result<ir::Type> to_type(const TypeProto& proto);

// "float32", "sequence(int64)", "optional(sequence(float32))": how attributes that are types reach an operator.
Result<std::string> to_type_text(const TypeProto& proto);
// The reverse; false when it is no such text.
bool parse_type_text(std::string_view text, TypeProto& proto);

}  // namespace cameo::onnx
