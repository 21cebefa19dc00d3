#include "onnx/text.h"

namespace cameo::onnx {

std::string quoted(std::string_view name) {
  constexpr size_t kMaxShown = 200;
  std::string out = "'";
  for (char c : name.substr(0, kMaxShown)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (name.size() > kMaxShown) out += "...";
  return out + "'";
}

std::string join_path(std::string_view outer, std::string_view inner) {
  if (outer.empty()) return std::string(inner);
  constexpr size_t kMaxOuter = 160, kMaxInner = 160;
  std::string path;
  if (outer.size() > kMaxOuter) path = "...", outer.remove_prefix(outer.size() - kMaxOuter);
  path += outer;
  path += '/';
  if (inner.starts_with('/')) inner.remove_prefix(1);
  path += inner.substr(0, kMaxInner);
  return path;
}

}  // namespace cameo::onnx
