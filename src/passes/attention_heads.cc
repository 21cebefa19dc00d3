#include "passes/attention_heads.h"

#include <algorithm>

#include "passes/region.h"

namespace cameo::passes {
namespace {

using Layout = std::vector<std::vector<HeadAxis>>;
constexpr int kMaxSteps = 24;

class Tracer {
 public:
  Tracer(const GraphView& view, HeadTensor start, const HeadOptions& options) : view_(view), now_(std::move(start)), options_(options) {}

  std::vector<HeadTensor> run() {
    std::vector<HeadTensor> trace = {now_};
    for (int i = 0; i < kMaxSteps && step(); ++i) trace.push_back(now_);
    return trace;
  }

 private:
  // Goes one node back; false where that is not possible, and then now_ is of no use.
  bool step() {
    const ir::Node* node = view_.producer(now_.value);
    if (node == nullptr || !node->op->domain.empty() || !view_.shape(now_.value)) return false;
    const std::string_view op = node->op->name;
    const ir::ValueId from = GraphView::input(*node, 0);
    if (from == ir::kNoValue || !view_.shape(from)) return false;
    if (op == "Transpose") return transpose(*node, from);
    if (op == "Reshape" || op == "Flatten" || op == "Squeeze" || op == "Unsqueeze") return reshape(from);
    if (op == "Mul" || op == "Div") return scaled(*node);
    if (op == "Expand" || op == "Tile") return repeated(from);
    if (op == "Concat") return concatenated(*node);
    if (op == "Gather") return gathered(*node, from);
    if (op == "Slice") return sliced(*node, from);
    if (op == "Split") return split(*node, from);
    return false;
  }

  bool transpose(const ir::Node& node, ir::ValueId from) {
    const auto perm = attr<std::vector<int64_t>>(node, "perm");
    if (!perm || perm->size() != now_.layout.size()) return false;
    Layout before(now_.layout.size());
    for (size_t i = 0; i < perm->size(); ++i) {
      const auto axis = static_cast<size_t>((*perm)[i]);
      if (axis >= before.size()) return false;
      before[axis] = now_.layout[i];
    }
    return go(from, std::move(before));
  }

