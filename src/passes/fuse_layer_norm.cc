// LayerNormalization from its parts, as exporters for opsets before 17, tf2onnx and hand-written models have them:
//   (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) [* scale] [+ bias]
// with Sub, Pow or Mul, Sqrt or Pow, Div, Reciprocal or Pow, and batch-norm's form x * s + (bias - mean(x) * s). The core becomes
// a LayerNormalization with a scale of ones, which then takes in the constants that it is multiplied by and that are added to it,
// and the casts around it. Results differ in rounding.
#include "passes/norm.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

// A LayerNormalization that stands for the node at the match's root.
Rewrite layer_norm(const Match& match, const GraphView& view, const ir::Node& mean, std::optional<Tensor> scale, ir::ValueId bias_value) {
  auto norm = norm_of(view, match["x"], mean, match["epsilon"]);
  if (!norm.ok()) return Reject{norm.error().message()};
  if (const ir::Node* second = match.node("variance");
      kept_reduction_axes(view, mean) != kept_reduction_axes(view, second ? *second : mean))
    return Reject{"mean and variance are over different axes"};
  const DType dtype = view.dtype(norm->x);
  if (!ops::kFloatTypes.contains(dtype)) return Reject{"the type of x is not known"};
  if (!scale) scale = ones(dtype, norm->extents);
  if (!scale) return Reject{"there is no memory for its scale"};
  Patch patch(view);
  std::vector<ir::ValueId> inputs = {norm->x, patch.constant(std::move(*scale))};
  if (bias_value != ir::kNoValue) {
    auto bias = norm_parameter(view, bias_value, dtype, norm->extents);
    if (!bias) return Reject{"its bias is not a constant of the extents that it is over"};
    inputs.push_back(patch.constant(std::move(*bias)));
  }
  const ir::ValueId y = patch.node("LayerNormalization", inputs, {{"axis", norm->axis}, {"epsilon", norm->epsilon}});
  patch.replace(match.root().outputs[0], y);
  return patch;
}

Rewrite core(const Match& match, const GraphView& view) { return layer_norm(match, view, *match.node("mean"), std::nullopt, ir::kNoValue); }

// x * s + (bias - mean * s) with s = scale / sqrt(variance + epsilon)
Rewrite batch_norm_form(const Match& match, const GraphView& view) {
  std::optional<Tensor> scale;
  if (const ir::ValueId value = match["scale"]; value != ir::kNoValue) {
    auto norm = norm_of(view, match["x"], *match.node("mean"), match["epsilon"]);
    if (!norm.ok()) return Reject{norm.error().message()};
    scale = norm_parameter(view, value, view.dtype(norm->x), norm->extents);
    if (!scale) return Reject{"its scale is not a constant of the extents that it is over"};
  }
  return layer_norm(match, view, *match.node("mean"), std::move(scale), match["bias"]);
}

// A copy of the norm with other inputs in place of the root.
Rewrite changed(const Match& match, Patch patch, std::vector<ir::ValueId> inputs) {
  ir::Node norm = *match.node("norm");
  norm.inputs = std::move(inputs);
  norm.outputs.resize(1);
  norm.sources.clear();
  patch.replace(match.root().outputs[0], patch.node(std::move(norm))[0]);
  return patch;
}

bool only_y(const ir::Node& norm) {
  for (size_t i = 1; i < norm.outputs.size(); ++i)
    if (norm.outputs[i] != ir::kNoValue) return false;
  return true;
}

// LayerNormalization(x, 1) * scale
Rewrite take_scale(const Match& match, const GraphView& view) {
  const ir::Node& norm = *match.node("norm");
  const auto extents = normalized_extents(view, norm);
  if (!extents || !only_y(norm) || !is_ones(view, norm.inputs[1])) return NoMatch{};
  auto scale = norm_parameter(view, match["scale"], view.dtype(norm.inputs[0]), *extents);
  if (!scale) return NoMatch{};
  Patch patch(view);
  const ir::ValueId id = patch.constant(std::move(*scale));
  return changed(match, std::move(patch), {norm.inputs[0], id});
}

// LayerNormalization(x, scale) + bias
Rewrite take_bias(const Match& match, const GraphView& view) {
  const ir::Node& norm = *match.node("norm");
  const auto extents = normalized_extents(view, norm);
  if (!extents || !only_y(norm)) return NoMatch{};
  auto bias = norm_parameter(view, match["bias"], view.dtype(norm.inputs[0]), *extents);
  if (!bias) return NoMatch{};
  Patch patch(view);
  const ir::ValueId id = patch.constant(std::move(*bias));
  return changed(match, std::move(patch), {norm.inputs[0], norm.inputs[1], id});
}

// Cast(LayerNormalization(Cast(x to float), 1)) back to the type of x: the operator computes 16-bit types in float by itself.
Rewrite take_casts(const Match& match, const GraphView& view) {
  const ir::Node& norm = *match.node("norm");
  const ir::ValueId x = match["x"];
  const DType dtype = view.dtype(x);
  const auto extents = normalized_extents(view, norm);
  if (!extents || !only_y(norm) || norm.inputs.size() > 2 || view.dtype(norm.inputs[0]) != DType::kFloat32 ||
      (dtype != DType::kFloat16 && dtype != DType::kBfloat16) || view.dtype(match.root().outputs[0]) != dtype ||
      !is_ones(view, norm.inputs[1]))
    return NoMatch{};
  auto scale = ones(dtype, *extents);
  if (!scale) return NoMatch{};
  Patch patch(view);
  const ir::ValueId id = patch.constant(std::move(*scale));
  return changed(match, std::move(patch), {x, id});
}

std::vector<Rule> rules() {
  const Pattern x = any("x");
  const Pattern mean = op("ReduceMean", x).more_inputs().as("mean");
  const Pattern centred = op("Sub", x, mean);
  const Pattern deviation = either({centred, op("Cast", centred)});
  const Pattern variance = op("ReduceMean", square(deviation)).more_inputs().as("variance");
  // tf2onnx and CSE: the difference that is squared may be a node of its own.
  const Pattern shared_mean = op("ReduceMean", x).more_inputs().shared().as("mean");
  const Pattern own_variance = op("ReduceMean", square(op("Sub", x, shared_mean))).more_inputs().as("variance");
  const Pattern two_differences = divided_by_root(op("Sub", x, shared_mean), own_variance);

  const Pattern factor = either({op("Mul", inverse_root(own_variance), constant("scale")), inverse_root(own_variance)});
  const Pattern moved = op("Sub", constant("bias"), op("Mul", shared_mean, factor));
  const Pattern bn_form = op("Add", op("Mul", x, factor), moved);

  const Pattern norm = op("LayerNormalization", any(), any()).as("norm");
  const Pattern norm_of_cast = op("LayerNormalization", op("Cast", x).shared(), any()).as("norm");
  return {
      {divided_by_root(centred, variance), &core},
      {two_differences, &core},
      {bn_form, &batch_norm_form},
      {op("Mul", norm, constant("scale")), &take_scale},
      {op("Add", norm, constant("bias")), &take_bias},
      {op("Cast", norm_of_cast), &take_casts},
  };
}

}  // namespace

CAMEO_DEFINE_PASS(fuse_layer_norm) = {
    .name = "fuse_layer_norm",
    .summary = "finds layer norms that are written out",
    .rules = &rules,
};

}  // namespace cameo::passes
