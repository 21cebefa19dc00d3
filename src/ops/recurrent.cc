#include "ops/recurrent.h"

#include <algorithm>
#include <cmath>

namespace cameo::ops {
namespace {

struct KnownActivation {
  const char* name;
  Activation activation;  // with the default parameters
  bool alpha, beta;       // takes them
};

constexpr KnownActivation kActivations[] = {
    {"Relu", {Activation::Kind::kRelu, 0, 0}, false, false},
    {"Tanh", {Activation::Kind::kTanh, 0, 0}, false, false},
    {"Sigmoid", {Activation::Kind::kSigmoid, 0, 0}, false, false},
    {"Affine", {Activation::Kind::kAffine, 1, 0}, true, true},
    {"LeakyRelu", {Activation::Kind::kLeakyRelu, 0.01f, 0}, true, false},
    {"ThresholdedRelu", {Activation::Kind::kThresholdedRelu, 1, 0}, true, false},
    {"ScaledTanh", {Activation::Kind::kScaledTanh, 1, 1}, true, true},
    {"HardSigmoid", {Activation::Kind::kHardSigmoid, 0.2f, 0.5f}, true, true},
    {"Elu", {Activation::Kind::kElu, 1, 0}, true, false},
    {"Softsign", {Activation::Kind::kSoftsign, 0, 0}, false, false},
    {"Softplus", {Activation::Kind::kSoftplus, 0, 0}, false, false},
};

bool equal_ignoring_case(const std::string& a, const char* b) {
  const auto lower = [](char ch) { return ch >= 'A' && ch <= 'Z' ? static_cast<char>(ch - 'A' + 'a') : ch; };
  size_t i = 0;
  while (i < a.size() && b[i] && lower(a[i]) == lower(b[i])) ++i;
  return i == a.size() && !b[i];
}

Result<size_t> count_directions(const RecurrentAttrs& attrs) {
  if (attrs.direction == "forward" || attrs.direction == "reverse") return size_t{1};
  if (attrs.direction == "bidirectional") return size_t{2};
  return error(ErrorCode::kInvalidModel, "direction is '{}'; allowed: forward, reverse, bidirectional", attrs.direction);
}

template <class C, class F>
void map(C* x, int64_t n, F f) {
  for (int64_t i = 0; i < n; ++i) x[i] = f(x[i]);
}

}  // namespace

template <class C>
void Activation::apply(C* x, int64_t n, C clip) const {
  const C a = alpha, b = beta;
  if (std::isfinite(clip)) map(x, n, [=](C v) { return v < -clip ? -clip : v > clip ? clip : v; });
  switch (kind) {
    case Kind::kRelu:
      return map(x, n, [](C v) { return v > 0 ? v : C{0}; });
    case Kind::kTanh:
      return map(x, n, [](C v) { return std::tanh(v); });
    case Kind::kSigmoid:
      return map(x, n, [](C v) { return 1 / (1 + std::exp(-v)); });
    case Kind::kAffine:
      return map(x, n, [=](C v) { return a * v + b; });
    case Kind::kLeakyRelu:
      return map(x, n, [=](C v) { return v >= 0 ? v : a * v; });
    case Kind::kThresholdedRelu:
      return map(x, n, [=](C v) { return v >= a ? v : C{0}; });
    case Kind::kScaledTanh:
      return map(x, n, [=](C v) { return a * std::tanh(b * v); });
    case Kind::kHardSigmoid:
      return map(x, n, [=](C v) { return std::min(std::max(a * v + b, C{0}), C{1}); });
    case Kind::kElu:
      return map(x, n, [=](C v) { return v >= 0 ? v : a * std::expm1(v); });
    case Kind::kSoftsign:
      return map(x, n, [](C v) { return v / (1 + std::fabs(v)); });
    case Kind::kSoftplus:
      return map(x, n, [](C v) { return v > 0 ? v + std::log1p(std::exp(-v)) : std::log1p(std::exp(v)); });
  }
}
template void Activation::apply(float*, int64_t, float) const;
template void Activation::apply(double*, int64_t, double) const;

Result<Activations> make_activations(const RecurrentAttrs& attrs, size_t directions, std::initializer_list<const char*> defaults) {
  Activations result;
  const size_t needed = defaults.size() * directions;
  if (!attrs.activations.empty() && attrs.activations.size() != needed)
    return error(ErrorCode::kInvalidModel, "activations has {} names, {} are needed", attrs.activations.size(), needed);
  size_t alphas = 0, betas = 0;
  for (size_t i = 0; i < needed; ++i) {
    const char* preset = defaults.begin()[i % defaults.size()];
    const auto* known = std::find_if(std::begin(kActivations), std::end(kActivations), [&](const KnownActivation& k) {
      return attrs.activations.empty() ? std::string_view(preset) == k.name : equal_ignoring_case(attrs.activations[i], k.name);
    });
    if (known == std::end(kActivations))
      return error(ErrorCode::kInvalidModel, "activations names '{}', which is none of the activation functions of ONNX",
                   attrs.activations[i]);
    Activation& activation = result.list[i] = known->activation;
    if (known->alpha && alphas < attrs.activation_alpha.size()) activation.alpha = attrs.activation_alpha[alphas++];
    if (known->beta && betas < attrs.activation_beta.size()) activation.beta = attrs.activation_beta[betas++];
  }
  return result;
}

Status infer_recurrent(InferContext& c, const RecurrentAttrs& attrs, int64_t gates, std::initializer_list<const char*> defaults,
                       bool cell_state) {
  CAMEO_ASSIGN(const size_t directions, count_directions(attrs));
  CAMEO_TRY(make_activations(attrs, directions, defaults));
  CAMEO_TRY(check_same_dtype(c, {0, 1, 2, 3, 5, 6, 7}));
  if (c.has_input(4) && c.dtype(4) != DType::kInt32 && c.dtype(4) != DType::kUndefined)
    return error(ErrorCode::kInvalidModel, "sequence_lens is {}; it must be int32", dtype_name(c.dtype(4)));
  if (attrs.layout != 0 && attrs.layout != 1) return error(ErrorCode::kInvalidModel, "layout is {}; allowed: 0, 1", attrs.layout);
  if (attrs.clip && !(*attrs.clip >= 0)) return error(ErrorCode::kInvalidModel, "clip is {}; it must not be negative", *attrs.clip);
  CAMEO_TRY(check_rank(c, 0, 3, "X"));
  CAMEO_TRY(check_rank(c, 1, 3, "W"));
  CAMEO_TRY(check_rank(c, 2, 3, "R"));
  ir::Dim length, batch, input, hidden;
  if (attrs.hidden_size) {
    if (*attrs.hidden_size < 1) return error(ErrorCode::kInvalidModel, "hidden_size is {}; it must be at least 1", *attrs.hidden_size);
    hidden = *attrs.hidden_size;
  }
  if (const auto& r = c.shape(2)) {
    CAMEO_ASSIGN(hidden, agree(hidden, (*r)[2], "the last extent of R"));
  }
  if (const auto& x = c.shape(0)) {
    length = (*x)[attrs.layout ? 1 : 0];
    batch = (*x)[attrs.layout ? 0 : 1];
    input = (*x)[2];
  }
  const ir::Dim d = static_cast<int64_t>(directions), width = hidden * gates;
  const ir::Shape state = attrs.layout ? ir::Shape{batch, d, hidden} : ir::Shape{d, batch, hidden};
  CAMEO_TRY(check_shape(c, 1, {d, width, input}, "W"));
  CAMEO_TRY(check_shape(c, 2, {d, width, hidden}, "R"));
  CAMEO_TRY(check_shape(c, 3, {d, width * 2}, "B"));
  CAMEO_TRY(check_shape(c, 4, {batch}, "sequence_lens"));
  CAMEO_TRY(check_shape(c, 5, state, "initial_h"));
  if (cell_state) {
    CAMEO_TRY(check_shape(c, 6, state, "initial_c"));
    CAMEO_TRY(check_shape(c, 7, {d, hidden * 3}, "P"));
    c.set_output(2, c.dtype(0), state);
  }
  c.set_output(0, c.dtype(0), attrs.layout ? ir::Shape{batch, length, d, hidden} : ir::Shape{length, d, batch, hidden});
  c.set_output(1, c.dtype(0), state);
  return {};
}

RecurrentGeometry RecurrentGeometry::make(KernelContext& c, const RecurrentAttrs& attrs) {
  const Tensor& x = c.input(0);
  RecurrentGeometry g;
  g.batch_first = attrs.layout != 0;
  g.reversed = attrs.direction == "reverse";
  g.directions = c.input(1).dim(0);
  g.length = x.dim(g.batch_first ? 1 : 0);
  g.batch = x.dim(g.batch_first ? 0 : 1);
  g.input = x.dim(2);
  g.hidden = c.input(2).dim(2);
  return g;
}

}  // namespace cameo::ops
