// LinearRegressor (ai.onnx.ml 1): Y = post_transform(X C' + b) with coefficients C [targets, features] and intercepts b.
#include "ops/linear_model.h"
#include "ops/post_transform.h"

namespace cameo::ops {
namespace {

struct LinearRegressorAttrs : ir::AttrsOf<LinearRegressorAttrs> {
  std::vector<float> coefficients, intercepts;
  int64_t targets = 1;
  std::string post_transform = "NONE";
  void visit(ir::AttrVisitor& v) override {
    v("coefficients", coefficients);
    v("intercepts", intercepts);
    v("targets", targets);
    v("post_transform", post_transform);
  }
};

Status infer(InferContext& c) {
  const auto& a = c.attrs<LinearRegressorAttrs>();
  CAMEO_TRY(post_transform_of(a.post_transform));
  if (a.targets < 1) return error(ErrorCode::kInvalidModel, "targets is {}; it must be 1 or more", a.targets);
  CAMEO_ASSIGN(const MatrixExtents in, infer_matrix(c, 0));
  if (in.columns.is_const()) CAMEO_TRY(check_linear_model(in.columns.value(), a.targets, a.coefficients, a.intercepts));
  c.set_output(0, DType::kFloat32, {in.rows, a.targets});
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<LinearRegressorAttrs>();
  const Tensor& x = c.input(0);
  CAMEO_TRY(check_linear_model(num_columns(x), a.targets, a.coefficients, a.intercepts));
  const PostTransform transform = *post_transform_of(a.post_transform);
  const std::span<double> row = c.scratch<double>(num_columns(x)), scores = c.scratch<double>(a.targets);
  float* to = c.output(0).data<float>();
  for (int64_t r = 0; r < num_rows(x); ++r) {
    read_row(x, r, row);
    linear_scores(row, a.coefficients, a.intercepts, scores);
    apply(transform, scores);
    for (double score : scores) *to++ = static_cast<float>(score);
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(LinearRegressor) = {
    .name = "LinearRegressor",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .input_types = {kMlTypes},
    .make_attrs = &ir::make_attrs<LinearRegressorAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
