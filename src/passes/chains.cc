// Two nodes in a row that move or convert elements become one, or none: Transpose after Transpose; Reshape, Flatten, Squeeze
// and Unsqueeze after each other; Cast after a Cast that loses nothing; Not after Not, Neg after Neg.
#include <algorithm>

#include "passes/pass.h"
#include "passes/reshape_target.h"

namespace cameo::passes {
namespace {

const char* const kViews[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze"};

Rewrite leave_out(const Match& match, const GraphView& view) {
  Patch patch(view);
  patch.replace(match.root().outputs[0], match["x"]);
  return patch;
}

std::optional<std::vector<int64_t>> permutation(const ir::Node& node, size_t rank) {
  auto perm = attr<std::vector<int64_t>>(node, "perm");
  if (!perm) {
    perm.emplace(rank);
    for (size_t i = 0; i < rank; ++i) (*perm)[i] = static_cast<int64_t>(rank - 1 - i);
  }
  return perm->size() == rank ? perm : std::nullopt;
}

Rewrite transposes(const Match& match, const GraphView& view) {
  const ir::Node &inner = *match.node("inner"), &outer = match.root();
  size_t rank = 0;
  if (const auto& shape = view.shape(match["x"]))
    rank = shape->size();
  else if (const auto perm = attr<std::vector<int64_t>>(inner, "perm"))
    rank = perm->size();
  else if (const auto perm_outer = attr<std::vector<int64_t>>(outer, "perm"))
    rank = perm_outer->size();
  else
    return leave_out(match, view);  // both reverse the axes
  const auto first = permutation(inner, rank), second = permutation(outer, rank);
  if (!first || !second) return NoMatch{};
  std::vector<int64_t> both(rank);
  bool moves = false;
  for (size_t i = 0; i < rank; ++i) {
    both[i] = (*first)[static_cast<size_t>((*second)[i])];
    moves |= both[i] != static_cast<int64_t>(i);
  }
  if (!moves) return leave_out(match, view);
  Patch patch(view);
  patch.replace(outer.outputs[0], patch.node("Transpose", {match["x"]}, {{"perm", both}}));
  return patch;
}

// The axes of a Squeeze or Unsqueeze, as they are written.
std::optional<std::vector<int64_t>> axes_of(const ir::Node& node, const GraphView& view) {
  return node.version >= 13 ? view.ints(GraphView::input(node, 1)) : attr<std::vector<int64_t>>(node, "axes");
}

// Axes of the output that an Unsqueeze adds, as flags.
std::optional<std::vector<char>> added_axes(const ir::Node& node, const GraphView& view) {
  const auto axes = axes_of(node, view);
  const auto& shape = view.shape(node.outputs[0]);
  if (!axes || !shape) return std::nullopt;
  const auto rank = static_cast<int64_t>(shape->size());
  std::vector<char> added(shape->size(), 0);
  for (int64_t axis : *axes) {
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return std::nullopt;
    added[static_cast<size_t>(axis)] = 1;
  }
  return added;
}

Rewrite unsqueezes(const Match& match, const GraphView& view) {
  const ir::Node &inner = *match.node("inner"), &outer = match.root();
  const auto first = added_axes(inner, view), second = added_axes(outer, view);
  if (!first || !second) return NoMatch{};
  std::vector<int64_t> axes;
  size_t between = 0;
  for (size_t i = 0; i < second->size(); ++i) {
    const bool is_added = (*second)[i] != 0;
    if (is_added || (between < first->size() && (*first)[between])) axes.push_back(static_cast<int64_t>(i));
    between += !is_added;
  }
  Patch patch(view);
  patch.replace(outer.outputs[0], patch.node("Unsqueeze", {match["x"], patch.ints(axes)}));
  return patch;
}

// One Reshape in place of two nodes of which one is a Reshape or a Flatten.
Rewrite reshapes(const ir::Node& inner, const ir::Node& outer, ir::ValueId x, const GraphView& view) {
  const auto is_reshape = [](const ir::Node& node) { return node.op->name == "Reshape" || node.op->name == "Flatten"; };
  if (!is_reshape(inner) && !is_reshape(outer)) return NoMatch{};
  const auto &from = view.shape(x), &to = view.shape(outer.outputs[0]);
  Patch patch(view);
  if (const auto target = to ? reshape_target(from ? &*from : nullptr, *to) : std::nullopt) {
    patch.replace(outer.outputs[0], patch.node("Reshape", {x, patch.ints(*target)}));
    return patch;
  }
  // What the outer one asks for does not depend on the shape in between unless it copies from it.
  const auto asked = view.ints(GraphView::input(outer, 1));
  if (outer.op->name != "Reshape" || !asked || std::find(asked->begin(), asked->end(), 0) != asked->end()) return NoMatch{};
  ir::Node direct = outer;
  direct.inputs[0] = x;
  patch.replace(outer.outputs[0], patch.node(std::move(direct))[0]);
  return patch;
}

Rewrite views(const Match& match, const GraphView& view) {
  const ir::Node &inner = *match.node("inner"), &outer = match.root();
  const ir::ValueId x = match["x"];
  if (view.same_shape(x, outer.outputs[0])) return leave_out(match, view);
  // What is added and taken away again, or the other way round, with shapes that are not known.
  if (inner.op != outer.op && (inner.op->name == "Squeeze" || inner.op->name == "Unsqueeze") &&
      (outer.op->name == "Squeeze" || outer.op->name == "Unsqueeze")) {
    auto first = axes_of(inner, view), second = axes_of(outer, view);
    if (first && second) {
      std::sort(first->begin(), first->end());
      std::sort(second->begin(), second->end());
      // Both count negative axes from the larger of the two ranks.
      if (*first == *second) return leave_out(match, view);
    }
    return NoMatch{};
  }
  if (inner.op->name == "Unsqueeze" && outer.op->name == "Unsqueeze") return unsqueezes(match, view);
  return reshapes(inner, outer, x, view);
}

// Whether every value of `from` is one of `to`.
bool is_lossless(DType from, DType to) {
  struct Kind {
    bool is_float, is_signed;
    int digits, exponent;  // bits of the significand or the magnitude; of the exponent
  };
  const auto kind = [](DType type) -> std::optional<Kind> {
    switch (type) {
      case DType::kBool:
        return Kind{false, false, 1, 0};
      case DType::kUint8:
        return Kind{false, false, 8, 0};
      case DType::kUint16:
        return Kind{false, false, 16, 0};
      case DType::kUint32:
        return Kind{false, false, 32, 0};
      case DType::kUint64:
        return Kind{false, false, 64, 0};
      case DType::kInt8:
        return Kind{false, true, 7, 0};
      case DType::kInt16:
        return Kind{false, true, 15, 0};
      case DType::kInt32:
        return Kind{false, true, 31, 0};
      case DType::kInt64:
        return Kind{false, true, 63, 0};
      case DType::kFloat16:
        return Kind{true, true, 11, 5};
      case DType::kBfloat16:
        return Kind{true, true, 8, 8};
      case DType::kFloat32:
        return Kind{true, true, 24, 8};
      case DType::kFloat64:
        return Kind{true, true, 53, 11};
      default:
        return std::nullopt;
    }
  };
  if (from == to) return true;
  const auto a = kind(from), b = kind(to);
  if (!a || !b || to == DType::kBool || (a->is_float && !b->is_float)) return false;
  if (a->is_float) return b->digits >= a->digits && b->exponent >= a->exponent;
  // The magnitude of -2^n, the least integer, is a power of two, which floats hold; 2^15 is the largest in float16.
  if (b->is_float) return b->digits >= a->digits && (b->exponent > 5 || a->digits <= 11);
  return b->digits >= a->digits && (b->is_signed || !a->is_signed);
}

Rewrite casts(const Match& match, const GraphView& view) {
  const ir::Node& outer = match.root();
  const DType from = view.dtype(match["x"]), between = view.dtype(match.node("inner")->outputs[0]), to = view.dtype(outer.outputs[0]);
  if (from == DType::kUndefined || between == DType::kUndefined || to == DType::kUndefined || !is_lossless(from, between)) return NoMatch{};
  if (from == to) return leave_out(match, view);
  // Between floats one rounding is all there is either way; other conversions of values that `to` lacks are left alone.
  const auto is_float = [](DType type) { return ops::kFloatTypes.contains(type); };
  if (!is_lossless(from, to) && !(is_float(from) && is_float(to))) return NoMatch{};
  Patch patch(view);
  ir::Node direct = outer;
  direct.inputs = {match["x"]};
  patch.replace(outer.outputs[0], patch.node(std::move(direct))[0]);
  return patch;
}

std::vector<Rule> rules() {
  const Pattern x = any("x");
  const auto after_itself = [&](const char* name) { return op(name, op(name, x).as("inner").shared()); };
  std::vector<Rule> all = {
      {after_itself("Transpose"), &transposes},
      {after_itself("Cast"), &casts},
      {after_itself("Not"), &leave_out},
      {after_itself("Neg"), &leave_out},
  };
  const std::vector<std::string> names(std::begin(kViews), std::end(kViews));
  all.push_back({op(names, op(names, x).as("inner").more_inputs().shared()).more_inputs(), &views});
  return all;
}

}  // namespace

CAMEO_DEFINE_PASS(chains) = {
    .name = "chains",
    .summary = "makes one node of two that move or convert elements",
    .rules = &rules,
};

}  // namespace cameo::passes
