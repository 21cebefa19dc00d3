// RMSNormalization from its parts: x / sqrt(mean(x^2) + epsilon) [* scale], with Pow or Mul, Sqrt or Pow, Div, Reciprocal or Pow.
// The core becomes an RMSNormalization with a scale of ones, which then takes in the constant that it is multiplied by and the
// casts that surround it (Llama and T5 compute in float what is otherwise of 16 bits, and round before they multiply, which is
// what the operator does). Results differ in rounding.
#include "passes/norm.h"

namespace cameo::passes {
namespace {

Rewrite core(const Match& match, const GraphView& view) {
  auto norm = norm_of(view, match["x"], *match.node("mean"), match["epsilon"]);
  if (!norm.ok()) return Reject{norm.error().message()};
  const DType dtype = view.dtype(norm->x);
  if (!ops::kFloatTypes.contains(dtype)) return Reject{"the type of x is not known"};
  auto scale = ones(dtype, norm->extents);
  if (!scale) return Reject{"there is no memory for its scale"};
  Patch patch(view);
  const ir::ValueId y =
      patch.node("RMSNormalization", {norm->x, patch.constant(std::move(*scale))}, {{"axis", norm->axis}, {"epsilon", norm->epsilon}});
  patch.replace(match.root().outputs[0], y);
  return patch;
}

Rewrite changed(const Match& match, Patch patch, std::vector<ir::ValueId> inputs) {
  ir::Node norm = *match.node("norm");
  norm.inputs = std::move(inputs);
  norm.sources.clear();
  patch.replace(match.root().outputs[0], patch.node(std::move(norm))[0]);
  return patch;
}

// RMSNormalization(x, 1) * scale, and a Cast between them: y has the type of scale.
Rewrite take_scale(const Match& match, const GraphView& view) {
  const ir::Node& norm = *match.node("norm");
  const auto extents = normalized_extents(view, norm);
  if (!extents || !is_ones(view, norm.inputs[1])) return NoMatch{};
  auto scale = norm_parameter(view, match["scale"], view.dtype(match.root().outputs[0]), *extents);
  if (!scale) return NoMatch{};
  Patch patch(view);
  const ir::ValueId id = patch.constant(std::move(*scale));
  return changed(match, std::move(patch), {norm.inputs[0], id});
}

// RMSNormalization(Cast(x to float), scale): the operator computes 16-bit types in float by itself.
Rewrite take_cast(const Match& match, const GraphView& view) {
  const ir::Node& norm = match.root();
  const DType from = view.dtype(match["x"]);
  if (view.dtype(norm.inputs[0]) != DType::kFloat32 || (from != DType::kFloat16 && from != DType::kBfloat16)) return NoMatch{};
  return changed(match, Patch(view), {match["x"], norm.inputs[1]});
}

std::vector<Rule> rules() {
  const Pattern x = any("x");
  const Pattern mean = op("ReduceMean", square(x)).more_inputs().as("mean");
  const Pattern norm = op("RMSNormalization", any(), any()).as("norm");
  return {
      {divided_by_root(x, mean), &core},
      {op("Mul", either({norm, op("Cast", norm)}), constant("scale")), &take_scale},
      {op("RMSNormalization", op("Cast", x).shared(), any()).as("norm"), &take_cast},
  };
}

}  // namespace

CAMEO_DEFINE_PASS(fuse_rms_norm) = {
    .name = "fuse_rms_norm",
    .summary = "finds root-mean-square norms that are written out",
    .rules = &rules,
};

}  // namespace cameo::passes
