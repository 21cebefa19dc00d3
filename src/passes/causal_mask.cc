#include "passes/causal_mask.h"

#include <functional>

#include "passes/attributes.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

constexpr int kMaxDepth = 12;

// A tensor that counts: along one axis, from the end, the elements are offset, offset + 1, …; all other extents are 1.
struct Counter {
  size_t axis_from_end = 0;  // 0: the last
  ir::Dim offset;
};

// The elements of a scalar, or a list of one, as an extent.
std::optional<ir::Dim> single(const GraphView& view, ir::ValueId id) {
  if (id == ir::kNoValue) return std::nullopt;
  const ops::Fact& fact = view.fact(id);
  if (fact.values && fact.values->size() == 1) return (*fact.values)[0];
  const auto list = view.ints(id);
  return list && list->size() == 1 ? std::optional<ir::Dim>((*list)[0]) : std::nullopt;
}

std::optional<Counter> counter(const GraphView& view, ir::ValueId id, int depth = 0) {
  const ir::Node* node = view.producer(id);
  if (node == nullptr || depth > kMaxDepth || !node->op->domain.empty() || !view.shape(id)) return std::nullopt;
  const std::string_view op = node->op->name;
  if (op == "Range") {
    const auto start = single(view, node->inputs[0]), step = single(view, node->inputs[2]);
    return start && step && step->is(1) ? std::optional(Counter{0, *start}) : std::nullopt;
  }
  if (op == "Cast") {
    const DType to = view.dtype(id);
    return to == DType::kInt64 || to == DType::kInt32 ? counter(view, node->inputs[0], depth + 1) : std::nullopt;
  }
  if (op == "Unsqueeze" || op == "Reshape" || op == "Squeeze") {
    auto inner = counter(view, node->inputs[0], depth + 1);
    const auto axis = only_long_axis(*view.shape(id));
    if (!inner || !axis) return std::nullopt;
    return Counter{*axis, inner->offset};
  }
  if (op == "Add" || op == "Sub")
    for (size_t i : {size_t{1}, size_t{0}}) {
      if (op == "Sub" && i == 0) continue;
      const auto moved = single(view, node->inputs[i]);
      auto inner = moved ? counter(view, node->inputs[1 - i], depth + 1) : std::nullopt;
      if (!inner) continue;
      return Counter{inner->axis_from_end, op == "Add" ? inner->offset + *moved : inner->offset - *moved};
    }
  return std::nullopt;
}

// Whether all elements [.., i, j] of a known tensor are `inside(k)` where j <= i + offset, and `outside(k)` elsewhere.
bool is_triangle(const Tensor& t, int64_t offset, const std::function<bool(int64_t)>& inside, const std::function<bool(int64_t)>& outside) {
  if (t.rank() < 2 || t.num_elements() == 0) return false;
  const int64_t rows = t.dim(t.rank() - 2), columns = t.dim(t.rank() - 1);
  for (int64_t k = 0; k < t.num_elements(); ++k) {
    const int64_t i = k / columns % rows, j = k % columns;
    if (j <= i + offset ? !inside(k) : !outside(k)) return false;
  }
  return true;
}

