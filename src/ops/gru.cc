// GRU (ai.onnx 1, 3, 7, 14, 22), gates in the order z, r, h:
//   z = f(x * Wz^T + h * Rz^T + Wbz + Rbz)     r = f(x * Wr^T + h * Rr^T + Wbr + Rbr)
//   n = g(x * Wh^T + (r . h) * Rh^T + Rbh + Wbh)          linear_before_reset = 0
//   n = g(x * Wh^T + r . (h * Rh^T + Rbh) + Wbh)          linear_before_reset = 1 (version 3)
//   h = (1 - z) . n + z . h
// f = Sigmoid and g = Tanh unless `activations` says otherwise. Version 14 adds layout (1: batch first), 22 bfloat16.
// States are kept in float for the 16-bit types. Time steps beyond a sequence's length give 0.
#include <limits>

#include "ops/recurrent.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) { return infer_recurrent(c, c.attrs<GruAttrs>(), 3, {"Sigmoid", "Tanh"}); }

template <class T>
Status run(KernelContext& c) {
  using C = compute_t<T>;
  const auto& attrs = c.attrs<GruAttrs>();
  const auto g = RecurrentGeometry::make(c, attrs);
  CAMEO_ASSIGN(const Activations f, make_activations(attrs, static_cast<size_t>(g.directions), {"Sigmoid", "Tanh"}));
  const C clip = attrs.clip ? static_cast<C>(*attrs.clip) : std::numeric_limits<C>::infinity();
  const int64_t n = g.hidden;
  const auto recurrence = c.scratch<C>(3 * n * n), bias = c.scratch<C>(6 * n), reset = c.scratch<C>(n);
  return run_recurrent<T, C>(
      c, g, 3, false,
      [&](int64_t d) {
        load_parameters<T, C>(c, 2, d * 3 * n * n, recurrence);
        load_parameters<T, C>(c, 3, d * 6 * n, bias);
      },
      [&](int64_t d, C* x, const RecurrentState<C>& state) {
        const C *input_bias = bias.data(), *hidden_bias = bias.data() + 3 * n;
        for (int64_t i = 0; i < 2 * n; ++i) x[i] += dot<C>(recurrence.data() + i * n, state.h, n) + input_bias[i] + hidden_bias[i];
        f.list[2 * d].apply(x, 2 * n, clip);
        const C *z = x, *r = x + n, *rh = recurrence.data() + 2 * n * n;
        C* candidate = x + 2 * n;
        for (int64_t i = 0; i < n; ++i) reset[i] = r[i] * state.h[i];
        for (int64_t i = 0; i < n; ++i) {
          candidate[i] += input_bias[2 * n + i];
          if (attrs.linear_before_reset)
            candidate[i] += r[i] * (dot<C>(rh + i * n, state.h, n) + hidden_bias[2 * n + i]);
          else
            candidate[i] += dot<C>(rh + i * n, reset.data(), n) + hidden_bias[2 * n + i];
        }
        f.list[2 * d + 1].apply(candidate, n, clip);
        for (int64_t i = 0; i < n; ++i) state.h[i] = (1 - z[i]) * candidate[i] + z[i] * state.h[i];
      });
}

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(0).dtype(), "GRU", [&](auto tag) -> Status { return run<typename decltype(tag)::type>(c); });
}

}  // namespace

CAMEO_DEFINE_OP(GRU) = {
    .name = "GRU",
    .min_inputs = 3,
    .max_inputs = 6,
    .min_outputs = 0,
    .max_outputs = 2,
    .input_types = {kFloatTypes, kFloatTypes, kFloatTypes, kFloatTypes, TypeSet{DType::kInt32}, kFloatTypes},
    .make_attrs = &ir::make_attrs<GruAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
