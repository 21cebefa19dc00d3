// Names from a model in messages and paths.
#pragma once

#include <string>
#include <string_view>

namespace cameo::onnx {

// The name in single quotes; long ones are cut, bytes that are not printable ASCII or part of UTF-8 are replaced.
std::string quoted(std::string_view name);

// outer/inner, of bounded length: functions that call functions would otherwise make paths grow without limit.
std::string join_path(std::string_view outer, std::string_view inner);

}  // namespace cameo::onnx
