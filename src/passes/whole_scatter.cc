// ScatterND that writes every element, in order, gives its updates: exporters write `mask[:, :, :, :n] = …` so, with indices made of
// Ranges, when n is the whole extent. Masks of language models are made this way.
#include <algorithm>

#include "passes/pass.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

constexpr int kMaxDepth = 12;
constexpr int64_t kMostElements = 1 << 16;  // of a constant that is looked at

bool constant_counts(const Tensor& t, size_t axis) {
  if (t.dtype() != DType::kInt64 || t.num_elements() > kMostElements) return false;
  int64_t stride = 1;
  for (size_t i = axis + 1; i < t.rank(); ++i) stride *= t.dim(i);
  for (int64_t k = 0; k < t.num_elements(); ++k)
    if (t.data<int64_t>()[k] != k / stride % t.dim(axis)) return false;
  return true;
}

// Whether each element is its own index along the axis.
bool counts(const GraphView& view, ir::ValueId id, size_t axis, int depth = 0) {
  const auto& shape = view.shape(id);
  if (!shape || axis >= shape->size() || depth > kMaxDepth) return false;
  if (const Tensor* t = view.constant(id)) return constant_counts(*t, axis);
  const ir::Node* node = view.producer(id);
  if (node == nullptr || !node->op->domain.empty() || node->inputs.empty()) return false;
  const std::string_view op = node->op->name;
  const ir::ValueId from = node->inputs[0];
  const auto& before = view.shape(from);
  if (op == "Range") return number_of(view, node->inputs[0]) == 0.0 && number_of(view, node->inputs[2]) == 1.0;
  if (!before) return false;
  if (op == "Expand") {
    if (before->size() > shape->size() || axis < shape->size() - before->size()) return false;
    const size_t was = axis - (shape->size() - before->size());
    return (*before)[was] == (*shape)[axis] && counts(view, from, was, depth + 1);
  }
  if (op == "Unsqueeze" || op == "Squeeze" || op == "Reshape") {
    const auto was = only_long_axis(*before), now = only_long_axis(*shape);  // from the end
    return was && now && shape->size() - 1 - *now == axis && counts(view, from, before->size() - 1 - *was, depth + 1);
  }
  return false;
}

Rewrite leave_out(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  const ir::ValueId data = node.inputs[0], updates = node.inputs[2];
  const ir::Node* indices = made_by(view, node.inputs[1], "Concat");
  if (indices == nullptr || attr<std::string>(node, "reduction").value_or("none") != "none" || !view.shape(data)) return NoMatch{};
  const ir::Shape& shape = *view.shape(data);
  const auto rank = static_cast<int64_t>(shape.size());
  const int64_t axis = attr<int64_t>(*indices, "axis").value_or(0);
  if (indices->inputs.size() != shape.size() || (axis != -1 && axis != rank)) return NoMatch{};
  if (!view.same_shape(data, updates)) return Reject{"its updates may be fewer than the elements"};
  for (size_t i = 0; i < shape.size(); ++i) {
    // [extents…, 1], the last axis of its own
    const ir::Node* last = made_by(view, indices->inputs[i], "Unsqueeze");
    if (last == nullptr || !view.same_shape(last->inputs[0], data) || !counts(view, last->inputs[0], i))
      return Reject{"its indices are not known to be those of all elements"};
    const auto& with_last = view.shape(indices->inputs[i]);
    if (!with_last || with_last->size() != shape.size() + 1 || !std::equal(shape.begin(), shape.end(), with_last->begin()))
      return Reject{"its indices are not known to be those of all elements"};
  }
  Patch patch(view);
  patch.replace(node.outputs[0], updates);
  return patch;
}

std::vector<Rule> rules() { return {{op("ScatterND", any(), any(), any()), &leave_out}}; }

}  // namespace

CAMEO_DEFINE_PASS(whole_scatter) = {
    .name = "whole_scatter",
    .summary = "leaves out ScatterND that writes every element",
    .rules = &rules,
};

}  // namespace cameo::passes
