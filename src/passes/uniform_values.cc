#include "passes/uniform_values.h"

#include <algorithm>
#include <cmath>

#include "ops/attention_rows.h"
#include "passes/attributes.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

using Kind = Uniform::Kind;

constexpr int kMaxDepth = 200;
constexpr int64_t kMostElements = int64_t{1} << 24;  // of a constant that is looked at

Uniform same(double value) { return {Kind::kSame, value, value, 0, {}}; }
Uniform count(size_t axis_from_end, ir::Dim offset) { return {Kind::kCount, 0, 0, axis_from_end, std::move(offset)}; }
Uniform triangle(ir::Dim offset, double inside, double outside) { return {Kind::kTriangle, inside, outside, 0, std::move(offset)}; }

ir::ValueId input(const ir::Node& node, size_t i) { return i < node.inputs.size() ? node.inputs[i] : ir::kNoValue; }

bool one_of(std::string_view name, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

std::optional<Uniform> of_constant(const Tensor& t) {
  const int64_t n = t.num_elements();
  if (n < 1 || n > kMostElements || !(ops::kNumericTypes | ops::kBoolType).contains(t.dtype())) return std::nullopt;
  std::vector<double> x(static_cast<size_t>(n));
  ops::load_row(t.dtype(), t.raw(), 0, n, x.data());
  if (std::all_of(x.begin(), x.end(), [&](double v) { return v == x[0]; })) return same(x[0]);
  if (const auto axis = only_long_axis(ir::to_shape(t.dims())); axis && t.dtype() != DType::kBool && x[0] == std::floor(x[0])) {
    bool counts = std::fabs(x[0]) < 1e9;
    for (size_t i = 0; i < x.size() && counts; ++i) counts = x[i] == x[0] + static_cast<double>(i);
    if (counts) return count(*axis, static_cast<int64_t>(x[0]));
  }
  if (t.rank() < 2) return std::nullopt;
  const int64_t columns = t.dim(t.rank() - 1), rows = t.dim(t.rank() - 2);
  // The first row gives the offset, the last column of it what is outside.
  const double inside = x[0], outside = x[static_cast<size_t>(columns - 1)];
  int64_t offset = 0;
  while (offset + 1 < columns && x[static_cast<size_t>(offset + 1)] == inside) ++offset;
  for (int64_t k = 0; k < n; ++k)
    if (x[static_cast<size_t>(k)] != (k % columns <= k / columns % rows + offset ? inside : outside)) return std::nullopt;
  return triangle(offset, inside, outside);
}

std::optional<double> apply(std::string_view op, double a, double b) {
  if (op == "Add") return a + b;
  if (op == "Sub") return a - b;
  if (op == "Mul") return a * b;
  if (op == "Div") return b == 0 ? std::nullopt : std::optional(a / b);
  if (op == "Min") return std::min(a, b);
  if (op == "Max") return std::max(a, b);
  if (op == "And") return a != 0 && b != 0;
  if (op == "Or") return a != 0 || b != 0;
  if (op == "Equal") return a == b;
  if (op == "Less") return a < b;
  if (op == "LessOrEqual") return a <= b;
  if (op == "Greater") return a > b;
  if (op == "GreaterOrEqual") return a >= b;
  return std::nullopt;
}

std::optional<Uniform> map_both(const Uniform& shape, std::optional<double> inside, std::optional<double> outside) {
  if (!inside || !outside || std::isnan(*inside) || std::isnan(*outside)) return std::nullopt;
  Uniform u = shape;
  u.inside = *inside, u.outside = *outside;
  if (u.kind == Kind::kTriangle && u.inside == u.outside) return same(u.inside);
  return u;
}

// A comparison of a count with a number that is the same for all i >= 0.
std::optional<Uniform> compare(std::string_view op, const Uniform& counted, double with) {
  if (!counted.offset.is_const() || static_cast<double>(counted.offset.value()) < with) return std::nullopt;
  const bool above = static_cast<double>(counted.offset.value()) > with;
  if (op == "Less" || (op == "Equal" && above) || (op == "LessOrEqual" && above)) return same(0);
  if (op == "GreaterOrEqual" || (op == "Greater" && above)) return same(1);
  return std::nullopt;
}

}  // namespace

UniformValues::UniformValues(const ir::Graph& graph, const std::vector<ops::Fact>& facts, ir::ValueId ones)
    : graph_(graph), facts_(facts), ones_(ones), producers_(graph.producers()), found_(graph.values.size()) {}

std::optional<Uniform> UniformValues::of(ir::ValueId id) { return find(id, 0); }

std::optional<ir::Dim> UniformValues::number(ir::ValueId id) const {
  if (id == ir::kNoValue) return std::nullopt;
  if (facts_[id].values && facts_[id].values->size() == 1) return facts_[id].values->front();
  const Tensor& t = facts_[id].constant;
  if (t.defined() && t.num_elements() == 1)
    if (const auto values = ops::index_values(t.reshaped({1}))) return values->front();
  return std::nullopt;
}

