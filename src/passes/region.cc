#include "passes/region.h"

#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "passes/attributes.h"

namespace cameo::passes {

std::optional<double> number_of(const GraphView& view, ir::ValueId id) {
  const Tensor* t = view.constant(id);
  if (t == nullptr || t->num_elements() != 1) return std::nullopt;
  double value = 0;
  const Status status = ops::dispatch_numbers(t->dtype(), "a constant", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    value = static_cast<double>(static_cast<compute_t<T>>(*t->data<T>()));
    return {};
  });
  return status.ok() ? std::optional(value) : std::nullopt;
}

double constant_tolerance(DType dtype) {
  if (dtype == DType::kBfloat16) return 8e-3;
  return dtype == DType::kFloat16 ? 1e-3 : 2e-5;
}

bool is_close(double found, double wanted, DType dtype) {
  return std::fabs(found - wanted) <= constant_tolerance(dtype) * std::fabs(wanted);
}

const ir::Node* made_by(const GraphView& view, ir::ValueId id, std::string_view op) {
  const ir::Node* node = view.producer(id);
  return node != nullptr && node->op->name == op && node->op->domain.empty() ? node : nullptr;
}

std::optional<std::vector<int64_t>> kept_reduction_axes(const GraphView& view, const ir::Node& node) {
  if (attr<int64_t>(node, "keepdims").value_or(1) == 0) return std::nullopt;
  const auto& shape = view.shape(node.inputs[0]);
  if (!shape) return std::nullopt;
  const auto rank = static_cast<int64_t>(shape->size());
  std::optional<std::vector<int64_t>> axes;
  if (const ir::ValueId given = GraphView::input(node, 1); given != ir::kNoValue)
    axes = view.ints(given);
  else
    axes = attr<std::vector<int64_t>>(node, "axes").value_or(std::vector<int64_t>{});
  if (!axes) return std::nullopt;
  if (axes->empty()) {
    if (attr<int64_t>(node, "noop_with_empty_axes").value_or(0) != 0) return std::nullopt;
    for (int64_t a = 0; a < rank; ++a) axes->push_back(a);
  }
  for (int64_t& axis : *axes) {
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return std::nullopt;
  }
  std::sort(axes->begin(), axes->end());
  return axes;
}

std::optional<int64_t> trailing_axis(const std::vector<int64_t>& axes, size_t rank) {
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[axes.size() - 1 - i] != static_cast<int64_t>(rank) - 1 - static_cast<int64_t>(i)) return std::nullopt;
  return axes.empty() ? std::nullopt : std::optional(axes[0]);
}

std::optional<size_t> only_long_axis(const ir::Shape& shape) {
  std::optional<size_t> axis;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i].is(1)) continue;
    if (axis) return std::nullopt;
    axis = shape.size() - 1 - i;
  }
  return axis;
}

void Region::add(const ir::Node& node) {
  if (std::find(nodes_.begin(), nodes_.end(), &node) == nodes_.end()) nodes_.push_back(&node);
}

std::string Region::used_outside(const ir::Node& root) const {
  for (const ir::Node* node : nodes_) {
    if (node == &root) continue;
    for (ir::ValueId id : node->outputs) {
      if (id == ir::kNoValue) continue;
      size_t inside = 0;
      for (const ir::Node* user : nodes_) ir::for_each_use(*user, [&](ir::ValueId used) { inside += used == id; });
      if (inside != view_.uses(id))
        return fmt::format("'{}', which it would take in, is {}", view_.graph().value(id).name,
                           view_.is_output(id) ? "an output of the graph" : "used elsewhere too");
    }
  }
  return {};
}

std::vector<std::string> Region::sources() const {
  std::vector<std::string> all;
  for (const ir::Node* node : nodes_) all.insert(all.end(), node->sources.begin(), node->sources.end());
  return all;
}

}  // namespace cameo::passes
