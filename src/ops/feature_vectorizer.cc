// FeatureVectorizer (ai.onnx.ml 1): joins the features of all inputs, as float32. inputdimensions, where given, says how many
// features of each input are taken; an input that has fewer is filled up with zeros.
#include <algorithm>

#include "ops/ml_matrix.h"

namespace cameo::ops {
namespace {

struct FeatureVectorizerAttrs : ir::AttrsOf<FeatureVectorizerAttrs> {
  std::vector<int64_t> inputdimensions;
  void visit(ir::AttrVisitor& v) override { v("inputdimensions", inputdimensions); }
};

Status infer(InferContext& c) {
  const auto& widths = c.attrs<FeatureVectorizerAttrs>().inputdimensions;
  if (!widths.empty() && widths.size() != c.num_inputs())
    return error(ErrorCode::kInvalidModel, "inputdimensions has {} entries for {} inputs", widths.size(), c.num_inputs());
  ir::Dim rows, columns = 0;
  for (size_t i = 0; i < c.num_inputs(); ++i) {
    CAMEO_ASSIGN(const MatrixExtents in, infer_matrix(c, i));
    if (rows.is_const() && in.rows.is_const() && !(rows == in.rows))
      return error(ErrorCode::kInvalidInput, "input {} has {} rows, others {}", i, in.rows.value(), rows.value());
    if (!rows.is_const() && !in.rows.is_unknown()) rows = in.rows;
    if (!widths.empty() && widths[i] < 0) return error(ErrorCode::kInvalidModel, "inputdimensions holds {}", widths[i]);
    columns = columns + (widths.empty() ? in.columns : ir::Dim(widths[i]));
  }
  c.set_output(0, DType::kFloat32, {rows, columns});
  return {};
}

Status reference(KernelContext& c) {
  const auto& widths = c.attrs<FeatureVectorizerAttrs>().inputdimensions;
  Tensor& y = c.output(0);
  int64_t start = 0;
  for (size_t i = 0; i < c.num_inputs(); ++i) {
    const Tensor& x = c.input(i);
    const std::span<double> row = c.scratch<double>(num_columns(x));
    const int64_t width = widths.empty() ? num_columns(x) : widths[i], taken = std::min(width, num_columns(x));
    for (int64_t r = 0; r < y.dim(0); ++r) {
      read_row(x, r, row);
      float* to = y.data<float>() + r * y.dim(1) + start;
      std::transform(row.begin(), row.begin() + taken, to, [](double v) { return static_cast<float>(v); });
      std::fill(to + taken, to + width, 0.f);
    }
    start += width;
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(FeatureVectorizer) = {
    .name = "FeatureVectorizer",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .max_inputs = kVariadic,
    .input_types = {kMlTypes},
    .make_attrs = &ir::make_attrs<FeatureVectorizerAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
