// MatMul and Gemm of float32 become ai.cameo.MatMul:
//   transposes of an operand's last two axes become trans_a and trans_b; of a constant that the model
//     has both ways one is kept;
//   Gemm's C becomes the first step of the epilogue;
//   Reshape([b, s, k] to [b * s, k]), product with a matrix, Reshape back to [b, s, n]: the product alone.
#include <algorithm>

#include "ops/cameo_matmul.h"
#include "passes/pass.h"
#include "passes/program_builder.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

// Whether the Transpose swaps the last two axes and leaves the others.
bool swaps_last_two(const ir::Node& node, const GraphView& view) {
  const auto& shape = view.shape(node.inputs[0]);
  if (!shape || shape->size() < 2) return false;
  const size_t rank = shape->size();
  const auto perm = attr<std::vector<int64_t>>(node, "perm");
  if (!perm) return rank == 2;
  if (perm->size() != rank) return false;
  for (size_t i = 0; i < rank; ++i)
    if ((*perm)[i] != static_cast<int64_t>(i + 2 < rank ? i : 2 * rank - 3 - i)) return false;
  return true;
}

// Reads through Transposes of the last two axes.
ir::ValueId untransposed(const GraphView& view, ir::ValueId id, int64_t& trans, std::vector<std::string>& sources) {
  while (const ir::Node* node = made_by(view, id, "Transpose")) {
    if (!swaps_last_two(*node, view)) break;
    trans = trans == 0;
    id = node->inputs[0];
    sources.insert(sources.end(), node->sources.begin(), node->sources.end());
  }
  return id;
}

// Weights smaller than this are not worth a search.
constexpr int64_t kWorthSharing = 1 << 16;

// Whether b[j][i] = a[i][j] for all i and j, bit by bit.
bool is_transpose_of(const Tensor& a, const Tensor& b) {
  const int64_t rows = a.dim(0), columns = a.dim(1);
  const auto *x = a.data<uint32_t>(), *y = b.data<uint32_t>();
  const auto same = [&](int64_t i, int64_t j) { return x[i * columns + j] == y[j * rows + i]; };
  for (int64_t k = 0; k < 64; ++k)  // most that differ do so at once
    if (!same(k * 7919 % rows, k * 104729 % columns)) return false;
  constexpr int64_t kBlock = 64;
  for (int64_t i0 = 0; i0 < rows; i0 += kBlock)
    for (int64_t j0 = 0; j0 < columns; j0 += kBlock)
      for (int64_t i = i0; i < std::min(rows, i0 + kBlock); ++i)
        for (int64_t j = j0; j < std::min(columns, j0 + kBlock); ++j)
          if (!same(i, j)) return false;
  return true;
}

// Another constant with the elements of this one transposed, which is needed anyway: an embedding table that is also the last
// layer, of which exporters write two.
ir::ValueId tied(const GraphView& view, ir::ValueId id) {
  const Tensor* b = view.constant(id);
  if (b == nullptr || b->rank() != 2 || b->num_elements() < kWorthSharing || view.uses(id) != 1) return ir::kNoValue;
  for (ir::ValueId other = 0; other < view.graph().values.size(); ++other) {
    const Tensor* w = view.constant(other);
    if (w == nullptr || other == id || w->dtype() != DType::kFloat32 || w->rank() != 2 || view.uses(other) == 0) continue;
    if (view.producer_index(other) < 0 && w->dim(0) == b->dim(1) && w->dim(1) == b->dim(0) && is_transpose_of(*b, *w)) return other;
  }
  return ir::kNoValue;
}

