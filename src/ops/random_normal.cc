// RandomNormal (ai.onnx 1, 22): numbers of the normal distribution with mean `mean` and standard deviation `scale`.
#include "ops/random.h"

namespace cameo::ops {
namespace {

struct RandomNormalAttrs : ir::AttrsOf<RandomNormalAttrs> {
  int64_t dtype = static_cast<int64_t>(DType::kFloat32);
  std::vector<int64_t> shape;
  float mean = 0, scale = 1;
  std::optional<float> seed;
  void visit(ir::AttrVisitor& v) override {
    v("dtype", dtype);
    v("shape", shape);
    v("mean", mean);
    v("scale", scale);
    v("seed", seed);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<RandomNormalAttrs>();
  return infer_random(c, attrs.dtype, attrs.shape);
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<RandomNormalAttrs>();
  Random random(attrs.seed);
  return fill_random(c.output(0), "RandomNormal", [&] { return attrs.mean + attrs.scale * random.normal(); });
}

}  // namespace

CAMEO_DEFINE_OP(RandomNormal) = {
    .name = "RandomNormal",
    .min_inputs = 0,
    .max_inputs = 0,
    .make_attrs = &ir::make_attrs<RandomNormalAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kRandom,
};

}  // namespace cameo::ops
