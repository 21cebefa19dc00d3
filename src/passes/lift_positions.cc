#include "passes/lift_positions.h"

#include <algorithm>

#include "base/error.h"
#include "passes/elementwise.h"

namespace cameo::passes {
namespace {

Error refuse(const ir::Node& node, std::string_view why) { return error(ErrorCode::kUnsupported, "{}: {}", node.describe(), why); }

std::optional<std::vector<int64_t>> known_ints(const GraphBuilder& b, const ir::Node& node, size_t i) {
  if (i >= node.inputs.size() || node.inputs[i] == ir::kNoValue || !b.fact(node.inputs[i]).constant.defined()) return std::nullopt;
  const auto values = ops::index_values(b.fact(node.inputs[i]).constant);
  if (!values) return std::nullopt;
  std::vector<int64_t> list;
  for (const ir::Dim& d : *values) list.push_back(d.value());
  return list;
}

}  // namespace

void PositionLifter::keep(ir::ValueId original, ir::ValueId lifted, SequenceAxes axes) {
  lifted_[original] = lifted;
  axes_[lifted] = axes;
}

bool PositionLifter::has_batch(ir::ValueId id) const {
  const auto& shape = b_.shape(id);
  return shape && shape->size() >= 2 && (*shape)[0] == batch_ && !batch_.is_const();
}

void PositionLifter::note_table(const ir::Node& node) {
  const auto& table = b_.shape(node.inputs[0]);
  const auto at = static_cast<size_t>(std::max<int64_t>(attr<int64_t>(node, "axis").value_or(0), 0));
  if (!table || at >= table->size() || !(*table)[at].is_const()) return;
  most_positions_ = most_positions_ == 0 ? (*table)[at].value() : std::min(most_positions_, (*table)[at].value());
}

Result<bool> PositionLifter::lift(const ir::Node& original, ir::Node& node) {
  if (original.outputs.size() != 1) {
    for (ir::ValueId id : original.inputs)
      if (lifted_.contains(id)) return refuse(original, "positions reach it in a way that is not known");
    return false;
  }
  CAMEO_ASSIGN(const bool counted, lift_count(original));
  if (counted) return true;
  CAMEO_ASSIGN(const bool looked_up, lift_table(original));
  if (looked_up) return true;
  bool some = false, tokens = has_batch(original.outputs[0]);
  for (size_t i = 0; i < original.inputs.size(); ++i) {
    if (original.inputs[i] == ir::kNoValue) continue;
    some |= lifted_.contains(original.inputs[i]);
    tokens |= axes_.contains(node.inputs[i]);
  }
  if (node.op->name == "Gather" && node.inputs.size() == 2 && (lifted_.contains(original.inputs[1]) || node.inputs[1] == positions_))
    note_table(node);
  if (!some) return false;
  if (!tokens) {
    CAMEO_ASSIGN(const ir::ValueId made, copy(original));
    const SequenceContext context = {b_.facts(), batch_, length_, [&](ir::ValueId id) {
                                       const auto it = axes_.find(id);
                                       return it == axes_.end() ? std::nullopt : std::optional(it->second);
                                     }};
    CAMEO_TRY(b_.status());
    CAMEO_ASSIGN(const SequenceAxes axes, sequence_axes(*b_.producer(made), context));
    if (axes.batch != 0) return refuse(original, "positions reach it in a way that is not known");
    keep(original.outputs[0], made, axes);
    return true;
  }
  const auto& result = b_.shape(original.outputs[0]);
  if (!result) return refuse(original, "the rank of its result is not known");
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (original.inputs[i] == ir::kNoValue || !lifted_.contains(original.inputs[i])) continue;
    const size_t own = b_.shape(original.inputs[i])->size();
    const bool broadcasts = is_elementwise(original) || original.op->name == "MatMul";
    CAMEO_ASSIGN(node.inputs[i], aligned(original.inputs[i], broadcasts ? result->size() : own, original));
  }
  return false;
}

