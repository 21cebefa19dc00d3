// Binarizer (ai.onnx.ml 1): y = 1 where x > threshold, else 0.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

struct BinarizerAttrs : ir::AttrsOf<BinarizerAttrs> {
  float threshold = 0;
  void visit(ir::AttrVisitor& v) override { v("threshold", threshold); }
};

Status reference(KernelContext& c) {
  const double threshold = c.attrs<BinarizerAttrs>().threshold;
  return dispatch_numbers(c.input(0).dtype(), "Binarizer", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    map_unary<T, T>(c.input(0), c.output(0), [&](auto x) { return static_cast<compute_t<T>>(static_cast<double>(x) > threshold); });
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Binarizer) = {
    .name = "Binarizer",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .input_types = {{DType::kFloat32, DType::kFloat64, DType::kInt64, DType::kInt32}},
    .make_attrs = &ir::make_attrs<BinarizerAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
