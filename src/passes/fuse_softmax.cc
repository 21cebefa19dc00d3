// Softmax and LogSoftmax from their parts:
//   Softmax     e / sum(e), with e = exp(x - max(x)) or exp(x)
//   LogSoftmax  d - log(sum(exp(d))), with d = x - max(x) or x; x - ReduceLogSumExp(x)
// Results differ in rounding; where exp(x) overflows, the operators, which subtract the largest x first, do not.
#include "passes/pass.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

Rewrite fused(const Match& match, const GraphView& view, std::string_view name) {
  const ir::ValueId x = match["x"];
  const auto axes = kept_reduction_axes(view, *match.node("sum"));
  if (!axes || axes->size() != 1) return Reject{"the sum is not over one known axis"};
  if (const ir::Node* max = match.node("max"); max != nullptr && kept_reduction_axes(view, *max) != axes)
    return Reject{"the largest element is taken over other axes than the sum"};
  if (!ops::kFloatTypes.contains(view.dtype(x)) || !view.same_shape(x, match.root().outputs[0])) return NoMatch{};
  Patch patch(view);
  // From the end, as the norms, since most are over the last axis.
  const int64_t axis = axes->front() - static_cast<int64_t>(view.shape(x)->size());
  patch.replace(match.root().outputs[0], patch.node(name, {x}, {{"axis", axis}}));
  return patch;
}

Rewrite softmax(const Match& match, const GraphView& view) { return fused(match, view, "Softmax"); }
Rewrite log_softmax(const Match& match, const GraphView& view) { return fused(match, view, "LogSoftmax"); }

std::vector<Rule> rules() {
  const Pattern x = any("x");
  const Pattern difference = op("Sub", x, op("ReduceMax", x).more_inputs().as("max"));
  const auto sum = [](const Pattern& of) { return op("ReduceSum", of).more_inputs().as("sum"); };
  std::vector<Rule> all;
  for (const Pattern& d : {difference, x}) {
    const Pattern e = op("Exp", d);
    all.push_back({op("Div", e, sum(e)), &softmax});
    all.push_back({op("Mul", e, op("Reciprocal", sum(e))), &softmax});
    all.push_back({op("Sub", d, op("Log", sum(e))), &log_softmax});
  }
  all.push_back({op("Sub", x, op("ReduceLogSumExp", x).more_inputs().as("sum")), &log_softmax});
  return all;
}

}  // namespace

CAMEO_DEFINE_PASS(fuse_softmax) = {
    .name = "fuse_softmax",
    .summary = "finds Softmax and LogSoftmax that are written out",
    .rules = &rules,
};

}  // namespace cameo::passes
