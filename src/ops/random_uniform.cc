// RandomUniform (ai.onnx 1, 22): numbers spread evenly over [low, high).
#include "ops/random.h"

namespace cameo::ops {
namespace {

struct RandomUniformAttrs : ir::AttrsOf<RandomUniformAttrs> {
  int64_t dtype = static_cast<int64_t>(DType::kFloat32);
  std::vector<int64_t> shape;
  float low = 0, high = 1;
  std::optional<float> seed;
  void visit(ir::AttrVisitor& v) override {
    v("dtype", dtype);
    v("shape", shape);
    v("low", low);
    v("high", high);
    v("seed", seed);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<RandomUniformAttrs>();
  return infer_random(c, attrs.dtype, attrs.shape);
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<RandomUniformAttrs>();
  Random random(attrs.seed);
  return fill_random(c.output(0), "RandomUniform", [&] { return attrs.low + (double{attrs.high} - attrs.low) * random.uniform(); });
}

}  // namespace

CAMEO_DEFINE_OP(RandomUniform) = {
    .name = "RandomUniform",
    .min_inputs = 0,
    .max_inputs = 0,
    .make_attrs = &ir::make_attrs<RandomUniformAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kRandom,
};

}  // namespace cameo::ops
