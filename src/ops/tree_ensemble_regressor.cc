// TreeEnsembleRegressor (ai.onnx.ml 1, 3, 5): decision trees over the rows of a matrix. Each leaf adds weights to targets; they are
// combined by aggregate_function (SUM, AVERAGE, MIN, MAX), then base_values are added. Version 3 adds *_as_tensor.
#include "ops/ml_matrix.h"
#include "ops/post_transform.h"
#include "ops/tree_nodes.h"

namespace cameo::ops {
namespace {

struct TreeEnsembleRegressorAttrs : ir::AttrsOf<TreeEnsembleRegressorAttrs>, TreeNodeAttrs {
  std::string aggregate_function = "SUM";
  int64_t n_targets = 1;
  std::vector<int64_t> target_treeids, target_nodeids, target_ids;
  std::vector<float> target_weights;
  Tensor target_weights_as_tensor;
  void visit(ir::AttrVisitor& v) override {
    visit_nodes(v);
    v("aggregate_function", aggregate_function);
    v("n_targets", n_targets);
    v("target_treeids", target_treeids);
    v("target_nodeids", target_nodeids);
    v("target_ids", target_ids);
    v("target_weights", target_weights);
    v("target_weights_as_tensor", target_weights_as_tensor);
  }
};

Result<TreeAggregation> aggregation_of(const std::string& name) {
  if (name == "SUM") return TreeAggregation::kSum;
  if (name == "AVERAGE") return TreeAggregation::kAverage;
  if (name == "MIN") return TreeAggregation::kMin;
  if (name == "MAX") return TreeAggregation::kMax;
  return error(ErrorCode::kInvalidModel, "aggregate_function is '{}'; allowed: SUM, AVERAGE, MIN, MAX", name);
}

Status infer(InferContext& c) {
  const auto& a = c.attrs<TreeEnsembleRegressorAttrs>();
  CAMEO_TRY(aggregation_of(a.aggregate_function));
  CAMEO_TRY(post_transform_of(a.post_transform));
  if (a.n_targets < 1 || a.n_targets > INT32_MAX)
    return error(ErrorCode::kInvalidModel, "n_targets is {}; it must be 1 or more", a.n_targets);
  CAMEO_ASSIGN(const MatrixExtents in, infer_matrix(c, 0));
  c.set_output(0, DType::kFloat32, {in.rows, a.n_targets});
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<TreeEnsembleRegressorAttrs>();
  const Tensor& x = c.input(0);
  CAMEO_ASSIGN(const Trees trees,
               trees_of(a, {a.target_treeids, a.target_nodeids, a.target_ids, a.target_weights, a.target_weights_as_tensor}, a.n_targets));
  CAMEO_TRY(trees.check(num_columns(x)));
  CAMEO_ASSIGN(const std::vector<double> base, either(a.base_values, a.base_values_as_tensor, "base_values_as_tensor"));
  const TreeAggregation aggregation = *aggregation_of(a.aggregate_function);
  const PostTransform transform = *post_transform_of(a.post_transform);
  const std::span<double> row = c.scratch<double>(num_columns(x)), scores = c.scratch<double>(a.n_targets);
  const std::span<char> found = c.scratch<char>(a.n_targets);
  float* to = c.output(0).data<float>();
  for (int64_t r = 0; r < num_rows(x); ++r) {
    CAMEO_TRY(c.check_cancelled());
    read_row(x, r, row);
    CAMEO_TRY(trees.score(row, aggregation, base, scores, found));
    apply(transform, scores);
    for (double score : scores) *to++ = static_cast<float>(score);
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(TreeEnsembleRegressor) = {
    .name = "TreeEnsembleRegressor",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .input_types = {kMlTypes},
    .make_attrs = &ir::make_attrs<TreeEnsembleRegressorAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
