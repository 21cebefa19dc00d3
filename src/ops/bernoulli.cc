// Bernoulli (ai.onnx 15, 22): y[i] is 1 with probability x[i], else 0, in the type of x unless dtype names another.
#include "ops/move.h"
#include "ops/random.h"

namespace cameo::ops {
namespace {

struct BernoulliAttrs : ir::AttrsOf<BernoulliAttrs> {
  std::optional<int64_t> dtype;
  std::optional<float> seed;
  void visit(ir::AttrVisitor& v) override {
    v("dtype", dtype);
    v("seed", seed);
  }
};

Status infer(InferContext& c) {
  DType type = c.dtype(0);
  if (const auto& dtype = c.attrs<BernoulliAttrs>().dtype) {
    CAMEO_ASSIGN(type, dtype_of_attribute(*dtype, kNumericTypes | kBoolType));
  }
  c.set_output(0, tensor_type(type, c.shape(0)));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  Random random(c.attrs<BernoulliAttrs>().seed);
  const auto draw = c.scratch<uint8_t>(x.num_elements());
  CAMEO_TRY(dispatch_floats(x.dtype(), "Bernoulli", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (size_t i = 0; i < draw.size(); ++i) {
      const auto p = static_cast<double>(static_cast<compute_t<T>>(x.data<T>()[i]));
      if (!(p >= 0 && p <= 1)) return error(ErrorCode::kInvalidInput, "element {} is {}; probabilities are 0 to 1", i, p);
      draw[i] = random.bernoulli(p);
    }
    return {};
  }));
  if (y.dtype() == DType::kBool) {
    for (size_t i = 0; i < draw.size(); ++i) y.data<bool>()[i] = draw[i] != 0;
    return {};
  }
  return dispatch_numbers(y.dtype(), "Bernoulli", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (size_t i = 0; i < draw.size(); ++i) y.data<T>()[i] = static_cast<T>(static_cast<compute_t<T>>(draw[i]));
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Bernoulli) = {
    .name = "Bernoulli",
    .min_version = 15,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<BernoulliAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kRandom,
};

}  // namespace cameo::ops
