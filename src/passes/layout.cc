#include "passes/layout.h"

#include <algorithm>

#include "ops/cameo_conv.h"
#include "ops/cameo_pool.h"
#include "ops/channels_last.h"
#include "passes/elementwise.h"
#include "passes/padding.h"
#include "passes/program_builder.h"
#include "passes/region.h"
#include "passes/reshape_target.h"

namespace cameo::passes {

using ir::ValueId;

namespace {

constexpr size_t kMinRank = 3, kMaxRank = 5;

constexpr std::string_view kReductions[] = {"ReduceL1",   "ReduceL2",  "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
                                            "ReduceMean", "ReduceMin", "ReduceProd",   "ReduceSum",       "ReduceSumSquare"};

bool is_one_of(std::string_view name, std::span<const std::string_view> names) { return std::ranges::find(names, name) != names.end(); }

std::optional<size_t> rank_of(const GraphView& view, ValueId id) {
  if (id == ir::kNoValue || !view.shape(id)) return std::nullopt;
  return view.shape(id)->size();
}

bool has_channels(const GraphView& view, ValueId id) {
  const auto rank = rank_of(view, id);
  return rank && *rank >= kMinRank && *rank <= kMaxRank;
}

// Where an axis of [N, C, spatial…] is in [N, spatial…, C].
int64_t moved_axis(int64_t axis, size_t rank) {
  const auto n = static_cast<int64_t>(rank);
  if (axis < 0) axis += n;
  return axis == 0 ? 0 : axis == 1 ? n - 1 : axis - 1;
}

bool is_axis(int64_t axis, size_t rank) { return axis >= -static_cast<int64_t>(rank) && axis < static_cast<int64_t>(rank); }

bool has_one_element(const GraphView& view, ValueId id) {
  const auto& shape = view.shape(id);
  return shape && std::ranges::all_of(*shape, [](const ir::Dim& d) { return d.is(1); });
}

// Operands that broadcast to a result of that rank: those of full rank move, constants and single elements follow.
bool operands_move(const GraphView& view, const ir::Node& node, size_t first, size_t rank, LayoutRole& role) {
  for (size_t i = first; i < node.inputs.size(); ++i) {
    const ValueId id = node.inputs[i];
    if (id == ir::kNoValue) continue;
    const auto own = rank_of(view, id);
    if (!own || *own > rank) return false;
    if (has_one_element(view, id) || view.constant(id) != nullptr) continue;
    if (*own != rank) return false;
    role.inputs.push_back(i);
  }
  return true;
}

// The axes that a node names by attribute or input `position`; nothing when they are not known or not given.
std::optional<std::vector<int64_t>> axes_of(const GraphView& view, const ir::Node& node, size_t position, size_t rank) {
  auto axes = attr<std::vector<int64_t>>(node, "axes");
  if (!axes) axes = view.ints(GraphView::input(node, position));
  if (!axes || axes->empty() || !std::ranges::all_of(*axes, [&](int64_t a) { return is_axis(a, rank); })) return std::nullopt;
  return axes;
}

std::optional<LayoutRole> elementwise(const GraphView& view, const ir::Node& node) {
  if (node.outputs.size() != 1 || !has_channels(view, node.outputs[0])) return std::nullopt;
  if (node.op->domain.empty() && node.inputs.size() > 1 && node.version < 8) return std::nullopt;
  LayoutRole role{.outputs = {0}};
  if (!operands_move(view, node, 0, *rank_of(view, node.outputs[0]), role) || role.inputs.empty()) return std::nullopt;
  return role;
}

std::optional<LayoutRole> reduction(const GraphView& view, const ir::Node& node) {
  const size_t rank = *rank_of(view, node.inputs[0]);
  const auto axes = axes_of(view, node, 1, rank);
  if (!axes) return std::nullopt;
  if (attr<int64_t>(node, "keepdims").value_or(1) != 0) return LayoutRole{.inputs = {0}, .outputs = {0}};
  // Without the reduced axes the others must stand in the same order.
  std::vector<char> reduced(rank, 0);
  for (int64_t a : *axes) reduced[static_cast<size_t>(a < 0 ? a + static_cast<int64_t>(rank) : a)] = 1;
  const bool spatial = std::all_of(reduced.begin() + 2, reduced.end(), [](char r) { return r != 0; });
  return reduced[1] || spatial ? std::optional(LayoutRole{.inputs = {0}}) : std::nullopt;
}

// [N, C, spatial…] to [N, C, other spatial…].
std::optional<LayoutRole> reshape(const GraphView& view, const ir::Node& node) {
  if (!has_channels(view, node.outputs[0])) return std::nullopt;
  const ir::Shape &from = *view.shape(node.inputs[0]), &to = *view.shape(node.outputs[0]);
  if (!(from[0] == to[0]) || !(from[1] == to[1]) || from[0].is(0) || from[1].is(0)) return std::nullopt;
  const ir::Shape last = ops::channels_last(from);
  if (!reshape_target(&last, ops::channels_last(to))) return std::nullopt;
  return LayoutRole{.inputs = {0}, .outputs = {0}};
}

// Reshape([N, C, …] to [N, g, C / g, …]), Transpose of axes 1 and 2, Reshape back: the nodes below the last one.
std::vector<uint32_t> channel_shuffle(const GraphView& view, const ir::Node& node) {
  const ir::Node* swap = made_by(view, node.inputs[0], "Transpose");
  const ir::Node* split = swap ? made_by(view, swap->inputs[0], "Reshape") : nullptr;
  if (split == nullptr || view.uses(node.inputs[0]) != 1 || view.uses(swap->inputs[0]) != 1) return {};
  const auto &x = view.shape(split->inputs[0]), &y = view.shape(node.outputs[0]), &groups = view.shape(swap->inputs[0]);
  const auto perm = attr<std::vector<int64_t>>(*swap, "perm");
  if (!x || !y || !groups || !perm || x->size() < kMinRank || x->size() > kMaxRank || groups->size() != x->size() + 1) return {};
  if (perm->size() != groups->size() || (*perm)[1] != 2 || (*perm)[2] != 1) return {};
  for (size_t i = 0; i < perm->size(); ++i)
    if (i != 1 && i != 2 && (*perm)[i] != static_cast<int64_t>(i)) return {};
  if (x->size() != y->size() || !std::equal(x->begin(), x->end(), y->begin())) return {};
  if (!((*groups)[0] == (*x)[0]) || !(*groups)[1].is_const() || !(*groups)[2].is_const() || !(*x)[1].is_const()) return {};
  if ((*groups)[1].value() < 1 || (*groups)[2].value() < 1 || !std::equal(x->begin() + 2, x->end(), groups->begin() + 3)) return {};
  return {static_cast<uint32_t>(view.producer_index(swap->inputs[0])), static_cast<uint32_t>(view.producer_index(node.inputs[0]))};
}

std::optional<std::vector<int64_t>> pool_kernel(const GraphView& view, const ir::Node& node) {
  const auto kernel = attr<std::vector<int64_t>>(node, "kernel_shape");
  const ir::Shape& x = *view.shape(node.inputs[0]);
  if (!kernel || x.size() > 4 || node.outputs.size() > 1 || view.dtype(node.inputs[0]) != DType::kFloat32 ||
      !explicit_window(node, x, 2, *kernel))
    return std::nullopt;
  return kernel;
}

std::optional<LayoutRole> windows(const GraphView& view, const ir::Node& node) {
  const auto& x = view.shape(node.inputs[0]);
  const size_t rank = x ? x->size() : 0;
  if (is_cameo(node, "Conv")) {
    if ((rank != 3 && rank != 4) || node.attrs_as<ops::CameoConvAttrs>().channels_last != 0) return std::nullopt;
    LayoutRole role{.prefers_last = true, .inputs = {0}, .outputs = {0}};
    return operands_move(view, node, 2, rank, role) ? std::optional(role) : std::nullopt;
  }
  return pool_kernel(view, node) ? std::optional(LayoutRole{.inputs = {0}, .outputs = {0}}) : std::nullopt;
}

// Values along the axes of [N, C, spatial…], such as scales, in the order of the channels-last form.
ValueId along_axes(const GraphView& view, Patch& patch, ValueId list, size_t rank, int repeats) {
  const auto order = to_channels_last(rank);
  std::vector<int64_t> indices;
  for (int r = 0; r < repeats; ++r)
    for (int64_t axis : order) indices.push_back(axis + r * static_cast<int64_t>(rank));
  if (const auto values = view.ints(list)) {
    std::vector<int64_t> moved;
    for (int64_t i : indices) moved.push_back((*values)[static_cast<size_t>(i)]);
    return patch.ints(moved);
  }
  return patch.node("Gather", {list, patch.ints(indices)}, {{"axis", int64_t{0}}});
}

bool has_length(const GraphView& view, ValueId list, size_t length) {
  const auto& shape = view.shape(list);
  return shape && shape->size() == 1 && (*shape)[0].is(static_cast<int64_t>(length));
}

// An operand that broadcasts to a result of that rank, in the channels-last form.
ValueId operand_last(const GraphView& view, Patch& patch, ValueId id, size_t rank) {
  if (has_one_element(view, id)) return id;
  const ir::Shape& shape = *view.shape(id);
  const size_t missing = rank - shape.size();
  if (const Tensor* t = view.constant(id)) {
    bool only_channels = true;
    for (size_t i = 0; i < shape.size(); ++i) only_channels &= t->dim(i) == 1 || i + missing == 1;
    if (only_channels) return patch.constant(t->reshaped({t->num_elements()}));
  }
  if (missing > 0) {
    std::vector<int64_t> axes(missing);
    for (size_t i = 0; i < missing; ++i) axes[i] = static_cast<int64_t>(i);
    id = patch.node("Unsqueeze", {id, patch.ints(axes)});
  }
  return patch.node("Transpose", {id}, {{"perm", to_channels_last(rank)}});
}

// A copy of the node with other inputs and attributes.
std::optional<ValueId> copy_of(Patch& patch, const ir::Node& node, std::vector<ValueId> inputs, const AttrList& list = {}) {
  auto attrs = changed_attrs(node, list);
  if (!attrs.ok()) return std::nullopt;
  ir::Node copy = node;
  copy.attrs = std::move(attrs).value();
  copy.inputs = std::move(inputs);
  copy.outputs = {0};
  return patch.node(std::move(copy))[0];
}

ValueId pool_last(const GraphView& view, const ir::Node& node, Patch& patch, ValueId x) {
  const auto kernel = *pool_kernel(view, node);
  const auto window = *explicit_window(node, *view.shape(node.inputs[0]), 2, kernel);
  const auto fill = [&](ops::CameoPoolAttrs& attrs) {
    attrs.kernel_shape = kernel;
    attrs.strides = window.strides;
    attrs.dilations = window.dilations;
    attrs.pads = window.pads;
    // What auto_pad asks for fits without.
    const auto auto_pad = attr<std::string>(node, "auto_pad").value_or("NOTSET");
    attrs.ceil_mode = auto_pad.starts_with("SAME") ? 0 : attr<int64_t>(node, "ceil_mode").value_or(0);
  };
  if (node.op->name == "MaxPool") {
    auto attrs = std::make_shared<ops::CameoMaxPoolAttrs>();
    fill(*attrs);
    return patch.node(cameo_node("MaxPool", {x}, std::move(attrs)))[0];
  }
  auto attrs = std::make_shared<ops::CameoAveragePoolAttrs>();
  fill(*attrs);
  attrs->count_include_pad = attr<int64_t>(node, "count_include_pad").value_or(0);
  return patch.node(cameo_node("AveragePool", {x}, std::move(attrs)))[0];
}

ValueId shuffle_last(const GraphView& view, const ir::Node& node, Patch& patch, ValueId x) {
  const ir::Node& swap = *view.producer(node.inputs[0]);
  const ir::Shape& groups = *view.shape(swap.inputs[0]);
  std::vector<int64_t> split(groups.size(), 0), perm(groups.size()), merge(groups.size() - 1, 0);
  split[groups.size() - 2] = groups[1].value();
  split[groups.size() - 1] = groups[2].value();
  for (size_t i = 0; i < perm.size(); ++i) perm[i] = static_cast<int64_t>(i);
  std::swap(perm[groups.size() - 1], perm[groups.size() - 2]);
  merge.back() = groups[1].value() * groups[2].value();
  const ValueId grouped = patch.node("Reshape", {x, patch.ints(split)});
  return patch.node("Reshape", {patch.node("Transpose", {grouped}, {{"perm", perm}}), patch.ints(merge)});
}

}  // namespace

std::vector<int64_t> to_channels_last(size_t rank) {
  std::vector<int64_t> perm(rank, 0);
  for (size_t i = 1; i < rank; ++i) perm[i] = i + 1 < rank ? static_cast<int64_t>(i + 1) : 1;
  return perm;
}

std::vector<int64_t> to_channels_first(size_t rank) {
  std::vector<int64_t> perm(rank, 0);
  for (size_t i = 1; i < rank; ++i) perm[i] = static_cast<int64_t>(i == 1 ? rank - 1 : i - 1);
  return perm;
}

bool is_transpose(const GraphView& view, const ir::Node& node, std::vector<int64_t> (*permutation)(size_t rank)) {
  if (node.op->name != "Transpose" || !node.op->domain.empty() || !has_channels(view, node.outputs[0])) return false;
  const auto perm = attr<std::vector<int64_t>>(node, "perm");
  return perm && *perm == permutation(perm->size());
}

std::optional<LayoutRole> layout_role(const GraphView& view, const ir::Node& node) {
  const std::string_view name = node.op->name;
  if (is_cameo(node, "Pointwise")) return elementwise(view, node);
  if (node.inputs.empty() || node.outputs.empty() || !node.subgraphs.empty() || !has_channels(view, node.inputs[0])) {
    const bool broadcasts = is_elementwise(node) && !node.inputs.empty();
    return broadcasts ? elementwise(view, node) : std::nullopt;
  }
  if (is_cameo(node, "Conv")) return windows(view, node);
  if (!node.op->domain.empty()) return std::nullopt;
  const size_t rank = *rank_of(view, node.inputs[0]);
  if (is_elementwise(node)) return elementwise(view, node);
  // With one scale for all elements.
  if ((name == "QuantizeLinear" || name == "DequantizeLinear") && has_one_element(view, node.inputs[1])) return elementwise(view, node);
  if (name == "MaxPool" || name == "AveragePool") return windows(view, node);
  if (name == "GlobalAveragePool" || name == "GlobalMaxPool") return LayoutRole{.inputs = {0}, .outputs = {0}};
  if (is_one_of(name, kReductions)) return reduction(view, node);
  if (name == "Concat") {
    LayoutRole role{.outputs = {0}};
    for (size_t i = 0; i < node.inputs.size(); ++i) role.inputs.push_back(i);
    return is_axis(attr<int64_t>(node, "axis").value_or(1), rank) ? std::optional(role) : std::nullopt;
  }
  if (name == "Split") {
    LayoutRole role{.inputs = {0}};
    for (size_t i = 0; i < node.outputs.size(); ++i)
      if (node.outputs[i] != ir::kNoValue) role.outputs.push_back(i);
    return is_axis(attr<int64_t>(node, "axis").value_or(0), rank) ? std::optional(role) : std::nullopt;
  }
  if ((name == "Softmax" || name == "LogSoftmax") && node.version >= 13 && is_axis(attr<int64_t>(node, "axis").value_or(-1), rank))
    return LayoutRole{.inputs = {0}, .outputs = {0}};
  if (name == "Slice" && node.version >= 10) {
    const bool all = GraphView::input(node, 3) == ir::kNoValue && has_length(view, node.inputs[1], rank);
    if (all || axes_of(view, node, 3, rank)) return LayoutRole{.inputs = {0}, .outputs = {0}};
  }
  if (name == "Pad" && node.version >= 11) {
    const bool all = GraphView::input(node, 3) == ir::kNoValue && has_length(view, GraphView::input(node, 1), 2 * rank);
    if (all || axes_of(view, node, 3, rank)) return LayoutRole{.inputs = {0}, .outputs = {0}};
  }
  if (name == "Resize" && node.version >= 11 && !attr<std::vector<int64_t>>(node, "axes") &&
      attr<std::string>(node, "coordinate_transformation_mode") != "tf_crop_and_resize") {
    const ValueId scales = GraphView::input(node, 2), sizes = GraphView::input(node, 3);
    const bool by_sizes = sizes != ir::kNoValue && has_length(view, sizes, rank);
    if (by_sizes || (scales != ir::kNoValue && has_length(view, scales, rank))) return LayoutRole{.inputs = {0}, .outputs = {0}};
  }
  if (name == "Shape") return LayoutRole{.inputs = {0}};
  if (name == "Reshape") {
    if (auto absorbed = channel_shuffle(view, node); !absorbed.empty())
      return LayoutRole{.inputs = {0}, .outputs = {0}, .absorbed = std::move(absorbed)};
    return reshape(view, node);
  }
  return std::nullopt;
}

std::optional<std::vector<ValueId>> channels_last_form(const GraphView& view, const ir::Node& node, const LayoutRole& role, Patch& patch,
                                                       const LastForm& last) {
  const std::string_view name = node.op->name;
  const auto one = [](std::optional<ValueId> y) { return y ? std::optional(std::vector<ValueId>{*y}) : std::nullopt; };
  std::vector<ValueId> inputs = node.inputs;
  if (!role.absorbed.empty()) return one(shuffle_last(view, node, patch, last(view.node(role.absorbed[0]).inputs[0])));
  for (size_t i : role.inputs) inputs[i] = last(inputs[i]);
  const size_t rank = role.inputs.empty() ? 0 : *rank_of(view, node.inputs[role.inputs[0]]);
  const bool is_conv = is_cameo(node, "Conv");
  if (is_conv || is_elementwise(node)) {
    for (size_t i = is_conv ? 2 : 0; i < inputs.size(); ++i)
      if (inputs[i] != ir::kNoValue && std::ranges::find(role.inputs, i) == role.inputs.end())
        inputs[i] = operand_last(view, patch, inputs[i], rank);
    return one(copy_of(patch, node, std::move(inputs), is_conv ? AttrList{{"channels_last", int64_t{1}}} : AttrList{}));
  }
  if (name == "QuantizeLinear" || name == "DequantizeLinear") return one(copy_of(patch, node, std::move(inputs)));
  if (name == "MaxPool" || name == "AveragePool") return one(pool_last(view, node, patch, inputs[0]));
  if (name == "GlobalAveragePool" || name == "GlobalMaxPool") {
    std::vector<int64_t> axes;
    for (size_t a = 1; a + 1 < rank; ++a) axes.push_back(static_cast<int64_t>(a));
    return one(patch.node(name == "GlobalMaxPool" ? "ReduceMax" : "ReduceMean", {inputs[0], patch.ints(axes)}));
  }
  if (name == "Split") {
    auto attrs = changed_attrs(node, {{"axis", moved_axis(attr<int64_t>(node, "axis").value_or(0), rank)}});
    if (!attrs.ok()) return std::nullopt;
    ir::Node copy = node;
    copy.attrs = std::move(attrs).value();
    copy.inputs = std::move(inputs);
    return patch.node(std::move(copy));
  }
  if (name == "Concat" || name == "Softmax" || name == "LogSoftmax")
    return one(copy_of(patch, node, std::move(inputs),
                       {{"axis", moved_axis(attr<int64_t>(node, "axis").value_or(name == "Concat" ? 1 : -1), rank)}}));
  if (name == "Shape") {
    const auto extent = static_cast<int64_t>(rank);
    const auto clamp = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + extent : at, 0, extent); };
    const int64_t begin = clamp(attr<int64_t>(node, "start").value_or(0)), end = clamp(attr<int64_t>(node, "end").value_or(extent));
    std::vector<int64_t> at;
    for (int64_t axis = begin; axis < end; ++axis) at.push_back(moved_axis(axis, rank));
    return one(patch.node("Gather", {patch.node("Shape", {inputs[0]}), patch.ints(at)}, {{"axis", int64_t{0}}}));
  }
  if (name == "Reshape") {
    const ir::Shape from = ops::channels_last(*view.shape(node.inputs[0])), to = ops::channels_last(*view.shape(node.outputs[0]));
    return one(patch.node("Reshape", {inputs[0], patch.ints(*reshape_target(&from, to))}));
  }
  if (name == "Resize") {
    for (size_t i : {size_t{2}, size_t{3}})
      if (const ValueId list = GraphView::input(node, i); list != ir::kNoValue && has_length(view, list, rank))
        inputs[i] = along_axes(view, patch, list, rank, 1);
    if (inputs.size() > 1) inputs[1] = ir::kNoValue;
    return one(copy_of(patch, node, std::move(inputs)));
  }
  // What names axes: Slice, Pad and the reductions.
  const size_t position = name == "Slice" || name == "Pad" ? 3 : 1;
  if (name == "Pad" && GraphView::input(node, position) == ir::kNoValue) {
    inputs[1] = along_axes(view, patch, inputs[1], rank, 2);
    return one(copy_of(patch, node, std::move(inputs)));
  }
  std::vector<int64_t> axes(rank);
  for (size_t i = 0; i < rank; ++i) axes[i] = static_cast<int64_t>(i);
  if (const auto named = axes_of(view, node, position, rank)) axes = *named;
  for (int64_t& a : axes) a = moved_axis(a, rank);
  if (attr<std::vector<int64_t>>(node, "axes")) return one(copy_of(patch, node, std::move(inputs), {{"axes", axes}}));
  inputs.resize(std::max(inputs.size(), position + 1), ir::kNoValue);
  inputs[position] = patch.ints(axes);
  return one(copy_of(patch, node, std::move(inputs)));
}

}  // namespace cameo::passes