// i + past + more along an axis of `length`, and nothing else in it.
std::optional<PositionLifter::Count> PositionLifter::count_of(ir::ValueId id) const {
  const auto& shape = b_.shape(id);
  const DType type = b_.dtype(id);
  if (!shape || shape->empty() || !(ops::kIntegerTypes | ops::kFloatTypes).contains(type)) return std::nullopt;
  const auto u = uniform_.of(id);
  if (!u || u->kind != Uniform::Kind::kCount || u->axis_from_end >= shape->size()) return std::nullopt;
  const size_t axis = shape->size() - 1 - u->axis_from_end;
  const ir::Dim more = u->offset - past_;
  if (!((*shape)[axis] == length_) || !more.is_const()) return std::nullopt;
  for (size_t i = 0; i < shape->size(); ++i)
    if (i != axis && !(*shape)[i].is(1) && !(shape->size() == 2 && has_batch(id))) return std::nullopt;
  return Count{axis, more.value()};
}

Result<bool> PositionLifter::lift_count(const ir::Node& original) {
  const ir::ValueId out = original.outputs[0];
  const auto found = count_of(out);
  if (!found) return false;
  const auto [axis, more] = *found;
  const auto& shape = b_.shape(out);
  const DType type = b_.dtype(out);
  ir::ValueId positions = positions_;
  if (more != 0) positions = b_.node("Add", {positions, b_.constant(Tensor::of<int64_t>({}, {more}))});
  if (type != DType::kInt64) positions = b_.node("Cast", {positions}, {{"to", static_cast<int64_t>(type)}});
  axes_[positions] = {0, 1};
  if (has_batch(out)) {
    replaced_[out] = positions;
    return true;
  }
  std::vector<int64_t> ones;
  for (size_t i = 0; i < shape->size(); ++i)
    if (i != axis) ones.push_back(static_cast<int64_t>(i) + 1);
  if (!ones.empty()) positions = b_.node("Unsqueeze", {positions, b_.ints(ones)});
  keep(out, positions, {0, static_cast<int>(axis) + 1});
  CAMEO_TRY(b_.status());
  return true;
}

// The first rows of a constant table, as many as there are tokens.
Result<bool> PositionLifter::lift_table(const ir::Node& original) {
  if (original.op->name != "Slice" || original.version < 10 || !b_.fact(original.inputs[0]).constant.defined()) return false;
  const auto& shape = b_.shape(original.outputs[0]);
  const auto axes = known_ints(b_, original, 3);
  const ops::Fact& starts = b_.fact(original.inputs[1]);
  const auto first = starts.values ? starts.values : starts.constant.defined() ? ops::index_values(starts.constant) : std::nullopt;
  if (!shape || !axes || axes->size() != 1 || !first || !(first->front() == past_)) return false;
  if (const auto steps = known_ints(b_, original, 4); original.inputs.size() > 4 && (!steps || (*steps)[0] != 1)) return false;
  const auto rank = static_cast<int64_t>(shape->size());
  const int64_t axis = (*axes)[0] < 0 ? (*axes)[0] + rank : (*axes)[0];
  // The slice is shorter where the table is: then the model would fail, and so does the look-up.
  if (axis < 0 || axis >= rank || !((*shape)[static_cast<size_t>(axis)].unclamped() == length_)) return false;
  const Tensor& table = b_.fact(original.inputs[0]).constant;
  Dims rows;
  for (int64_t i = 0; i < rank; ++i) {
    if (i < axis && table.dim(static_cast<size_t>(i)) != 1) return false;
    if (i >= axis) rows.push_back(table.dim(static_cast<size_t>(i)));
  }
  ir::ValueId made = b_.node("Gather", {b_.constant(table.reshaped(rows)), positions_}, {{"axis", int64_t{0}}});
  made = with_ones(made, static_cast<size_t>(axis));
  CAMEO_TRY(b_.status());
  most_positions_ = most_positions_ == 0 ? rows[0] : std::min(most_positions_, rows[0]);
  keep(original.outputs[0], made, {0, static_cast<int>(axis) + 1});
  return true;
}

// So many axes of extent 1 behind the batch.
ir::ValueId PositionLifter::with_ones(ir::ValueId lifted, size_t count) {
  if (count == 0) return lifted;
  std::vector<int64_t> ones;
  for (size_t i = 0; i < count; ++i) ones.push_back(static_cast<int64_t>(i) + 1);
  return b_.node("Unsqueeze", {lifted, b_.ints(ones)});
}

