// SwiGLU (ai.onnx 28): a / (1 + exp(-alpha * a)) * b for inputs of one shape; alpha is 1 by default.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  if (c.dtype(0) != DType::kUndefined && c.dtype(1) != DType::kUndefined && c.dtype(0) != c.dtype(1))
    return error(ErrorCode::kInvalidModel, "A is {}, but B is {}; they must be of one type", dtype_name(c.dtype(0)),
                 dtype_name(c.dtype(1)));
  auto both = ir::unify(c.input(0), c.input(1));
  if (!both.ok())
    return error(ErrorCode::kInvalidModel, "A is {}, but B is {}; they must have one shape", c.input(0).to_string(),
                 c.input(1).to_string());
  c.set_output(0, std::move(both).value());
  return {};
}

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(0).dtype(), "SwiGLU", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    map_binary<T, T>(c.input(0), c.input(1), c.output(0), [alpha = static_cast<C>(c.attrs<AlphaAttrs>().alpha.value_or(1.f))](C a, C b) {
      return a / (1 + std::exp(-alpha * a)) * b;
    });
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(SwiGLU) = {
    .name = "SwiGLU",
    .min_version = 28,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<AlphaAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
