// TreeEnsembleClassifier (ai.onnx.ml 1, 3, 5): decision trees over the rows of a matrix; each leaf adds weights to classes. Outputs:
// the label with the highest score, and the scores after post_transform. When all weights go to one class of two, its score s
// stands for both: (1 - s, s) with the label's threshold at 0.5 when no weight is negative, as votes are counted, and the
// post_transform is not LOGISTIC; else (-s, s) with the threshold at 0. Version 3 adds *_as_tensor.
#include <algorithm>

#include "ops/ml_matrix.h"
#include "ops/post_transform.h"
#include "ops/tree_nodes.h"

namespace cameo::ops {
namespace {

struct TreeEnsembleClassifierAttrs : ir::AttrsOf<TreeEnsembleClassifierAttrs>, TreeNodeAttrs {
  std::vector<int64_t> classlabels_int64s, class_treeids, class_nodeids, class_ids;
  std::vector<std::string> classlabels_strings;
  std::vector<float> class_weights;
  Tensor class_weights_as_tensor;
  void visit(ir::AttrVisitor& v) override {
    visit_nodes(v);
    v("classlabels_int64s", classlabels_int64s);
    v("classlabels_strings", classlabels_strings);
    v("class_treeids", class_treeids);
    v("class_nodeids", class_nodeids);
    v("class_ids", class_ids);
    v("class_weights", class_weights);
    v("class_weights_as_tensor", class_weights_as_tensor);
  }
  ClassLabels labels() const { return {classlabels_int64s, classlabels_strings}; }
};

Status infer(InferContext& c) {
  const auto& a = c.attrs<TreeEnsembleClassifierAttrs>();
  CAMEO_TRY(a.labels().check());
  CAMEO_TRY(post_transform_of(a.post_transform));
  CAMEO_ASSIGN(const MatrixExtents in, infer_matrix(c, 0));
  c.set_output(0, a.labels().dtype(), {in.rows});
  c.set_output(1, DType::kFloat32, {in.rows, static_cast<int64_t>(a.labels().size())});
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<TreeEnsembleClassifierAttrs>();
  const Tensor& x = c.input(0);
  const auto classes = static_cast<int64_t>(a.labels().size());
  CAMEO_ASSIGN(const Trees trees,
               trees_of(a, {a.class_treeids, a.class_nodeids, a.class_ids, a.class_weights, a.class_weights_as_tensor}, classes));
  CAMEO_TRY(trees.check(num_columns(x)));
  CAMEO_ASSIGN(const std::vector<double> base, either(a.base_values, a.base_values_as_tensor, "base_values_as_tensor"));
  const PostTransform transform = *post_transform_of(a.post_transform);
  const auto& w = trees.weights;
  const bool binary = classes == 2 && !w.empty() && std::all_of(w.begin(), w.end(), [&](const auto& e) { return e.target == w[0].target; });
  const bool votes =
      binary && transform != PostTransform::kLogistic && std::all_of(w.begin(), w.end(), [](const auto& e) { return e.weight >= 0; });
  const std::span<double> row = c.scratch<double>(num_columns(x)), scores = c.scratch<double>(classes);
  const std::span<char> found = c.scratch<char>(classes);
  for (int64_t r = 0; r < num_rows(x); ++r) {
    CAMEO_TRY(c.check_cancelled());
    read_row(x, r, row);
    CAMEO_TRY(trees.score(row, TreeAggregation::kSum, binary ? std::span<const double>() : base, scores, found));
    size_t best = 0;
    if (binary) {
      const double score = scores[static_cast<size_t>(w[0].target)] + (base.empty() ? 0 : base.back());
      best = score > (votes ? 0.5 : 0.0);
      scores[0] = votes ? 1 - score : -score;
      scores[1] = score;
      if (!votes) apply(transform, scores);
    } else {
      best = static_cast<size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
      apply(transform, scores);
    }
    if (c.has_output(0)) a.labels().write(c.output(0), r, best);
    if (c.has_output(1))
      for (int64_t k = 0; k < classes; ++k) c.output(1).data<float>()[r * classes + k] = static_cast<float>(scores[static_cast<size_t>(k)]);
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(TreeEnsembleClassifier) = {
    .name = "TreeEnsembleClassifier",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .max_outputs = 2,
    .input_types = {kMlTypes},
    .make_attrs = &ir::make_attrs<TreeEnsembleClassifierAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