  // Elements keep their order, so the factors do too; each extent of the input takes as many as it is the product of.
  bool reshape(ir::ValueId from) {
    std::vector<HeadAxis> factors;
    for (const auto& axis : now_.layout) factors.insert(factors.end(), axis.begin(), axis.end());
    const ir::Shape& shape = *view_.shape(from);
    Layout before(shape.size());
    HeadTensor changed = now_;
    size_t next = 0;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i].is(1)) continue;
      ir::Dim product = 1;
      while (next < factors.size() && !(product == shape[i])) {
        const HeadAxis factor = factors[next];
        const bool whole = before[i].empty() && !(changed.size(factor) == shape[i]);
        if (whole && i + 1 < shape.size() && take_apart(changed, factors, next, shape[i], shape[i + 1])) continue;
        product = product * changed.size(factor);
        before[i].push_back(factor);
        ++next;
      }
      if (!(product == shape[i])) return false;
    }
    for (; next < factors.size(); ++next)
      if (!changed.size(factors[next]).is(1))
        return false;
      else if (before.empty())
        return false;
      else
        before.back().push_back(factors[next]);
    now_ = std::move(changed);
    return go(from, std::move(before));
  }

  // A factor that is the product of two extents: the batch, of batch and heads; the heads, of heads and groups.
  bool take_apart(HeadTensor& tensor, std::vector<HeadAxis>& factors, size_t at, const ir::Dim& first, const ir::Dim& second) const {
    const HeadAxis factor = factors[at];
    auto inner = HeadAxis::kHead;
    if (factor == HeadAxis::kHead && tensor.size(HeadAxis::kGroup).is(1) && first.is_const() && second.is_const())
      inner = HeadAxis::kGroup;
    else if (factor != HeadAxis::kBatch || tensor.has_heads || !options_.may_split_batch)
      return false;
    if (!(first * second == tensor.size(factor))) return false;
    tensor.sizes[static_cast<size_t>(factor)] = first;
    tensor.sizes[static_cast<size_t>(inner)] = second;
    if (inner == HeadAxis::kHead) tensor.has_heads = true;
    factors.insert(factors.begin() + static_cast<std::ptrdiff_t>(at) + 1, inner);
    return true;
  }

  bool scaled(const ir::Node& node) {
    if (!options_.may_scale) return false;
    const bool divides = node.op->name == "Div";
    for (size_t i : {size_t{1}, size_t{0}}) {
      const auto number = number_of(view_, node.inputs[i]);
      if (!number || (divides && i == 0)) continue;
      // What is multiplied after past and new came together must be, before.
      if (now_.past != ir::kNoValue || !view_.same_shape(node.inputs[1 - i], now_.value)) return false;
      now_.scale *= divides ? 1 / *number : *number;
      return go(node.inputs[1 - i], now_.layout);
    }
    return false;
  }

  // Repeats of each head for the query heads of its group.
  bool repeated(ir::ValueId from) {
    const ir::Shape &shape = *view_.shape(from), &after = *view_.shape(now_.value);
    if (shape.size() != after.size()) return false;
    Layout before = now_.layout;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == after[i]) continue;
      if (!shape[i].is(1) || before[i] != std::vector{HeadAxis::kGroup}) return false;
      before[i].clear();
    }
    return go(from, std::move(before));
  }

  bool concatenated(const ir::Node& node) {
    const auto axis = attr<int64_t>(node, "axis");
    const auto rank = static_cast<int64_t>(now_.layout.size());
    static const Layout kPlain = {{HeadAxis::kBatch}, {HeadAxis::kHead}, {HeadAxis::kLength}, {HeadAxis::kSize}};
    if (!options_.may_have_past || now_.past != ir::kNoValue || !axis || node.inputs.size() != 2 || now_.layout != kPlain ||
        (*axis < 0 ? *axis + rank : *axis) != 2)
      return false;
    const ir::ValueId fresh = node.inputs[1];
    if (!view_.shape(fresh)) return false;
    now_.past = node.inputs[0];
    now_.present = now_.value;
    now_.sizes[static_cast<size_t>(HeadAxis::kLength)] = (*view_.shape(fresh))[2];
    return go(fresh, now_.layout);
  }

  bool becomes_part(int64_t part, const ir::Dim& parts) {
    if (!parts.is_const() || part < 0 || part >= parts.value() || now_.parts != 1) return false;
    now_.part = part;
    now_.parts = parts.value();
    now_.sizes[static_cast<size_t>(HeadAxis::kPart)] = parts;
    return true;
  }

  bool gathered(const ir::Node& node, ir::ValueId from) {
    const ir::ValueId index_id = GraphView::input(node, 1);
    const Tensor* index = view_.constant(index_id);
    const auto number = number_of(view_, index_id);
    const auto given = attr<int64_t>(node, "axis");
    if (index == nullptr || index->rank() != 0 || !number || !given) return false;
    const ir::Shape& shape = *view_.shape(from);
    const auto axis = static_cast<size_t>(*given < 0 ? *given + static_cast<int64_t>(shape.size()) : *given);
    if (axis >= shape.size() || shape.size() != now_.layout.size() + 1 || !shape[axis].is_const()) return false;
    auto part = static_cast<int64_t>(*number);
    if (part < 0) part += shape[axis].value();
    if (!becomes_part(part, shape[axis])) return false;
    Layout before = now_.layout;
    before.insert(before.begin() + static_cast<std::ptrdiff_t>(axis), {HeadAxis::kPart});
    return go(from, std::move(before));
  }

  // The single axis along which `from` is longer, where the value has 1.
  std::optional<size_t> cut_axis(ir::ValueId from) const {
    const ir::Shape &shape = *view_.shape(from), &after = *view_.shape(now_.value);
    if (shape.size() != after.size()) return std::nullopt;
    std::optional<size_t> axis;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == after[i]) continue;
      if (axis || !after[i].is(1) || !now_.layout[i].empty()) return std::nullopt;
      axis = i;
    }
    return axis;
  }

  bool cut(ir::ValueId from, size_t axis, int64_t part) {
    if (!becomes_part(part, (*view_.shape(from))[axis])) return false;
    Layout before = now_.layout;
    before[axis] = {HeadAxis::kPart};
    return go(from, std::move(before));
  }

  bool sliced(const ir::Node& node, ir::ValueId from) {
    const auto axis = cut_axis(from);
    const auto starts = view_.ints(GraphView::input(node, 1)), axes = view_.ints(GraphView::input(node, 3));
    if (!axis || !starts || !axes || starts->size() != 1 || axes->size() != 1) return false;
    const auto rank = static_cast<int64_t>(now_.layout.size());
    if ((*axes)[0] != static_cast<int64_t>(*axis) && (*axes)[0] + rank != static_cast<int64_t>(*axis)) return false;
    const ir::Dim& extent = (*view_.shape(from))[*axis];
    if (!extent.is_const()) return false;
    return cut(from, *axis, (*starts)[0] < 0 ? (*starts)[0] + extent.value() : (*starts)[0]);
  }

  bool split(const ir::Node& node, ir::ValueId from) {
    const auto axis = cut_axis(from);
    if (!axis) return false;
    const ir::Dim& extent = (*view_.shape(from))[*axis];
    // As many outputs as the axis is long: each has one element of it.
    if (!extent.is(static_cast<int64_t>(node.outputs.size()))) return false;
    const auto at = std::find(node.outputs.begin(), node.outputs.end(), now_.value);
    return cut(from, *axis, at - node.outputs.begin());
  }

  bool go(ir::ValueId to, Layout layout) {
    now_.value = to;
    now_.layout = std::move(layout);
    return true;
  }

  const GraphView& view_;
  HeadTensor now_;
  const HeadOptions& options_;
};

