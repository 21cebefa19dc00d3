// Nodes that provably give what they are given, and are left out: Identity, Dropout at inference, Cast to the type that is
// there, Reshape, Expand, Slice, … to the same shape, Transpose that moves nothing, Pad by nothing, Concat of one, x * 1,
// x + -0, ….
//
// Adding +0 to a float is none of them: -0 + +0 is +0. Constants of more than one element are parameters of the model and
// stay, so that a norm whose scale happens to be 1 is found like any other.
#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "passes/pass.h"

namespace cameo::passes {
namespace {

Rewrite forward(const Match& match, const GraphView& view, ir::ValueId value) {
  // An Identity that would come back as a copy stays as it is.
  const ir::ValueId output = match.root().outputs[0];
  if (match.root().op->name == "Identity" && !view.can_replace(output, value)) return NoMatch{};
  Patch patch(view);
  patch.replace(output, value);
  return patch;
}

Rewrite forward_input(const Match& match, const GraphView& view) { return forward(match, view, match.root().inputs[0]); }

Rewrite forward_if_same_shape(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  return view.same_shape(node.inputs[0], node.outputs[0]) ? forward_input(match, view) : NoMatch{};
}

Rewrite dropout(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  for (size_t i = 1; i < node.outputs.size(); ++i)
    if (node.outputs[i] != ir::kNoValue && view.uses(node.outputs[i]) != 0) return Reject{"its mask is used"};
  if (node.version < 7 && attr<int64_t>(node, "is_test").value_or(0) == 0) return Reject{"it is in training mode"};
  if (const ir::ValueId mode = GraphView::input(node, 2); mode != ir::kNoValue) {
    const Tensor* training = view.constant(mode);
    if (training == nullptr || training->dtype() != DType::kBool || training->num_elements() != 1 || training->data<bool>()[0])
      return Reject{"it is, or may be, in training mode"};
  }
  return forward_input(match, view);
}

Rewrite cast(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  const DType from = view.dtype(node.inputs[0]);
  return from != DType::kUndefined && from == view.dtype(node.outputs[0]) ? forward_input(match, view) : NoMatch{};
}

Rewrite transpose(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  const auto perm = attr<std::vector<int64_t>>(node, "perm");
  if (!perm) {
    const auto& shape = view.shape(node.inputs[0]);
    return shape && shape->size() <= 1 ? forward_input(match, view) : NoMatch{};
  }
  for (size_t i = 0; i < perm->size(); ++i)
    if ((*perm)[i] != static_cast<int64_t>(i)) return NoMatch{};
  return forward_input(match, view);
}

bool all_are(const std::optional<std::vector<int64_t>>& list, int64_t value) {
  return list && std::all_of(list->begin(), list->end(), [&](int64_t v) { return v == value; });
}

Rewrite expand(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  const auto shape = view.ints(GraphView::input(node, 1));
  const auto& from = view.shape(node.inputs[0]);
  if (from && all_are(shape, 1) && shape->size() <= from->size()) return forward_input(match, view);
  return forward_if_same_shape(match, view);
}

Rewrite slice(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  const ir::ValueId steps = GraphView::input(node, 4);
  // With other steps the same extents may come in another order.
  if (node.version >= 10 && steps != ir::kNoValue && !all_are(view.ints(steps), 1)) return NoMatch{};
  return forward_if_same_shape(match, view);
}

Rewrite pad(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  auto pads =
      node.version >= 11 ? view.ints(GraphView::input(node, 1)) : attr<std::vector<int64_t>>(node, node.version >= 2 ? "pads" : "paddings");
  return all_are(pads, 0) ? forward_input(match, view) : NoMatch{};
}

Rewrite tile(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  return node.version >= 6 && all_are(view.ints(GraphView::input(node, 1)), 1) ? forward_input(match, view) : NoMatch{};
}

// Concat, Sum, … of a single input.
Rewrite only_input(const Match& match, const GraphView& view) {
  return match.root().inputs.size() == 1 ? forward_input(match, view) : NoMatch{};
}

Rewrite split(const Match& match, const GraphView& view) {
  return match.root().outputs.size() == 1 ? forward_if_same_shape(match, view) : NoMatch{};
}

Rewrite clip(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  const bool bounded = GraphView::input(node, 1) != ir::kNoValue || GraphView::input(node, 2) != ir::kNoValue;
  return node.version >= 11 && !bounded ? forward_input(match, view) : NoMatch{};
}

Rewrite where(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  const Tensor* condition = view.constant(node.inputs[0]);
  if (condition == nullptr || condition->dtype() != DType::kBool || condition->num_elements() == 0) return NoMatch{};
  const auto values = condition->span<bool>();
  if (std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) != values.end()) return NoMatch{};
  const ir::ValueId chosen = node.inputs[values[0] ? 1 : 2];
  return view.same_shape(chosen, node.outputs[0]) ? forward(match, view, chosen) : NoMatch{};
}

// The number that leaves x as it is in `x op number`; the sign of a zero matters for floats.
struct Neutral {
  double number;
  bool negative_zero = false;
};

std::optional<Neutral> neutral_of(const ir::Node& node, DType dtype, bool right) {
  const std::string_view name = node.op->name;
  const bool is_float = ops::kFloatTypes.contains(dtype);
  if (name == "Mul") return Neutral{1};
  if (name == "Add") return Neutral{0, is_float};
  if (name == "And") return Neutral{1};
  if (name == "Or" || name == "Xor") return Neutral{0};
  if (!right) return std::nullopt;
  if (name == "Sub") return Neutral{0};
  if (name == "Div" || name == "Pow") return Neutral{1};
  return std::nullopt;
}

bool is_number(const Tensor& t, Neutral wanted) {
  if (t.num_elements() != 1) return false;
  if (t.dtype() == DType::kBool) return t.data<bool>()[0] == (wanted.number != 0);
  bool equal = false;
  const auto status = ops::dispatch_numbers(t.dtype(), "a neutral element", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    const auto value = static_cast<compute_t<T>>(*t.data<T>());
    equal = value == static_cast<compute_t<T>>(wanted.number);
    if constexpr (std::is_floating_point_v<compute_t<T>>) equal &= value != 0 || std::signbit(value) == wanted.negative_zero;
    return {};
  });
  return status.ok() && equal;
}

