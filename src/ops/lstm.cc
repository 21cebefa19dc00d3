// LSTM (ai.onnx 1, 7, 14, 22), gates in the order i, o, f, c; peepholes P in the order i, o, f:
//   i = f(x * Wi^T + h * Ri^T + Pi . c + Wbi + Rbi)     f = f(x * Wf^T + h * Rf^T + Pf . c + Wbf + Rbf)
//   n = g(x * Wc^T + h * Rc^T + Wbc + Rbc)              c = f . c + i . n
//   o = f(x * Wo^T + h * Ro^T + Po . c + Wbo + Rbo)     h = o . h(c)
// f = Sigmoid, g = h = Tanh unless `activations` says otherwise. With input_forget the forget gate is 1 - i. Version 14 adds
// layout (1: batch first), 22 bfloat16. States are kept in float for the 16-bit types. Time steps beyond a sequence's
// length give 0.
#include <limits>

#include "ops/recurrent.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) { return infer_recurrent(c, c.attrs<LstmAttrs>(), 4, {"Sigmoid", "Tanh", "Tanh"}, true); }

template <class T>
Status run(KernelContext& c) {
  using C = compute_t<T>;
  const auto& attrs = c.attrs<LstmAttrs>();
  const auto g = RecurrentGeometry::make(c, attrs);
  CAMEO_ASSIGN(const Activations f, make_activations(attrs, static_cast<size_t>(g.directions), {"Sigmoid", "Tanh", "Tanh"}));
  const C clip = attrs.clip ? static_cast<C>(*attrs.clip) : std::numeric_limits<C>::infinity();
  const int64_t n = g.hidden;
  const auto recurrence = c.scratch<C>(4 * n * n), bias = c.scratch<C>(8 * n), peephole = c.scratch<C>(3 * n), squashed = c.scratch<C>(n);
  return run_recurrent<T, C>(
      c, g, 4, true,
      [&](int64_t d) {
        load_parameters<T, C>(c, 2, d * 4 * n * n, recurrence);
        load_parameters<T, C>(c, 3, d * 8 * n, bias);
        load_parameters<T, C>(c, 7, d * 3 * n, peephole);
      },
      [&](int64_t d, C* x, const RecurrentState<C>& state) {
        const Activation* functions = f.list + 3 * d;
        for (int64_t i = 0; i < 4 * n; ++i) x[i] += dot<C>(recurrence.data() + i * n, state.h, n) + bias[i] + bias[4 * n + i];
        C *in = x, *out = x + n, *forget = x + 2 * n, *candidate = x + 3 * n;
        for (int64_t i = 0; i < n; ++i) {
          in[i] += peephole[i] * state.cell[i];
          forget[i] += peephole[2 * n + i] * state.cell[i];
        }
        functions[0].apply(in, n, clip);
        functions[0].apply(forget, n, clip);
        functions[1].apply(candidate, n, clip);
        for (int64_t i = 0; i < n; ++i) {
          state.cell[i] = (attrs.input_forget ? 1 - in[i] : forget[i]) * state.cell[i] + in[i] * candidate[i];
          out[i] += peephole[n + i] * state.cell[i];
          squashed[i] = state.cell[i];
        }
        functions[0].apply(out, n, clip);
        functions[2].apply(squashed.data(), n, clip);
        for (int64_t i = 0; i < n; ++i) state.h[i] = out[i] * squashed[i];
      });
}

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(0).dtype(), "LSTM", [&](auto tag) -> Status { return run<typename decltype(tag)::type>(c); });
}

}  // namespace

CAMEO_DEFINE_OP(LSTM) = {
    .name = "LSTM",
    .min_inputs = 3,
    .max_inputs = 8,
    .min_outputs = 0,
    .max_outputs = 3,
    .input_types = {kFloatTypes, kFloatTypes, kFloatTypes, kFloatTypes, TypeSet{DType::kInt32}, kFloatTypes, kFloatTypes, kFloatTypes},
    .make_attrs = &ir::make_attrs<LstmAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