// Where the value is (j <= i + offset), that offset.
std::optional<ir::Dim> triangle(const GraphView& view, ir::ValueId id, int depth = 0) {
  if (const Tensor* t = view.constant(id)) {
    if (t->dtype() != DType::kBool || t->rank() < 2 || t->num_elements() == 0) return std::nullopt;
    const bool* data = t->data<bool>();
    // The first row gives the offset.
    int64_t offset = -1;
    while (offset + 1 < t->dim(t->rank() - 1) && data[offset + 1]) ++offset;
    const bool is = is_triangle(
        *t, offset, [&](int64_t k) { return data[k]; }, [&](int64_t k) { return !data[k]; });
    return is ? std::optional<ir::Dim>(offset) : std::nullopt;
  }
  const ir::Node* node = view.producer(id);
  if (node == nullptr || depth > kMaxDepth || !node->op->domain.empty()) return std::nullopt;
  const std::string_view op = node->op->name;
  if (op == "LessOrEqual" || op == "Less" || op == "GreaterOrEqual" || op == "Greater") {
    auto a = counter(view, node->inputs[0]), b = counter(view, node->inputs[1]);
    if (op[0] == 'G') std::swap(a, b);
    // a <= b, or a < b
    if (!a || !b || a->axis_from_end != 0 || b->axis_from_end != 1) return std::nullopt;
    const ir::Dim offset = b->offset - a->offset;
    return op == "LessOrEqual" || op == "GreaterOrEqual" ? offset : offset - ir::Dim(1);
  }
  if (op == "Trilu") {
    const auto k = node->inputs.size() > 1 && node->inputs[1] != ir::kNoValue ? single(view, node->inputs[1]) : std::optional<ir::Dim>(0);
    if (attr<int64_t>(*node, "upper").value_or(1) != 0 || !k) return std::nullopt;
    // Of ones: however they are made, through Expand and ConstantOfShape.
    ir::ValueId filled = node->inputs[0];
    if (const ir::Node* expand = made_by(view, filled, "Expand")) filled = expand->inputs[0];
    if (const ir::Node* made = made_by(view, filled, "ConstantOfShape")) {
      const auto value = attr<Tensor>(*made, "value");
      return value && value->dtype() == DType::kBool && value->num_elements() == 1 && value->data<bool>()[0] ? k : std::nullopt;
    }
    const Tensor* t = view.constant(filled);
    if (t == nullptr || t->dtype() != DType::kBool) return std::nullopt;
    for (bool element : t->span<bool>())
      if (!element) return std::nullopt;
    return k;
  }
  if (op == "Slice") {
    auto inner = triangle(view, node->inputs[0], depth + 1);
    const auto& shape = view.shape(node->inputs[0]);
    if (!inner || !shape || node->version < 10) return std::nullopt;
    const auto axes = view.ints(GraphView::input(*node, 3));
    const ops::Fact& starts = view.fact(node->inputs[1]);
    const ir::ValueId steps_id = GraphView::input(*node, 4);
    const auto steps = steps_id == ir::kNoValue ? std::optional(std::vector<int64_t>{}) : view.ints(steps_id);
    const auto first = starts.values ? starts.values : starts.constant.defined() ? ops::index_values(starts.constant) : std::nullopt;
    if (!axes || !steps || !first || first->size() != axes->size()) return std::nullopt;
    for (int64_t step : *steps)
      if (step != 1) return std::nullopt;
    const auto rank = static_cast<int64_t>(shape->size());
    for (size_t i = 0; i < axes->size(); ++i) {
      const int64_t axis = (*axes)[i] < 0 ? (*axes)[i] + rank : (*axes)[i];
      if (!(*first)[i].is_non_negative()) return std::nullopt;
      // A start beyond the end leaves nothing; then any offset is right.
      if (axis == rank - 2) *inner = *inner + (*first)[i];
      if (axis == rank - 1) *inner = *inner - (*first)[i];
    }
    return inner;
  }
  if (op == "Unsqueeze" || op == "Expand" || op == "Reshape") {
    // Only what leaves the last two axes as they are.
    const auto &before = view.shape(node->inputs[0]), &after = view.shape(id);
    if (!before || !after || before->size() < 2 || after->size() < 2) return std::nullopt;
    for (size_t i = 1; i <= 2; ++i)
      if (!((*before)[before->size() - i] == (*after)[after->size() - i])) return std::nullopt;
    return triangle(view, node->inputs[0], depth + 1);
  }
  if (op == "Cast" && view.dtype(node->inputs[0]) == DType::kBool && view.dtype(id) == DType::kBool)
    return triangle(view, node->inputs[0], depth + 1);
  return std::nullopt;
}

}  // namespace

bool is_causal_mask(const GraphView& view, ir::ValueId mask, const ir::Dim& offset) {
  const auto found = triangle(view, mask);
  return found && *found == offset;
}

bool is_causal_bias(const GraphView& view, ir::ValueId bias, const ir::Dim& offset) {
  const Tensor* t = view.constant(bias);
  if (t == nullptr || t->dtype() != DType::kFloat32 || !offset.is_const()) return false;
  const float* data = t->data<float>();
  return is_triangle(
      *t, offset.value(), [&](int64_t k) { return data[k] == 0; }, [&](int64_t k) { return data[k] <= -1e4f; });
}

}  // namespace cameo::passes
