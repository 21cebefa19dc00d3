// The windows of Conv and pooling nodes with all their attributes in numbers.
#pragma once

#include "passes/attributes.h"
#include "passes/view.h"

namespace cameo::passes {

struct ExplicitWindow {
  std::vector<int64_t> strides, dilations, pads;
};

// For a node with ONNX's window attributes on an input whose spatial axes begin at `first_axis`. Nothing where auto_pad asks for
// padding that depends on an extent that is not known.
std::optional<ExplicitWindow> explicit_window(const ir::Node& node, const ir::Shape& x, size_t first_axis,
                                              const std::vector<int64_t>& kernel);

}  // namespace cameo::passes