Rewrite arithmetic(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  if (node.inputs.size() != 2) return NoMatch{};
  for (size_t k : {size_t{1}, size_t{0}}) {
    const Tensor* t = view.constant(node.inputs[k]);
    const ir::ValueId x = node.inputs[1 - k];
    const auto neutral = neutral_of(node, view.dtype(x), k == 1);
    if (t == nullptr || !neutral || !is_number(*t, *neutral)) continue;
    // A constant of a higher rank would add extents of 1.
    const auto& shape = view.shape(x);
    if (t->rank() == 0 || (shape && t->rank() <= shape->size())) return forward(match, view, x);
  }
  return NoMatch{};
}

std::vector<Rule> rules() {
  const auto any_inputs = [](std::vector<std::string> names) { return op(std::move(names)).more_inputs(); };
  return {
      {any_inputs({"Identity"}), &forward_input},
      {any_inputs({"Dropout"}), &dropout},
      {any_inputs({"Cast", "CastLike"}), &cast},
      {any_inputs({"Reshape", "Flatten", "Squeeze", "Unsqueeze"}), &forward_if_same_shape},
      {any_inputs({"Expand"}), &expand},
      {any_inputs({"Transpose"}), &transpose},
      {any_inputs({"Slice"}), &slice},
      {any_inputs({"Pad"}), &pad},
      {any_inputs({"Tile"}), &tile},
      {any_inputs({"Split"}), &split},
      {any_inputs({"Concat", "Sum", "Max", "Min", "Mean"}), &only_input},
      {any_inputs({"Clip"}), &clip},
      {any_inputs({"Where"}), &where},
      {any_inputs({"Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor"}), &arithmetic},
  };
}

}  // namespace

CAMEO_DEFINE_PASS(identity) = {
    .name = "identity",
    .summary = "leaves out nodes that give what they are given",
    .rules = &rules,
};

}  // namespace cameo::passes
