// LinearClassifier (ai.onnx.ml 1): scores X C' + b with coefficients C [classes, features] and intercepts b. Outputs: the label
// with the highest score, and the scores after post_transform. With one row of coefficients for two classes the score s stands for
// both, (-s, s). multi_class says how the model was trained and changes nothing.
#include <algorithm>

#include "ops/linear_model.h"
#include "ops/post_transform.h"

namespace cameo::ops {
namespace {

struct LinearClassifierAttrs : ir::AttrsOf<LinearClassifierAttrs> {
  std::vector<float> coefficients, intercepts;
  std::vector<int64_t> classlabels_ints;
  std::vector<std::string> classlabels_strings;
  int64_t multi_class = 0;
  std::string post_transform = "NONE";
  void visit(ir::AttrVisitor& v) override {
    v("coefficients", coefficients);
    v("intercepts", intercepts);
    v("classlabels_ints", classlabels_ints);
    v("classlabels_strings", classlabels_strings);
    v("multi_class", multi_class);
    v("post_transform", post_transform);
  }
  ClassLabels labels() const { return {classlabels_ints, classlabels_strings}; }
};

// How many scores the coefficients give a row: one for each class, or one for two.
Result<int64_t> num_scores(const LinearClassifierAttrs& a, int64_t columns) {
  const auto classes = static_cast<int64_t>(a.labels().size());
  const int64_t scores = classes == 2 && std::ssize(a.coefficients) == columns ? 1 : classes;
  CAMEO_TRY(check_linear_model(columns, scores, a.coefficients, a.intercepts));
  return scores;
}

Status infer(InferContext& c) {
  const auto& a = c.attrs<LinearClassifierAttrs>();
  CAMEO_TRY(a.labels().check());
  CAMEO_TRY(post_transform_of(a.post_transform));
  CAMEO_ASSIGN(const MatrixExtents in, infer_matrix(c, 0));
  if (in.columns.is_const()) CAMEO_TRY(num_scores(a, in.columns.value()));
  c.set_output(0, a.labels().dtype(), {in.rows});
  c.set_output(1, DType::kFloat32, {in.rows, static_cast<int64_t>(a.labels().size())});
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<LinearClassifierAttrs>();
  const Tensor& x = c.input(0);
  const auto classes = static_cast<int64_t>(a.labels().size());
  CAMEO_ASSIGN(const int64_t given, num_scores(a, num_columns(x)));
  const PostTransform transform = *post_transform_of(a.post_transform);
  const std::span<double> row = c.scratch<double>(num_columns(x)), scores = c.scratch<double>(classes);
  for (int64_t r = 0; r < num_rows(x); ++r) {
    read_row(x, r, row);
    linear_scores(row, a.coefficients, a.intercepts, scores.first(static_cast<size_t>(given)));
    if (given < classes) {
      scores[1] = scores[0];
      scores[0] = -scores[1];
    }
    const auto best = static_cast<size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
    apply(transform, scores);
    if (c.has_output(0)) a.labels().write(c.output(0), r, best);
    if (c.has_output(1))
      for (int64_t k = 0; k < classes; ++k) c.output(1).data<float>()[r * classes + k] = static_cast<float>(scores[static_cast<size_t>(k)]);
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(LinearClassifier) = {
    .name = "LinearClassifier",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .max_outputs = 2,
    .input_types = {kMlTypes},
    .make_attrs = &ir::make_attrs<LinearClassifierAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
