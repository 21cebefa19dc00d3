#include "passes/padding.h"

#include <algorithm>

namespace cameo::passes {

std::optional<ExplicitWindow> explicit_window(const ir::Node& node, const ir::Shape& x, size_t first_axis,
                                              const std::vector<int64_t>& kernel) {
  const size_t rank = kernel.size();
  const auto list = [&](const char* name, size_t size, int64_t otherwise) {
    auto values = attr<std::vector<int64_t>>(node, name).value_or(std::vector<int64_t>{});
    if (values.empty()) values.assign(size, otherwise);
    return values;
  };
  ExplicitWindow window{list("strides", rank, 1), list("dilations", rank, 1), list("pads", 2 * rank, 0)};
  if (window.strides.size() != rank || window.dilations.size() != rank || window.pads.size() != 2 * rank || x.size() != first_axis + rank)
    return std::nullopt;
  const auto auto_pad = attr<std::string>(node, "auto_pad").value_or("NOTSET");
  if (auto_pad == "NOTSET" || auto_pad.empty()) return window;
  window.pads.assign(2 * rank, 0);
  if (auto_pad == "VALID") return window;
  if (auto_pad != "SAME_UPPER" && auto_pad != "SAME_LOWER") return std::nullopt;
  for (size_t a = 0; a < rank; ++a) {
    const int64_t span = (kernel[a] - 1) * window.dilations[a] + 1;
    const ir::Dim& extent = x[first_axis + a];
    int64_t total = span - 1;  // whatever the extent, with stride 1
    if (window.strides[a] != 1) {
      if (!extent.is_const() || window.strides[a] < 1) return std::nullopt;
      const int64_t outputs = (extent.value() + window.strides[a] - 1) / window.strides[a];
      total = std::max<int64_t>(0, (outputs - 1) * window.strides[a] + span - extent.value());
    }
    window.pads[a] = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
    window.pads[rank + a] = total - window.pads[a];
  }
  return window;
}

}  // namespace cameo::passes
