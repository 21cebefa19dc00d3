// CausalConvWithState (ai.onnx 27): a depthwise convolution over time that sees only the past:
//   y[b, c, t] = activation(bias[c] + sum over j of w[c, 0, j] * s[b, c, t + j]),  s = past_state (k - 1 elements, or zeros) followed by x
// present_state is the last k - 1 elements of s. activation is none, or silu = swish: v / (1 + exp(-v)), of the sum rounded to the
// type of x.
#include <cmath>

#include "ops/accumulate.h"
#include "ops/checks.h"
#include "ops/dispatch.h"

namespace cameo::ops {
namespace {

enum Input : size_t { kX, kWeight, kBias, kPast };

struct CausalConvAttrs : ir::AttrsOf<CausalConvAttrs> {
  std::string activation = "none";
  void visit(ir::AttrVisitor& v) override { v("activation", activation); }
};

Status infer(InferContext& c) {
  const auto& activation = c.attrs<CausalConvAttrs>().activation;
  if (activation != "none" && activation != "silu" && activation != "swish")
    return error(ErrorCode::kInvalidModel, "activation is '{}'; allowed: none, silu, swish", activation);
  CAMEO_TRY(check_same_dtype(c, {kX, kWeight, kBias, kPast}));
  CAMEO_TRY(check_rank(c, kX, 3, "the input"));
  CAMEO_TRY(check_rank(c, kWeight, 3, "weight"));
  ir::Dim batch, channels, state;
  if (const auto& x = c.shape(kX)) {
    batch = (*x)[0];
    channels = (*x)[1];
  }
  if (const auto& w = c.shape(kWeight)) {
    CAMEO_ASSIGN(channels, agree(channels, (*w)[0], "the channels of weight"));
    CAMEO_TRY(agree(1, (*w)[1], "the second extent of weight"));
    if ((*w)[2].is(0)) return error(ErrorCode::kInvalidInput, "weight is {}: its kernel is empty", ir::to_string(*w));
    state = (*w)[2] - 1;
  }
  CAMEO_TRY(check_shape(c, kBias, {channels}, "bias"));
  CAMEO_TRY(check_shape(c, kPast, {batch, channels, state}, "past_state"));
  c.set_output(0, c.input(kX));
  c.set_output(1, c.dtype(kX), {batch, channels, state});
  return {};
}

template <class T>
void run(KernelContext& c) {
  using C = compute_t<T>;
  const Dims& d = c.input(kX).dims();
  const int64_t channels = d[1], length = d[2], kernel = c.input(kWeight).dim(2), state = kernel - 1;
  const bool silu = c.attrs<CausalConvAttrs>().activation != "none";
  const auto padded = c.scratch<T>(state + length);
  const auto sums = c.scratch<C>(length);
  for (int64_t row = 0; row < d[0] * channels; ++row) {
    const int64_t channel = row % channels;
    if (c.has_input(kPast))
      std::copy_n(c.input(kPast).data<T>() + row * state, state, padded.begin());
    else
      std::fill_n(padded.begin(), state, T{});
    std::copy_n(c.input(kX).data<T>() + row * length, length, padded.begin() + state);
    std::fill(sums.begin(), sums.end(), c.has_input(kBias) ? static_cast<C>(c.input(kBias).data<T>()[channel]) : C{0});
    for (int64_t j = 0; j < kernel; ++j)
      add_scaled(static_cast<C>(c.input(kWeight).data<T>()[channel * kernel + j]), padded.data() + j, sums.data(), length);
    if (c.has_output(0)) {
      T* y = c.output(0).data<T>() + row * length;
      for (int64_t t = 0; t < length; ++t) {
        y[t] = static_cast<T>(sums[t]);
        const C v = static_cast<C>(y[t]);
        if (silu) y[t] = static_cast<T>(v * (1 / (1 + std::exp(-v))));
      }
    }
    if (c.has_output(1)) std::copy_n(padded.end() - state, state, c.output(1).data<T>() + row * state);
  }
}

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(kX).dtype(), "CausalConvWithState", [&](auto tag) -> Status {
    run<typename decltype(tag)::type>(c);
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(CausalConvWithState) = {
    .name = "CausalConvWithState",
    .min_version = 27,
    .min_inputs = 2,
    .max_inputs = 4,
    .max_outputs = 2,
    .input_types = {TypeSet{DType::kFloat32, DType::kFloat16, DType::kBfloat16}},
    .make_attrs = &ir::make_attrs<CausalConvAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