const std::vector<HeadAxis>* single(const HeadTensor& heads, HeadAxis wanted) {
  for (const auto& axis : heads.layout)
    if (axis.size() == 1 && axis[0] == wanted) return &axis;
  return nullptr;
}

// The factors of the axes after batch and length, when those come first and stand alone; the order that a packed tensor has.
std::optional<std::vector<HeadAxis>> after_length(const HeadTensor& heads) {
  const Layout& l = heads.layout;
  if (l.size() < 3 || l[0] != std::vector{HeadAxis::kBatch} || l[1] != std::vector{HeadAxis::kLength}) return std::nullopt;
  std::vector<HeadAxis> rest;
  for (size_t i = 2; i < l.size(); ++i) rest.insert(rest.end(), l[i].begin(), l[i].end());
  return rest;
}

bool is_packed(const HeadTensor& heads) {
  auto rest = after_length(heads);
  if (!rest || !heads.size(HeadAxis::kSize).is_const() || (heads.has_heads && !heads.size(HeadAxis::kHead).is_const())) return false;
  std::vector<HeadAxis> wanted;
  if (heads.parts > 1) wanted.push_back(HeadAxis::kPart);
  if (heads.has_heads) wanted.push_back(HeadAxis::kHead);
  wanted.push_back(HeadAxis::kSize);
  return *rest == wanted;
}

bool is_heads(const HeadTensor& heads) {
  if (heads.parts > 1 || heads.layout.size() != (heads.has_heads ? 4u : 3u)) return false;
  for (HeadAxis axis : {HeadAxis::kBatch, HeadAxis::kLength, HeadAxis::kSize})
    if (single(heads, axis) == nullptr) return false;
  return !heads.has_heads || single(heads, HeadAxis::kHead) != nullptr;
}

