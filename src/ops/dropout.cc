// Dropout (ai.onnx 1, 6, 7, 10, 12, 13, 22): y = x in inference; in training y = x * mask / (1 - ratio), where each element
// of the mask is 0 with probability ratio. Training is chosen by is_test = 0 in versions 1 and 6, never in 7 and 10, and
// by the input training_mode from 12 on. The mask has the type of x before version 10, then bool.
#include "ops/dispatch.h"
#include "ops/move.h"
#include "ops/random.h"

namespace cameo::ops {
namespace {

struct DropoutAttrs : ir::AttrsOf<DropoutAttrs> {
  float ratio = 0.5f;
  int64_t is_test = 0;
  std::optional<int64_t> seed;
  std::vector<int64_t> consumed_inputs;
  void visit(ir::AttrVisitor& v) override {
    v("ratio", ratio);
    v("is_test", is_test);
    v("seed", seed);
    v("consumed_inputs", consumed_inputs);
  }
};

Status infer(InferContext& c) {
  c.set_output(0, c.input(0));
  c.set_output(1, tensor_type(c.version() < 10 ? c.dtype(0) : DType::kBool, c.shape(0)));
  return {};
}

Status fill_mask(Tensor& mask) {
  if (mask.dtype() == DType::kBool) {
    std::fill_n(mask.data<bool>(), mask.num_elements(), true);
    return {};
  }
  return dispatch_floats(mask.dtype(), "Dropout", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    std::fill_n(mask.data<T>(), mask.num_elements(), static_cast<T>(1.f));
    return {};
  });
}

Result<double> ratio_of(KernelContext& c) {
  if (c.version() < 12) return double{c.attrs<DropoutAttrs>().ratio};
  if (!c.has_input(1)) return 0.5;
  const Tensor& ratio = c.input(1);
  if (ratio.num_elements() != 1)
    return error(ErrorCode::kInvalidInput, "ratio must be a scalar, its shape is {}", ratio.dims().to_string());
  double value = 0;
  CAMEO_TRY(dispatch_floats(ratio.dtype(), "Dropout", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    value = static_cast<double>(static_cast<compute_t<T>>(ratio.data<T>()[0]));
    return {};
  }));
  return value;
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<DropoutAttrs>();
  const Tensor& x = c.input(0);
  bool training = c.version() < 7 && attrs.is_test == 0;
  if (c.version() >= 12 && c.has_input(2)) training = c.input(2).num_elements() > 0 && c.input(2).data<bool>()[0];
  CAMEO_ASSIGN(const double ratio, ratio_of(c));
  if (!training || ratio == 0) {
    if (c.has_output(0)) CAMEO_TRY(copy_input(c));
    return c.has_output(1) ? fill_mask(c.output(1)) : Status{};
  }
  if (!(ratio > 0 && ratio < 1)) return error(ErrorCode::kInvalidInput, "ratio is {}; allowed are 0 to below 1", ratio);
  Random random(attrs.seed);
  return dispatch_floats(x.dtype(), "Dropout", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const auto scale = static_cast<C>(1 / (1 - ratio));
    for (int64_t i = 0, n = x.num_elements(); i < n; ++i) {
      const bool keep = random.uniform() >= ratio;
      if (c.has_output(0)) c.output(0).data<T>()[i] = static_cast<T>(keep ? static_cast<C>(x.data<T>()[i]) * scale : C{0});
      if (!c.has_output(1)) continue;
      if (c.version() < 10)
        c.output(1).data<T>()[i] = static_cast<T>(keep ? C{1} : C{0});
      else
        c.output(1).data<bool>()[i] = keep;
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Dropout) = {
    .name = "Dropout",
    .max_inputs = 3,
    .max_outputs = 2,
    .input_types = {kFloatTypes, kFloatTypes, kBoolType},
    .make_attrs = &ir::make_attrs<DropoutAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kRandom,
};

}  // namespace cameo::ops
