// Recognises files that are not ONNX models, for the error message.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cameo::onnx {

// What a file that is not ONNX seems to be, and what to do with it: "a zip archive …"; nothing if it is no known format.
std::optional<std::string> guess_file_kind(std::string_view bytes);

}  // namespace cameo::onnx
