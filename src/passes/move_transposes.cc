// Transposes and Reshapes get out of the way of fusions:
//   an element-by-element program with one operand and numbers goes before the Transposes and Reshapes that stand between it and
//     the product, convolution or program that makes its operand, which can then take it in;
//   Transpose(Reshape(Transpose(x))), where the Reshape only splits axes, becomes Transpose(Reshape(x));
//   a Transpose that moves nothing but extents of 1 becomes a Reshape, which costs nothing.
#include <algorithm>
#include <numeric>

#include "passes/pass.h"
#include "passes/program_builder.h"
#include "passes/region.h"
#include "passes/reshape_target.h"

namespace cameo::passes {
namespace {

using ir::ValueId;

std::optional<std::vector<int64_t>> permutation_of(const GraphView& view, const ir::Node& node) {
  const auto& shape = view.shape(node.inputs[0]);
  if (!shape) return std::nullopt;
  auto perm = attr<std::vector<int64_t>>(node, "perm");
  if (!perm) {
    perm.emplace(shape->size());
    for (size_t i = 0; i < perm->size(); ++i) (*perm)[i] = static_cast<int64_t>(perm->size() - 1 - i);
  }
  return perm->size() == shape->size() ? perm : std::nullopt;
}

bool is_identity(const std::vector<int64_t>& perm) {
  for (size_t i = 0; i < perm.size(); ++i)
    if (perm[i] != static_cast<int64_t>(i)) return false;
  return true;
}

// For a Reshape that only splits axes: how many axes of the result each axis becomes.
std::optional<std::vector<size_t>> splits_of(const ir::Shape& from, const ir::Shape& to) {
  std::vector<size_t> counts;
  size_t next = 0;
  for (const ir::Dim& extent : from) {
    size_t count = 0;
    ir::Dim product = 1;
    if (next < to.size() && to[next] == extent) {
      count = 1;
    } else {
      while (next + count < to.size() && !(count > 0 && product == extent)) product = product * to[next + count++];
      if (!(product == extent) || extent.is(0)) return std::nullopt;
    }
    counts.push_back(count);
    next += count;
  }
  return next == to.size() ? std::optional(counts) : std::nullopt;
}

Rewrite through_split(const Match& match, const GraphView& view) {
  const ir::Node &outer = match.root(), &inner = *match.node("inner"), &split = *match.node("split");
  const auto first = permutation_of(view, inner), second = permutation_of(view, outer);
  const auto &x = view.shape(match["x"]), &from = view.shape(inner.outputs[0]), &to = view.shape(split.outputs[0]);
  if (!first || !second || !x || !from || !to) return NoMatch{};
  const auto counts = splits_of(*from, *to);
  if (!counts) return NoMatch{};
  // Axis (*first)[i] of x becomes the axes of group i of the split.
  std::vector<size_t> begin(counts->size(), 0);
  std::partial_sum(counts->begin(), counts->end() - 1, begin.begin() + 1);
  ir::Shape shape;
  std::vector<size_t> place(to->size());  // where an axis of the split stands in the split of x
  for (size_t axis = 0; axis < x->size(); ++axis) {
    const auto group = static_cast<size_t>(std::ranges::find(*first, static_cast<int64_t>(axis)) - first->begin());
    for (size_t k = 0; k < (*counts)[group]; ++k) {
      place[begin[group] + k] = shape.size();
      shape.push_back((*to)[begin[group] + k]);
    }
  }
  const auto target = reshape_target(&*x, shape);
  if (!target) return Reject{fmt::format("the shape {} cannot be written as a constant", ir::to_string(shape))};
  std::vector<int64_t> perm;
  for (int64_t axis : *second) perm.push_back(static_cast<int64_t>(place[static_cast<size_t>(axis)]));
  Patch patch(view);
  ValueId y = patch.node("Reshape", {match["x"], patch.ints(*target)});
  if (!is_identity(perm)) y = patch.node("Transpose", {y}, {{"perm", perm}});
  patch.replace(outer.outputs[0], y);
  return patch;
}

Rewrite of_ones(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  const auto perm = permutation_of(view, node);
  const auto &x = view.shape(node.inputs[0]), &y = view.shape(node.outputs[0]);
  if (!perm || !x || !y) return NoMatch{};
  int64_t last = -1;
  for (int64_t axis : *perm) {
    if ((*x)[static_cast<size_t>(axis)].is(1)) continue;
    if (axis < last) return NoMatch{};
    last = axis;
  }
  const auto target = reshape_target(&*x, *y);
  if (!target) return Reject{fmt::format("the shape {} cannot be written as a constant", ir::to_string(*y))};
  Patch patch(view);
  patch.replace(node.outputs[0], patch.node("Reshape", {node.inputs[0], patch.ints(*target)}));
  return patch;
}

bool only_moves(const ir::Node& node) {
  static constexpr std::string_view kMoves[] = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"};
  return node.op->domain.empty() && std::ranges::find(kMoves, node.op->name) != std::end(kMoves);
}

// Puts the program at `index` before what moves its operand.
Status raise(PassContext& context, uint32_t index) {
  Editor& editor = context.editor;
  const ir::Node& node = editor.node(index);
  if (node.inputs.size() != 1) return {};
  std::vector<uint32_t> moves;  // from the program upwards
  ValueId x = node.inputs[0];
  while (true) {
    const int32_t at = editor.producer_index(x);
    if (at < 0 || editor.uses(x) != 1 || !only_moves(editor.node(static_cast<size_t>(at)))) break;
    moves.push_back(static_cast<uint32_t>(at));
    x = editor.node(static_cast<size_t>(at)).inputs[0];
  }
  const ir::Node* maker = editor.producer(x);
  if (moves.empty() || maker == nullptr || maker->op->domain != ops::kCameoDomain || maker->outputs.size() != 1 || editor.uses(x) != 1 ||
      editor.dtype(x) != DType::kFloat32)
    return {};
  Patch patch(editor);
  ir::Node raised = node;
  raised.inputs = {x};
  raised.outputs = {0};
  ValueId y = patch.node(std::move(raised))[0];
  for (size_t i = moves.size(); i-- > 0;) {
    ir::Node moved = editor.node(moves[i]);
    moved.inputs[0] = y;
    moved.outputs = {0};
    y = patch.node(std::move(moved))[0];
  }
  patch.replace(node.outputs[0], y);
  const uint32_t matched[] = {index};
  auto applied = editor.apply(std::move(patch), index, matched);
  if (applied.ok())
    ++context.report.changes;
  else
    context.note(editor.node(index), applied.error().message());
  return {};
}

Status run(PassContext& context) {
  Editor& editor = context.editor;
  static const Pattern kSplit = op("Transpose", op("Reshape", op("Transpose", any("x")).as("inner").shared(), any()).as("split"));
  const std::pair<Pattern, Rewrite (*)(const Match&, const GraphView&)> rules[] = {{kSplit, &through_split},
                                                                                   {op("Transpose", any()), &of_ones}};
  for (uint32_t index = editor.first(); index != Editor::kEnd;) {
    const uint32_t next = editor.next(index);
    if (editor.alive(index) && is_cameo(editor.node(index), "Pointwise")) CAMEO_TRY(raise(context, index));
    for (const auto& [pattern, rewrite] : rules) {
      if (!editor.alive(index) || editor.node(index).op->name != "Transpose") break;
      const auto found = match(pattern, editor, index);
      if (!found) continue;
      Rewrite made = rewrite(*found, editor);
      if (const auto* reject = std::get_if<Reject>(&made)) context.note(editor.node(index), reject->reason);
      auto* patch = std::get_if<Patch>(&made);
      if (patch == nullptr) continue;
      auto applied = editor.apply(std::move(*patch), index, found->nodes());
      if (applied.ok())
        ++context.report.changes;
      else
        context.note(editor.node(index), applied.error().message());
    }
    index = next;
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_PASS(move_transposes) = {
    .name = "move_transposes",
    .summary = "moves Transposes and Reshapes out of the way of fusions",
    .run = &run,
    .late = true,
};

}  // namespace cameo::passes
