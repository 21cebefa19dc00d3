// Activations from their parts:
//   Sigmoid      1 / (1 + exp(-x))
//   Swish        x * Sigmoid(alpha * x)                  (SiLU; with alpha 1.702 what is called quick GELU)
//   HardSigmoid  Clip(a * x + b, 0, c) / c               (also as Min and Max; a bare Clip to [0, 1] stays)
//   HardSwish    x * Clip(x + 3, 0, 6) / 6               multiplied in any order
//   Softplus     log(1 + exp(x));  Mish  x * tanh(Softplus(x));  Softsign  x / (1 + |x|);  LeakyRelu  max(x, a * x), 0 < a < 1
// Results differ in rounding; where exp(x) overflows, Softplus gives x and not infinity.
#include <cmath>

#include "passes/pass.h"
#include "passes/products.h"

namespace cameo::passes {
namespace {

Rewrite replaced(const Match& match, const GraphView& view, std::string_view name, ir::ValueId x, const AttrList& attrs = {},
                 const Region* region = nullptr) {
  const ir::ValueId old = match.root().outputs[0];
  if (!ops::kFloatTypes.contains(view.dtype(x))) return NoMatch{};
  if (!view.same_shape(x, old)) return Reject{"a constant may change its shape"};
  Patch patch(view);
  const ir::ValueId y = patch.node(name, {x}, attrs);
  if (region) patch.add_sources(region->sources());
  patch.replace(old, y);
  return patch;
}

Rewrite sigmoid(const Match& match, const GraphView& view) { return replaced(match, view, "Sigmoid", match["x"]); }
Rewrite softplus(const Match& match, const GraphView& view) { return replaced(match, view, "Softplus", match["x"]); }
Rewrite mish(const Match& match, const GraphView& view) { return replaced(match, view, "Mish", match["x"]); }
Rewrite softsign(const Match& match, const GraphView& view) { return replaced(match, view, "Softsign", match["x"]); }
Rewrite hard_swish(const Match& match, const GraphView& view) { return replaced(match, view, "HardSwish", match["x"]); }

Rewrite swish(const Match& match, const GraphView& view) {
  const auto alpha = match["alpha"] == ir::kNoValue ? std::optional(1.0) : number_of(view, match["alpha"]);
  return alpha ? replaced(match, view, "Swish", match["x"], {{"alpha", static_cast<float>(*alpha)}}) : NoMatch{};
}

Rewrite leaky_relu(const Match& match, const GraphView& view) {
  const auto alpha = number_of(view, match["alpha"]);
  if (!alpha || !(*alpha > 0) || !(*alpha < 1)) return NoMatch{};
  return replaced(match, view, "LeakyRelu", match["x"], {{"alpha", static_cast<float>(*alpha)}});
}

// Clip(v, 0, high), or the same with Min and Max.
struct Clipped {
  ir::ValueId v;
  double high;
};

std::optional<Clipped> clipped(const GraphView& view, ir::ValueId id, Region& region) {
  const auto limits = [&](ir::ValueId v, std::optional<double> low, std::optional<double> high) -> std::optional<Clipped> {
    return low && high && *low == 0 && *high > 0 && std::isfinite(*high) ? std::optional(Clipped{v, *high}) : std::nullopt;
  };
  const auto with_number = [&](const ir::Node* node, ir::ValueId& other) -> std::optional<double> {
    if (node == nullptr || node->inputs.size() != 2) return std::nullopt;
    for (size_t i : {size_t{0}, size_t{1}})
      if (const auto number = number_of(view, node->inputs[i])) {
        other = node->inputs[1 - i];
        return number;
      }
    return std::nullopt;
  };
  if (const ir::Node* clip = made_by(view, id, "Clip")) {
    region.add(*clip);
    if (clip->version >= 11)
      return limits(clip->inputs[0], number_of(view, GraphView::input(*clip, 1)), number_of(view, GraphView::input(*clip, 2)));
    return limits(clip->inputs[0], attr<float>(*clip, "min"), attr<float>(*clip, "max"));
  }
  for (const bool max_first : {true, false}) {
    const ir::Node* outer = made_by(view, id, max_first ? "Min" : "Max");
    ir::ValueId between = ir::kNoValue, v = ir::kNoValue;
    const auto first = with_number(outer, between);
    if (!first) continue;
    std::optional<double> second;
    const ir::Node* inner = made_by(view, between, max_first ? "Max" : "Min");
    if (inner != nullptr)
      second = with_number(inner, v);
    else if (max_first && (inner = made_by(view, between, "Relu")) != nullptr) {
      second = 0.0;
      v = inner->inputs[0];
    }
    if (!second) continue;
    region.add(*outer);
    region.add(*inner);
    return max_first ? limits(v, second, first) : limits(v, first, second);
  }
  return std::nullopt;
}

// One step of v = alpha * u + beta towards u; false when v is no such node.
bool step_into(const GraphView& view, ir::ValueId& v, double& alpha, double& beta, Region& region) {
  const ir::Node* node = view.producer(v);
  if (node == nullptr || !node->op->domain.empty() || node->inputs.size() != 2 || view.uses(v) != 1) return false;
  const auto left = number_of(view, node->inputs[0]), right = number_of(view, node->inputs[1]);
  const std::string_view op = node->op->name;
  if (op == "Add" && (left || right))
    beta += alpha * (left ? *left : *right);
  else if (op == "Sub" && right)
    beta -= alpha * *right;
  else if (op == "Mul" && (left || right))
    alpha *= left ? *left : *right;
  else if (op == "Div" && right)
    alpha /= *right;
  else
    return false;
  region.add(*node);
  v = node->inputs[right ? 0 : 1];
  return true;
}

// Clip(a * x + b, 0, c), times a constant that makes it end at 1.
Rewrite hard_sigmoid(const Match& match, const GraphView& view) {
  const ir::Node& root = match.root();
  Region region(view);
  region.add(root);
  double scale = 1;
  ir::ValueId gate = root.outputs[0];
  if (root.op->name == "Div" || root.op->name == "Mul") {
    const auto left = number_of(view, root.inputs[0]), right = number_of(view, root.inputs[1]);
    if (!right && !(left && root.op->name == "Mul")) return NoMatch{};
    scale = root.op->name == "Div" ? 1 / *right : right ? *right : *left;
    gate = root.inputs[right ? 0 : 1];
  }
  const auto found = clipped(view, gate, region);
  if (!found || !is_close(scale * found->high, 1, view.dtype(found->v))) return NoMatch{};
  ir::ValueId x = found->v;
  double alpha = scale, beta = 0;
  bool linear = scale != 1;
  while (step_into(view, x, alpha, beta, region)) linear = true;
  if (!linear) return NoMatch{};
  if (const std::string outside = region.used_outside(root); !outside.empty()) return Reject{outside};
  return replaced(match, view, "HardSigmoid", x, {{"alpha", static_cast<float>(alpha)}, {"beta", static_cast<float>(beta)}}, &region);
}

// 1/6 * x * Clip(x + 3, 0, 6) in any order.
Rewrite hard_swish_product(const Match& match, const GraphView& view) {
  const ir::Node& root = match.root();
  std::vector<ir::ValueId> values;
  factors(view, root.outputs[0], values);
  for (ir::ValueId gate : values) {
    Region region(view);
    const auto found = gate == root.outputs[0] ? std::nullopt : clipped(view, gate, region);
    if (!found) continue;
    double alpha = 1, beta = 0;
    ir::ValueId x = found->v;
    const DType dtype = view.dtype(x);
    if (!step_into(view, x, alpha, beta, region) || !is_close(alpha, 1, dtype) || !is_close(beta, 3, dtype) ||
        !is_close(found->high, 6, dtype))
      continue;
    const auto product = gated(view, root.outputs[0], x, gate, region);
    if (!product || product->of_x != 1 || product->of_gate != 1 || !is_close(product->coefficient, 1.0 / 6, dtype)) continue;
    if (const std::string outside = region.used_outside(root); !outside.empty()) return Reject{outside};
    return replaced(match, view, "HardSwish", x, {}, &region);
  }
  return NoMatch{};
}

// x * HardSigmoid(x) with the slope and offset of HardSwish.
bool is_hard_swish_gate(const GraphView& view, const ir::Node& node) {
  const DType dtype = view.dtype(node.inputs[0]);
  return is_close(attr<float>(node, "alpha").value_or(0), 1.0 / 6, dtype) && is_close(attr<float>(node, "beta").value_or(0), 0.5, dtype);
}

std::vector<Rule> rules() {
  const Pattern x = any("x");
  const Pattern one_plus_exp = op("Add", op("Exp", op("Neg", x)), scalar(1));
  const Pattern gate = either({op("Sigmoid", x), op("Sigmoid", op("Mul", x, constant("alpha")))});
  return {
      {op("Reciprocal", one_plus_exp), &sigmoid},
      {op("Div", scalar(1), one_plus_exp), &sigmoid},
      {op("Div", x, one_plus_exp), &swish},
      {op("Mul", x, gate), &swish},
      {op("Log", op("Add", op("Exp", x), scalar(1))), &softplus},
      {op("Mul", x, op("Tanh", op("Softplus", x))), &mish},
      {op("Div", x, op("Add", op("Abs", x), scalar(1))), &softsign},
      {op("Max", x, op("Mul", x, constant("alpha"))), &leaky_relu},
      {op("Mul", x, op("HardSigmoid", x).where(&is_hard_swish_gate)), &hard_swish},
      {op_list({"Mul", "Div"}, {any(), any()}), &hard_swish_product},
      {op_list({"Mul", "Div", "Min", "Max"}, {any(), any()}), &hard_sigmoid},
      {op("Clip", any()).more_inputs(), &hard_sigmoid},
  };
}

}  // namespace

CAMEO_DEFINE_PASS(fuse_activation) = {
    .name = "fuse_activation",
    .summary = "finds Swish, HardSwish, HardSigmoid, Mish and others that are written out",
    .rules = &rules,
};

}  // namespace cameo::passes
