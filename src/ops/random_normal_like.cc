// RandomNormalLike (ai.onnx 1, 22): numbers of the normal distribution with mean `mean` and standard deviation `scale`, in the
// shape of the input, and in its type unless dtype names another.
#include "ops/random.h"

namespace cameo::ops {
namespace {

struct RandomNormalLikeAttrs : ir::AttrsOf<RandomNormalLikeAttrs> {
  std::optional<int64_t> dtype;
  float mean = 0, scale = 1;
  std::optional<float> seed;
  void visit(ir::AttrVisitor& v) override {
    v("dtype", dtype);
    v("mean", mean);
    v("scale", scale);
    v("seed", seed);
  }
};

Status infer(InferContext& c) { return infer_random_like(c, c.attrs<RandomNormalLikeAttrs>().dtype); }

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<RandomNormalLikeAttrs>();
  Random random(attrs.seed);
  return fill_random(c.output(0), "RandomNormalLike", [&] { return attrs.mean + attrs.scale * random.normal(); });
}

}  // namespace

CAMEO_DEFINE_OP(RandomNormalLike) = {
    .name = "RandomNormalLike",
    .make_attrs = &ir::make_attrs<RandomNormalLikeAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kRandom,
};

}  // namespace cameo::ops