// As a tensor of that rank whose first axis is the batch.
Result<ir::ValueId> PositionLifter::aligned(ir::ValueId original, size_t rank, const ir::Node& node) {
  const ir::ValueId lifted = lifted_[original];
  const SequenceAxes axes = axes_[lifted];
  const size_t own = b_.shape(original)->size();
  ir::ValueId made = lifted;
  int moved = 0;
  if (rank > own) {
    made = with_ones(lifted, rank - own - 1);
    moved = static_cast<int>(rank - own) - 1;
  } else if (rank == own && own > 0 && (*b_.shape(original))[0].is(1) && axes.sequence > 1) {
    made = b_.node("Squeeze", {lifted, b_.ints({1})});
    moved = -1;
  } else {
    return refuse(node, "positions reach it in a way that is not known");
  }
  CAMEO_TRY(b_.status());
  axes_[made] = {0, axes.sequence + moved};
  return made;
}

// The node on values with a batch in front.
Result<ir::ValueId> PositionLifter::copy(const ir::Node& original) {
  const std::string_view op = original.op->name;
  const auto& result = b_.shape(original.outputs[0]);
  if (!result) return refuse(original, "the rank of its result is not known");
  std::vector<ir::ValueId> inputs = original.inputs;
  const auto is_lifted = [&](size_t i) { return i < inputs.size() && lifted_.contains(original.inputs[i]); };
  for (size_t i = 0; i < inputs.size(); ++i)
    if (is_lifted(i))
      inputs[i] = lifted_[original.inputs[i]];
    else if (i > 0 && (op == "Reshape" || op == "Expand"))
      continue;
    else if (inputs[i] != ir::kNoValue && !b_.fact(inputs[i]).constant.defined())
      return refuse(original, "positions meet something that depends on the number of tokens");
  if (is_elementwise(original) || op == "MatMul") {
    for (size_t i = 0; i < inputs.size(); ++i)
      if (is_lifted(i)) inputs[i] = with_ones(inputs[i], result->size() - b_.shape(original.inputs[i])->size());
    return b_.copy(original, inputs);
  }
  const auto shifted = [](std::vector<int64_t> axes) {
    for (int64_t& axis : axes) axis += axis >= 0;
    return axes;
  };
  if (op == "Unsqueeze" || op == "Squeeze") {
    const auto axes = original.version >= 13 ? known_ints(b_, original, 1) : attr<std::vector<int64_t>>(original, "axes");
    if (!axes) return refuse(original, "its axes are not known");
    return b_.node(op, {inputs[0], b_.ints(shifted(*axes))});
  }
  if (op == "Reshape" && is_lifted(0)) {
    std::vector<int64_t> target = {0};
    for (const ir::Dim& d : *result) target.push_back(d.is_const() ? d.value() : -1);
    if (std::count(target.begin(), target.end(), -1) != 1 || std::count(target.begin(), target.end(), 0) != 1)
      return refuse(original, "positions reach it in a way that is not known");
    return b_.node("Reshape", {inputs[0], b_.ints(target)});
  }
  if (op == "Transpose") {
    std::vector<int64_t> perm = {0};
    for (int64_t axis : attr<std::vector<int64_t>>(original, "perm").value_or(std::vector<int64_t>{})) perm.push_back(axis + 1);
    if (perm.size() != result->size() + 1) return refuse(original, "its permutation is not known");
    return b_.copy(original, inputs, {{"perm", perm}});
  }
  if (op == "Gather" && !is_lifted(0) && attr<int64_t>(original, "axis").value_or(0) == 0) return b_.copy(original, inputs);
  if (op == "Concat" && std::all_of(original.inputs.begin(), original.inputs.end(), [&](ir::ValueId id) { return lifted_.contains(id); })) {
    const int64_t axis = attr<int64_t>(original, "axis").value_or(0);
    return b_.copy(original, inputs, {{"axis", axis + (axis >= 0)}});
  }
  return refuse(original, "positions reach it in a way that is not known");
}

}  // namespace cameo::passes
