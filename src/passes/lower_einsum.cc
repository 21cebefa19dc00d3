// Einsum of two operands that is a matrix product: MatMul, with the Transposes that bring the axes of both into its order.
//
//   bsij,bsjk->bsik   MatMul(a, b)
//   bthd,bshd->bhts   MatMul(Transpose(a), Transpose(b))
//   ...d,ed->...e     MatMul(a, Transpose(b))
//
// With batch labels (in both operands and the result) each operand has at most one label of its own; without, the first may have any
// number. One label is summed over. Results differ in rounding.
#include <algorithm>

#include "ops/einsum_equation.h"
#include "passes/pass.h"

namespace cameo::passes {
namespace {

using Labels = std::vector<int>;

bool has(const Labels& labels, int label) { return std::find(labels.begin(), labels.end(), label) != labels.end(); }
bool is_repeated(const Labels& labels) {
  return std::any_of(labels.begin(), labels.end(), [&](int label) { return std::count(labels.begin(), labels.end(), label) > 1; });
}

// The labels of a product, by what they are to it.
struct Product {
  Labels batch, rows, columns;
  int summed = -1;
};

std::optional<Product> product_of(const ops::EinsumEquation& equation) {
  const Labels &a = equation.inputs[0], &b = equation.inputs[1], &y = equation.output;
  if (is_repeated(a) || is_repeated(b) || is_repeated(y)) return std::nullopt;
  Product product;
  for (int label : a) {
    if (has(b, label) && has(y, label))
      product.batch.push_back(label);
    else if (has(y, label))
      product.rows.push_back(label);
    else if (!has(b, label) || product.summed >= 0)  // summed over alone, or a second one
      return std::nullopt;
    else
      product.summed = label;
  }
  for (int label : b) {
    if (has(a, label)) continue;
    if (!has(y, label)) return std::nullopt;
    product.columns.push_back(label);
  }
  if (product.summed < 0 || product.columns.size() > 1 || (!product.batch.empty() && product.rows.size() > 1)) return std::nullopt;
  return product;
}

// The value with its axes, labelled `from`, in the order `to`.
ir::ValueId ordered(Patch& patch, ir::ValueId value, const Labels& from, const Labels& to) {
  std::vector<int64_t> perm;
  for (int label : to) perm.push_back(std::find(from.begin(), from.end(), label) - from.begin());
  return std::is_sorted(perm.begin(), perm.end()) ? value : patch.node("Transpose", {value}, {{"perm", perm}});
}

Labels joined(Labels labels, const Labels& more) {
  labels.insert(labels.end(), more.begin(), more.end());
  return labels;
}

Rewrite lower(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  if (node.inputs.size() != 2) return NoMatch{};
  const ir::ValueId a = node.inputs[0], b = node.inputs[1];
  const auto text = attr<std::string>(node, "equation");
  if (!text || !view.shape(a) || !view.shape(b) || !ops::kFloatTypes.contains(view.dtype(a))) return NoMatch{};
  const auto equation = ops::parse_einsum(*text, {view.shape(a)->size(), view.shape(b)->size()});
  if (!equation.ok()) return NoMatch{};
  const auto product = product_of(*equation);
  if (!product) return Reject{"it is no single matrix product"};
  // An extent of 1 is repeated for the summed label, which a product does not do; of the others it is in both.
  const auto extent = [&](size_t operand, int label) {
    const Labels& labels = equation->inputs[operand];
    return (*view.shape(node.inputs[operand]))[static_cast<size_t>(std::find(labels.begin(), labels.end(), label) - labels.begin())];
  };
  if (!(extent(0, product->summed) == extent(1, product->summed))) return Reject{"the extents that it sums over may differ"};

  Patch patch(view);
  const Labels k = {product->summed};
  ir::ValueId left = ordered(patch, a, equation->inputs[0], joined(joined(product->batch, product->rows), k));
  ir::ValueId right = ordered(patch, b, equation->inputs[1], joined(joined(product->batch, k), product->columns));
  // MatMul takes vectors apart from batches of vectors: an axis of one row or column stands in for a label that is not there.
  const bool no_rows = product->rows.empty(), no_columns = product->columns.empty();
  const auto axis = [](int64_t i) { return std::vector<int64_t>{i}; };
  if (no_rows) left = patch.node("Unsqueeze", {left, patch.ints(axis(-2))});
  if (no_columns) right = patch.node("Unsqueeze", {right, patch.ints(axis(-1))});
  ir::ValueId y = patch.node("MatMul", {left, right});
  if (no_columns) y = patch.node("Squeeze", {y, patch.ints(axis(-1))});
  if (no_rows) y = patch.node("Squeeze", {y, patch.ints(axis(no_columns ? -1 : -2))});
  y = ordered(patch, y, joined(joined(product->batch, product->rows), product->columns), equation->output);
  patch.replace(node.outputs[0], y);
  return patch;
}

std::vector<Rule> rules() { return {{op("Einsum", any("a"), any("b")), &lower}}; }

}  // namespace

CAMEO_DEFINE_PASS(lower_einsum) = {
    .name = "lower_einsum",
    .summary = "writes Einsum that is a matrix product as MatMul",
    .rules = &rules,
};

}  // namespace cameo::passes