Rewrite product(const ir::Node& node, const GraphView& view, std::shared_ptr<ops::CameoMatMulAttrs> attrs, ir::ValueId c, float beta) {
  ir::ValueId a = node.inputs[0], b = node.inputs[1];
  if (view.dtype(a) != DType::kFloat32 || view.dtype(b) != DType::kFloat32) return NoMatch{};
  const auto &as = view.shape(a), &bs = view.shape(b);
  if (!as || !bs) return Reject{"the rank of an operand is not known"};
  if (as->size() < 2 || bs->size() < 2) return Reject{"an operand is a vector"};
  std::vector<std::string> sources;
  a = untransposed(view, a, attrs->trans_a, sources);
  b = untransposed(view, b, attrs->trans_b, sources);
  if (const ir::ValueId other = tied(view, b); other != ir::kNoValue) {
    b = other;
    attrs->trans_b = attrs->trans_b == 0;
  }
  Patch patch(view);
  std::vector<ir::ValueId> inputs = {a, b};
  if (c != ir::kNoValue && beta != 0) {
    inputs.push_back(c);
    ops::PointProgram program{2, {{ops::PointOp::kAdd, 0, 1, 0}}, {}};
    if (beta != 1) program = {2, {{ops::PointOp::kFma, 1, -1, 0}}, {beta}};
    attrs->program = ops::encode(program);
    attrs->constants = program.constants;
  }
  const ir::ValueId y = patch.node(cameo_node("MatMul", std::move(inputs), std::move(attrs)))[0];
  patch.add_sources(sources);
  patch.replace(node.outputs[0], y);
  return patch;
}

Rewrite matmul(const Match& match, const GraphView& view) {
  return product(match.root(), view, std::make_shared<ops::CameoMatMulAttrs>(), ir::kNoValue, 1);
}

Rewrite gemm(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  if (node.version < 7 && GraphView::input(node, 2) != ir::kNoValue && attr<int64_t>(node, "broadcast").value_or(0) == 0 &&
      !view.same_shape(node.inputs[2], node.outputs[0]))
    return NoMatch{};
  auto attrs = std::make_shared<ops::CameoMatMulAttrs>();
  attrs->alpha = attr<float>(node, "alpha").value_or(1);
  attrs->trans_a = attr<int64_t>(node, "transA").value_or(0) != 0;
  attrs->trans_b = attr<int64_t>(node, "transB").value_or(0) != 0;
  return product(node, view, std::move(attrs), GraphView::input(node, 2), attr<float>(node, "beta").value_or(1));
}

// Reshape(MatMul(Reshape(x), w)) where both only fold and unfold the leading axes.
Rewrite reshaped(const Match& match, const GraphView& view) {
  const ir::Node& outer = match.root();
  const ir::Node* multiply = view.producer(outer.inputs[0]);
  if (multiply == nullptr || !is_cameo(*multiply, "MatMul")) return NoMatch{};
  const auto& attrs = multiply->attrs_as<ops::CameoMatMulAttrs>();
  const ir::Node* inner = made_by(view, multiply->inputs[0], "Reshape");
  if (inner == nullptr || !attrs.splits.empty() || attrs.trans_a != 0) return NoMatch{};
  const auto &x = view.shape(inner->inputs[0]), &flat = view.shape(multiply->inputs[0]), &w = view.shape(multiply->inputs[1]);
  const auto& to = view.shape(outer.outputs[0]);
  if (!x || !flat || !w || !to || flat->size() != 2 || w->size() != 2 || x->size() < 2 || x->size() != to->size()) return NoMatch{};
  if (!(x->back() == flat->back()) || !std::equal(x->begin(), x->end() - 1, to->begin())) return NoMatch{};
  if (view.uses(outer.inputs[0]) != 1) return Reject{"the product is also used with its rows in one axis"};
  for (size_t i = 2; i < multiply->inputs.size(); ++i) {
    const auto& e = view.shape(multiply->inputs[i]);
    if (!e || (e->size() > 1 && !(*e)[0].is(1))) return Reject{"an operand of its epilogue has rows of its own"};
  }
  Patch patch(view);
  ir::Node direct = *multiply;
  direct.inputs[0] = inner->inputs[0];
  direct.outputs = {0};
  std::vector<std::string> sources = inner->sources;
  const ir::ValueId y = patch.node(std::move(direct))[0];
  patch.add_sources(sources);
  patch.replace(outer.outputs[0], y);
  return patch;
}

std::vector<Rule> rules() {
  return {{op("MatMul", any(), any()), &matmul}, {op("Gemm", any(), any()).more_inputs(), &gemm}, {op("Reshape", any(), any()), &reshaped}};
}

}  // namespace

CAMEO_DEFINE_PASS(fuse_matmul) = {
    .name = "fuse_matmul",
    .summary = "turns MatMul and Gemm, with transposes and reshapes, into the operator that takes an epilogue",
    .rules = &rules,
    .late = true,
};

}  // namespace cameo::passes
