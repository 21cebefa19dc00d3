// What the optimizers of ai.onnx.preview.training share. Inputs: the learning rate R, the update count T, then n tensors X, n
// gradients G and n tensors of each kind of state. Outputs: n new X, then the n new tensors of each kind of state.
#pragma once

#include "ops/checks.h"
#include "ops/scalars.h"

namespace cameo::ops {

// How many tensors are optimized; an error when the inputs and outputs do not come in such groups.
inline Result<size_t> num_optimized(const ir::Node& node, size_t states) {
  const size_t groups = 2 + states, given = std::max<size_t>(node.inputs.size(), 2) - 2, n = given / groups;
  if (n == 0 || given % groups != 0 || node.outputs.size() != n * (1 + states))
    return error(ErrorCode::kInvalidModel, "has {} inputs and {} outputs; for n tensors there must be 2 + {} n and {} n",
                 node.inputs.size(), node.outputs.size(), groups, 1 + states);
  for (size_t i = 0; i < node.inputs.size(); ++i)
    if (node.inputs[i] == ir::kNoValue) return error(ErrorCode::kInvalidModel, "lacks its input {}", i);
  return n;
}

inline Status infer_optimizer(InferContext& c, size_t states) {
  CAMEO_ASSIGN(const size_t n, num_optimized(c.node(), states));
  for (size_t i = 0; i < n; ++i)
    for (size_t group = 1; group < 2 + states; ++group) {
      const size_t input = 2 + group * n + i;
      CAMEO_TRY(check_same_dtype(c, {2 + i, input}));
      if (c.shape(2 + i)) CAMEO_TRY(check_shape(c, input, *c.shape(2 + i), "the gradient or state"));
    }
  for (size_t i = 0; i < n; ++i)
    for (size_t group = 0; group < 1 + states; ++group) c.set_output(group * n + i, c.input(2 + i));
  return {};
}

// Calls step(x, g, states) for every element; it updates x and the states, all double.
template <size_t kStates, class Step>
Status apply_optimizer(KernelContext& c, const char* what, Step step) {
  CAMEO_ASSIGN(const size_t n, num_optimized(c.node(), kStates));
  for (size_t i = 0; i < n; ++i) {
    CAMEO_TRY(dispatch_floats(c.input(2 + i).dtype(), what, [&](auto tag) -> Status {
      using T = typename decltype(tag)::type;
      using C = compute_t<T>;
      const T* from[2 + kStates];
      T* to[1 + kStates] = {};
      for (size_t group = 0; group < 2 + kStates; ++group) from[group] = c.input(2 + group * n + i).template data<T>();
      for (size_t group = 0; group < 1 + kStates; ++group)
        if (c.has_output(group * n + i)) to[group] = c.output(group * n + i).template data<T>();
      const int64_t count = c.input(2 + i).num_elements();
      for (int64_t k = 0; k < count; ++k) {
        double x = static_cast<C>(from[0][k]), states[kStates];
        for (size_t s = 0; s < kStates; ++s) states[s] = static_cast<C>(from[2 + s][k]);
        step(x, static_cast<double>(static_cast<C>(from[1][k])), states);
        if (to[0]) to[0][k] = static_cast<T>(static_cast<C>(x));
        for (size_t s = 0; s < kStates; ++s)
          if (to[1 + s]) to[1 + s][k] = static_cast<T>(static_cast<C>(states[s]));
      }
      return {};
    }));
  }
  return {};
}

inline constexpr TypeSet kOptimizedTypes = {DType::kFloat32, DType::kFloat64};

}  // namespace cameo::ops
