// RNN (ai.onnx 1, 7, 14, 22): h = f(x * W^T + h * R^T + Wb + Rb) over time, f = Tanh unless `activations` says otherwise.
// Version 14 adds layout (1: batch first), 22 bfloat16. States are kept in float for the 16-bit types. Time steps beyond a
// sequence's length give 0.
#include <limits>

#include "ops/recurrent.h"

namespace cameo::ops {
namespace {

struct RnnAttrs : ir::AttrsOf<RnnAttrs>, RecurrentAttrs {
  void visit(ir::AttrVisitor& v) override { visit_recurrent(v); }
};

Status infer(InferContext& c) { return infer_recurrent(c, c.attrs<RnnAttrs>(), 1, {"Tanh"}); }

template <class T>
Status run(KernelContext& c) {
  using C = compute_t<T>;
  const auto& attrs = c.attrs<RnnAttrs>();
  const auto g = RecurrentGeometry::make(c, attrs);
  CAMEO_ASSIGN(const Activations f, make_activations(attrs, static_cast<size_t>(g.directions), {"Tanh"}));
  const C clip = attrs.clip ? static_cast<C>(*attrs.clip) : std::numeric_limits<C>::infinity();
  const int64_t n = g.hidden;
  const auto recurrence = c.scratch<C>(n * n), bias = c.scratch<C>(2 * n), next = c.scratch<C>(n);
  return run_recurrent<T, C>(
      c, g, 1, false,
      [&](int64_t d) {
        load_parameters<T, C>(c, 2, d * n * n, recurrence);
        load_parameters<T, C>(c, 3, d * 2 * n, bias);
      },
      [&](int64_t d, C* x, const RecurrentState<C>& state) {
        for (int64_t i = 0; i < n; ++i) next[i] = x[i] + dot<C>(recurrence.data() + i * n, state.h, n) + bias[i] + bias[n + i];
        f.list[d].apply(next.data(), n, clip);
        std::copy(next.begin(), next.end(), state.h);
      });
}

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(0).dtype(), "RNN", [&](auto tag) -> Status { return run<typename decltype(tag)::type>(c); });
}

}  // namespace

CAMEO_DEFINE_OP(RNN) = {
    .name = "RNN",
    .min_inputs = 3,
    .max_inputs = 6,
    .min_outputs = 0,
    .max_outputs = 2,
    .input_types = {kFloatTypes, kFloatTypes, kFloatTypes, kFloatTypes, TypeSet{DType::kInt32}, kFloatTypes},
    .make_attrs = &ir::make_attrs<RnnAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
