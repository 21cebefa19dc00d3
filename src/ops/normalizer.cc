// Normalizer (ai.onnx.ml 1): divides each row by its norm: MAX max |x|, L1 sum |x|, L2 sqrt(sum x^2). A row of zeros stays.
#include <cmath>

#include "ops/ml_matrix.h"

namespace cameo::ops {
namespace {

struct NormalizerAttrs : ir::AttrsOf<NormalizerAttrs> {
  std::string norm = "MAX";
  void visit(ir::AttrVisitor& v) override { v("norm", norm); }
};

Status infer(InferContext& c) {
  const std::string& norm = c.attrs<NormalizerAttrs>().norm;
  if (norm != "MAX" && norm != "L1" && norm != "L2") return error(ErrorCode::kInvalidModel, "norm is '{}'; allowed: MAX, L1, L2", norm);
  CAMEO_TRY(infer_matrix(c, 0));
  ir::Type type = c.input(0);
  type.dtype = DType::kFloat32;
  c.set_output(0, std::move(type));
  return {};
}

Status reference(KernelContext& c) {
  const std::string& norm = c.attrs<NormalizerAttrs>().norm;
  const Tensor& x = c.input(0);
  const std::span<double> row = c.scratch<double>(num_columns(x));
  float* to = c.output(0).data<float>();
  for (int64_t r = 0; r < num_rows(x); ++r) {
    read_row(x, r, row);
    double size = 0;
    for (double v : row) size = norm == "MAX" ? std::max(size, std::abs(v)) : size + (norm == "L1" ? std::abs(v) : v * v);
    if (norm == "L2") size = std::sqrt(size);
    for (double v : row) *to++ = static_cast<float>(size == 0 ? v : v / size);
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Normalizer) = {
    .name = "Normalizer",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .input_types = {kMlTypes},
    .make_attrs = &ir::make_attrs<NormalizerAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
