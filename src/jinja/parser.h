// Tokens of a template to its tree.
#pragma once

#include <string_view>

#include "jinja/ast.h"

namespace cameo::jinja {

// Errors: kInvalidModel with the line; kUnsupported for statements that need other templates (include, import, extends, block).
Result<Body> parse(std::string_view source);

}  // namespace cameo::jinja