std::optional<Uniform> UniformValues::find(ir::ValueId id, int depth) {
  if (id == ir::kNoValue || depth > kMaxDepth || id >= found_.size()) return std::nullopt;
  if (found_[id]) return *found_[id];
  std::optional<Uniform> result;
  if (id == ones_)
    result = same(1);
  else if (facts_[id].constant.defined())
    result = of_constant(facts_[id].constant);
  else if (producers_[id] >= 0)
    result = evaluate(id, graph_.nodes[static_cast<size_t>(producers_[id])], depth + 1);
  found_[id] = result;
  return result;
}

std::optional<Uniform> UniformValues::evaluate(ir::ValueId id, const ir::Node& node, int depth) {
  const std::string_view op = node.op->name;
  if (!node.op->domain.empty() || node.outputs.size() != 1) return std::nullopt;
  if (op == "Range") {
    const auto start = number(node.inputs[0]), step = number(node.inputs[2]);
    return start && step && step->is(1) ? std::optional(count(0, *start)) : std::nullopt;
  }
  if (op == "ConstantOfShape") {
    const auto value = attr<Tensor>(node, "value");
    return value && value->defined() ? of_constant(*value) : same(0);
  }
  if (one_of(op, {"Gather", "GatherND", "GatherElements", "Tile"})) {
    const auto data = find(node.inputs[0], depth);
    return data && data->kind == Kind::kSame ? data : std::nullopt;
  }
  if (op == "Concat") {
    const auto first = find(node.inputs[0], depth);
    if (!first || first->kind != Kind::kSame) return std::nullopt;
    for (ir::ValueId part : node.inputs)
      if (const auto u = find(part, depth); !u || u->kind != Kind::kSame || u->inside != first->inside) return std::nullopt;
    return first;
  }
  if (op == "CumSum") {
    const auto x = find(node.inputs[0], depth);
    const auto axis = number(node.inputs[1]);
    const auto& shape = facts_[id].type.shape;
    if (!x || x->kind != Kind::kSame || !axis || !axis->is_const() || !shape) return std::nullopt;
    if (attr<int64_t>(node, "exclusive").value_or(0) != 0 || attr<int64_t>(node, "reverse").value_or(0) != 0 || x->inside != 1)
      return std::nullopt;
    const auto rank = static_cast<int64_t>(shape->size());
    const int64_t at = axis->value() < 0 ? axis->value() + rank : axis->value();
    return at >= 0 && at < rank ? std::optional(count(static_cast<size_t>(rank - 1 - at), 1)) : std::nullopt;
  }
  if (op == "Trilu") {
    const auto x = find(node.inputs[0], depth);
    const auto k = input(node, 1) == ir::kNoValue ? std::optional(ir::Dim(0)) : number(node.inputs[1]);
    if (!x || x->kind != Kind::kSame || !k) return std::nullopt;
    return attr<int64_t>(node, "upper").value_or(1) != 0 ? triangle(*k - ir::Dim(1), 0, x->inside) : triangle(*k, x->inside, 0);
  }
  if (op == "Slice") return sliced(node, depth);
  if (one_of(op, {"Unsqueeze", "Squeeze", "Reshape", "Flatten", "Expand", "Identity", "Transpose"})) return moved(id, node, depth);
  return computed(node, depth);
}

std::optional<Uniform> UniformValues::moved(ir::ValueId id, const ir::Node& node, int depth) {
  const auto x = find(node.inputs[0], depth);
  if (!x || x->kind == Kind::kSame || node.op->name == "Identity") return x;
  const auto &from = facts_[node.inputs[0]].type.shape, &to = facts_[id].type.shape;
  if (!from || !to) return std::nullopt;
  if (x->kind == Kind::kCount) {
    if (node.op->name == "Expand") return x;
    const auto axis = only_long_axis(*to);
    return axis && only_long_axis(*from) ? std::optional(count(*axis, x->offset)) : std::nullopt;
  }
  // A triangle stays one where the last two axes stay.
  if (from->size() < 2 || to->size() < 2 || node.op->name == "Transpose") return std::nullopt;
  for (size_t i = 1; i <= 2; ++i)
    if (!((*from)[from->size() - i] == (*to)[to->size() - i])) return std::nullopt;
  return x;
}

std::optional<Uniform> UniformValues::sliced(const ir::Node& node, int depth) {
  auto x = find(node.inputs[0], depth);
  if (!x || x->kind == Kind::kSame) return x;
  const auto& shape = facts_[node.inputs[0]].type.shape;
  const auto list = [&](size_t i) -> std::optional<ir::Shape> {
    const ir::ValueId id = input(node, i);
    if (id == ir::kNoValue) return std::nullopt;
    if (facts_[id].values) return facts_[id].values;
    return facts_[id].constant.defined() ? ops::index_values(facts_[id].constant) : std::nullopt;
  };
  const auto starts = list(1), axes = list(3), steps = list(4);
  if (!shape || node.version < 10 || !starts || !axes || axes->size() != starts->size() || (input(node, 4) != ir::kNoValue && !steps))
    return std::nullopt;
  if (steps)
    for (const ir::Dim& step : *steps)
      if (!step.is(1)) return std::nullopt;
  const auto rank = static_cast<int64_t>(shape->size());
  for (size_t i = 0; i < axes->size(); ++i) {
    if (!(*axes)[i].is_const() || !(*starts)[i].is_non_negative()) return std::nullopt;
    const int64_t axis = (*axes)[i].value() < 0 ? (*axes)[i].value() + rank : (*axes)[i].value();
    const int64_t from_end = rank - 1 - axis;
    if (x->kind == Kind::kCount && from_end == static_cast<int64_t>(x->axis_from_end)) x->offset = x->offset + (*starts)[i];
    if (x->kind == Kind::kTriangle && from_end == 1) x->offset = x->offset + (*starts)[i];
    if (x->kind == Kind::kTriangle && from_end == 0) x->offset = x->offset - (*starts)[i];
  }
  return x;
}