// Whether repeats that were begun are complete: no axis counts the group any more.
bool is_complete(const HeadTensor& heads) {
  for (const auto& axis : heads.layout)
    if (std::find(axis.begin(), axis.end(), HeadAxis::kGroup) != axis.end()) return false;
  return true;
}

}  // namespace

int64_t HeadTensor::groups() const { return size(HeadAxis::kGroup).is_const() ? size(HeadAxis::kGroup).value() : 1; }

std::vector<HeadTensor> trace_heads(const GraphView& view, ir::ValueId value, std::vector<HeadAxis> axes, const HeadOptions& options) {
  HeadTensor start;
  start.value = value;
  start.sizes.assign(6, ir::Dim(1));
  for (size_t i = 0; i < axes.size(); ++i) {
    start.layout.push_back({axes[i]});
    start.sizes[static_cast<size_t>(axes[i])] = (*view.shape(value))[i];
    start.has_heads |= axes[i] == HeadAxis::kHead;
  }
  return Tracer(view, std::move(start), options).run();
}

std::optional<HeadTensor> deepest(const std::vector<HeadTensor>& trace, bool packed, bool has_heads) {
  for (size_t i = trace.size(); i-- > 0;)
    if (trace[i].has_heads == has_heads && is_complete(trace[i]) && (packed ? is_packed(trace[i]) : is_heads(trace[i]))) return trace[i];
  return std::nullopt;
}

ir::ValueId as_packed(Patch& patch, const HeadTensor& heads, std::vector<PackedSplit>& splits) {
  ir::ValueId value = heads.value;
  if (heads.layout.size() > 3) {
    int64_t width = heads.parts;
    for (HeadAxis axis : {HeadAxis::kHead, HeadAxis::kSize}) width *= heads.size(axis).value();
    // The parts of one tensor share the Reshape and the Split.
    const auto known = std::find_if(splits.begin(), splits.end(), [&](const PackedSplit& s) { return s.of == heads.value; });
    if (heads.parts > 1 && known != splits.end()) return known->parts[static_cast<size_t>(heads.part)];
    value = patch.node("Reshape", {value, patch.ints(std::vector<int64_t>{0, 0, width})});
  }
  if (heads.parts == 1) return value;
  auto known = std::find_if(splits.begin(), splits.end(), [&](const PackedSplit& s) { return s.of == heads.value; });
  if (known == splits.end()) {
    ir::Node node;
    node.op = ops::find_op("", "Split");
    node.version = node.op->max_version;
    node.inputs = {value};
    node.outputs.assign(static_cast<size_t>(heads.parts), 0);
    auto attrs = make_attrs(*node.op, {{"axis", int64_t{2}}, {"num_outputs", heads.parts}});
    node.attrs = attrs.ok() ? std::move(attrs).value() : node.op->make_attrs();
    splits.push_back({heads.value, patch.node(std::move(node))});
    known = splits.end() - 1;
  }
  return known->parts[static_cast<size_t>(heads.part)];
}

ir::ValueId as_heads(Patch& patch, const HeadTensor& heads) {
  std::vector<int64_t> perm;
  for (HeadAxis wanted : {HeadAxis::kBatch, HeadAxis::kHead, HeadAxis::kLength, HeadAxis::kSize})
    for (size_t i = 0; i < heads.layout.size(); ++i)
      if (heads.layout[i] == std::vector{wanted}) perm.push_back(static_cast<int64_t>(i));
  ir::ValueId value = heads.value;
  if (!std::is_sorted(perm.begin(), perm.end())) value = patch.node("Transpose", {value}, {{"perm", perm}});
  if (!heads.has_heads) value = patch.node("Unsqueeze", {value, patch.ints(std::vector<int64_t>{1})});
  return value;
}

}  // namespace cameo::passes
