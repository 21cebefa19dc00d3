// RandomUniformLike (ai.onnx 1, 22): numbers spread evenly over [low, high), in the shape of the input, and in its type unless
// dtype names another.
#include "ops/random.h"

namespace cameo::ops {
namespace {

struct RandomUniformLikeAttrs : ir::AttrsOf<RandomUniformLikeAttrs> {
  std::optional<int64_t> dtype;
  float low = 0, high = 1;
  std::optional<float> seed;
  void visit(ir::AttrVisitor& v) override {
    v("dtype", dtype);
    v("low", low);
    v("high", high);
    v("seed", seed);
  }
};

Status infer(InferContext& c) { return infer_random_like(c, c.attrs<RandomUniformLikeAttrs>().dtype); }

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<RandomUniformLikeAttrs>();
  Random random(attrs.seed);
  return fill_random(c.output(0), "RandomUniformLike", [&] { return attrs.low + (double{attrs.high} - attrs.low) * random.uniform(); });
}

}  // namespace

CAMEO_DEFINE_OP(RandomUniformLike) = {
    .name = "RandomUniformLike",
    .make_attrs = &ir::make_attrs<RandomUniformLikeAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kRandom,
};

}  // namespace cameo::ops
