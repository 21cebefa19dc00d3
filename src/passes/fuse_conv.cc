// Conv of float32 becomes ai.cameo.Conv, its bias the first step of the epilogue, its padding numbers.
#include <algorithm>

#include "ops/cameo_conv.h"
#include "passes/padding.h"
#include "passes/pass.h"
#include "passes/program_builder.h"

namespace cameo::passes {
namespace {

// The bias [M] as [M, 1, …], so that it broadcasts along the channels.
ir::ValueId along_channels(Patch& patch, const GraphView& view, ir::ValueId bias, size_t spatial) {
  if (const Tensor* t = view.constant(bias)) {
    Dims dims(spatial + 1, 1);
    dims[0] = t->num_elements();
    return patch.constant(t->reshaped(dims));
  }
  std::vector<int64_t> axes(spatial);
  for (size_t i = 0; i < spatial; ++i) axes[i] = static_cast<int64_t>(i + 1);
  return patch.node("Unsqueeze", {bias, patch.ints(axes)});
}

Rewrite rewrite(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  const ir::ValueId x = node.inputs[0], w = node.inputs[1], bias = GraphView::input(node, 2);
  if (view.dtype(x) != DType::kFloat32 || view.dtype(node.outputs[0]) != DType::kFloat32) return NoMatch{};
  const auto &xs = view.shape(x), &ws = view.shape(w);
  if (!xs || !ws) return Reject{"the rank of its input or weights is not known"};
  const size_t spatial = ws->size() - 2;
  const auto kernel = ir::to_dims(ir::Shape(ws->begin() + 2, ws->end()));
  if (!kernel) return Reject{"the extents of its kernel are not known"};

  auto attrs = std::make_shared<ops::CameoConvAttrs>();
  attrs->kernel_shape.assign(kernel->begin(), kernel->end());
  attrs->group = attr<int64_t>(node, "group").value_or(1);
  auto window = explicit_window(node, *xs, 2, attrs->kernel_shape);
  if (!window) return Reject{"its padding depends on extents that are not known"};
  attrs->strides = std::move(window->strides);
  attrs->dilations = std::move(window->dilations);
  attrs->pads = std::move(window->pads);

  Patch patch(view);
  std::vector<ir::ValueId> inputs = {x, w};
  if (bias != ir::kNoValue) {
    inputs.push_back(along_channels(patch, view, bias, spatial));
    attrs->program = ops::encode({2, {{ops::PointOp::kAdd, 0, 1, 0}}, {}});
  }
  patch.replace(node.outputs[0], patch.node(cameo_node("Conv", std::move(inputs), std::move(attrs)))[0]);
  return patch;
}

std::vector<Rule> rules() { return {{op("Conv", any(), any()).more_inputs(), &rewrite}}; }

}  // namespace

CAMEO_DEFINE_PASS(fuse_conv) = {
    .name = "fuse_conv",
    .summary = "turns Conv into the operator that takes an epilogue",
    .rules = &rules,
    .late = true,
};

}  // namespace cameo::passes