std::optional<Uniform> UniformValues::computed(const ir::Node& node, int depth) {
  const std::string_view op = node.op->name;
  const auto a = find(node.inputs[0], depth);
  if (op == "Cast") {
    if (!a) return std::nullopt;
    const auto to = static_cast<DType>(attr<int64_t>(node, "to").value_or(0));
    if (a->kind == Kind::kCount) return ops::kNumericTypes.contains(to) ? a : std::nullopt;
    if (to == DType::kBool) return map_both(*a, a->inside != 0, a->outside != 0);
    if (ops::kIntegerTypes.contains(to)) return map_both(*a, std::trunc(a->inside), std::trunc(a->outside));
    return ops::kFloatTypes.contains(to) ? a : std::nullopt;
  }
  if (op == "Not" || op == "Neg") {
    if (!a || a->kind == Kind::kCount) return std::nullopt;
    const auto map = [&](double v) { return op == "Not" ? static_cast<double>(v == 0) : -v; };
    return map_both(*a, map(a->inside), map(a->outside));
  }
  if (op == "Where") {
    if (!a || a->kind == Kind::kCount) return std::nullopt;
    if (a->kind == Kind::kSame) return find(node.inputs[a->inside != 0 ? 1 : 2], depth);
    const auto chosen = [&](double condition) -> std::optional<double> {
      const auto u = find(node.inputs[condition != 0 ? 1 : 2], depth);
      return u && u->kind == Kind::kSame ? std::optional(u->inside) : std::nullopt;
    };
    return map_both(*a, chosen(a->inside), chosen(a->outside));
  }
  if (node.inputs.size() == 1 && (op == "Min" || op == "Max")) return a;
  if (node.inputs.size() != 2) return std::nullopt;
  // A count and a number that may be symbolic.
  if (op == "Add" || op == "Sub") {
    if (const auto by = number(node.inputs[1]); a && a->kind == Kind::kCount && by)
      return count(a->axis_from_end, op == "Add" ? a->offset + *by : a->offset - *by);
    if (op == "Add")
      if (const auto by = number(node.inputs[0]))
        if (const auto b = find(node.inputs[1], depth); b && b->kind == Kind::kCount) return count(b->axis_from_end, b->offset + *by);
  }
  const auto b = find(node.inputs[1], depth);
  if (!a || !b) return std::nullopt;
  if (a->kind == Kind::kCount && b->kind == Kind::kCount) {
    // Keys (the last axis) against queries (the one before).
    const bool less = op == "Less" || op == "LessOrEqual", greater = op == "Greater" || op == "GreaterOrEqual";
    const bool swapped = a->axis_from_end == 1;
    const Uniform &key = swapped ? *b : *a, &query = swapped ? *a : *b;
    if ((!less && !greater) || key.axis_from_end != 0 || query.axis_from_end != 1) return std::nullopt;
    // key <= query + d, or its opposite.
    const bool upto = less != swapped, strict = op == "Less" || op == "Greater";
    const ir::Dim offset = query.offset - key.offset;
    return upto ? triangle(strict ? offset - ir::Dim(1) : offset, 1, 0) : triangle(strict ? offset : offset - ir::Dim(1), 0, 1);
  }
  if (a->kind == Kind::kCount || b->kind == Kind::kCount) {
    const bool first = a->kind == Kind::kCount;
    const Uniform &counted = first ? *a : *b, &other = first ? *b : *a;
    if (other.kind != Kind::kSame) return std::nullopt;
    if (op == "Max" && counted.offset.is_const() && static_cast<double>(counted.offset.value()) >= other.inside) return counted;
    if (op == "Mul" && other.inside == 1) return counted;
    if ((op == "Add" || (op == "Sub" && first)) && other.inside == std::floor(other.inside) && std::fabs(other.inside) < 1e9) {
      const auto by = static_cast<int64_t>(other.inside);
      return count(counted.axis_from_end, counted.offset + ir::Dim(op == "Add" ? by : -by));
    }
    return first ? compare(op, counted, other.inside) : std::nullopt;
  }
  if (a->kind == Kind::kTriangle && b->kind == Kind::kTriangle && !(a->offset == b->offset)) return std::nullopt;
  return map_both(a->kind == Kind::kTriangle ? *a : *b, apply(op, a->inside, b->inside), apply(op, a->outside, b->outside));
}

}  // namespace cameo::passes
