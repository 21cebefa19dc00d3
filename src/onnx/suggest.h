// "did you mean …" for operators.
#pragma once

#include <string>
#include <string_view>

namespace cameo::onnx {

// Why there is no operator of that name, with the names that come close: "unknown operator; did you mean 'MatMul'?"
std::string explain_unknown_operator(std::string_view domain, std::string_view op_type);

}  // namespace cameo::onnx
