// BatchNormalization (ai.onnx 1, 6, 7, 9, 14, 15): y = (x - mean) / sqrt(var + epsilon) * scale + b per channel.
// In training mean and var are those of the batch, and the running ones, input * momentum + batch * (1 - momentum),
// are outputs; from version 14 on the attribute training_mode asks for it, before that the presence of outputs 1 to 4
// (running mean and variance, then those of the batch). spatial = 0 (before version 9): one statistic for each element
// of a sample. From version 14 on scale, b and the statistics may have other types than x. An input of rank 1 has one channel.
#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/normalization.h"

namespace cameo::ops {
namespace {

template <class Context>
bool is_training(const Context& c) {
  if (c.version() >= 14) return c.template attrs<BatchNormalizationAttrs>().training_mode != 0;
  return c.has_output(1) || c.has_output(2) || c.has_output(3) || c.has_output(4);
}

bool is_spatial(int version, const BatchNormalizationAttrs& attrs) { return version >= 9 || attrs.spatial != 0; }

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<BatchNormalizationAttrs>();
  if (c.version() < 14) CAMEO_TRY(check_same_dtype(c, {0, 1, 2, 3, 4}));
  CAMEO_TRY(check_same_dtype(c, {1, 2}));
  CAMEO_TRY(check_same_dtype(c, {3, 4}));
  const bool training = is_training(c);
  if (!training && (c.has_output(1) || c.has_output(2)))
    return error(ErrorCode::kInvalidModel, "has outputs 1 and 2, which only training_mode = 1 gives");
  ir::Shape statistic(1);
  if (const auto& x = c.shape(0)) {
    if (x->empty()) return error(ErrorCode::kInvalidInput, "the input is a scalar; it must have rank 1 or more");
    const char* names[] = {"", "scale", "B", "mean", "var"};
    if (is_spatial(c.version(), attrs)) {
      statistic[0] = x->size() == 1 ? ir::Dim(1) : (*x)[1];
      for (size_t i = 1; i < 5; ++i) CAMEO_TRY(check_shape(c, i, statistic, names[i]));
    } else {
      const ir::Dim features = ir::num_elements(ir::Shape(x->begin() + 1, x->end()));
      for (size_t i = 1; i < 5; ++i)
        if (c.shape(i)) CAMEO_TRY(agree(features, ir::num_elements(*c.shape(i)), names[i]));
      if (c.shape(3)) statistic = *c.shape(3);
    }
  }
  c.set_output(0, c.input(0));
  for (size_t i = 1; i < 5; ++i) c.set_output(i, c.dtype(3), statistic);
  return {};
}

// The elements of t as C.
template <class C>
Status load(const Tensor& t, std::span<C> to) {
  return dispatch_floats(t.dtype(), "BatchNormalization", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<C>(static_cast<compute_t<T>>(t.data<T>()[i]));
    return {};
  });
}

template <class C>
Status store(std::span<const C> from, Tensor& t) {
  return dispatch_floats(t.dtype(), "BatchNormalization", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (size_t i = 0; i < from.size(); ++i) t.data<T>()[i] = static_cast<T>(static_cast<compute_t<T>>(from[i]));
    return {};
  });
}

template <class T>
Status run(KernelContext& c) {
  using C = compute_t<T>;
  const auto& attrs = c.attrs<BatchNormalizationAttrs>();
  const Tensor& x = c.input(0);
  const bool training = is_training(c);
  const int64_t batch = x.dim(0), channels = c.input(1).num_elements();
  const int64_t inner = batch * channels == 0 ? 0 : x.num_elements() / (batch * channels);
  if (c.input(2).num_elements() != channels || c.input(3).num_elements() != channels || c.input(4).num_elements() != channels)
    return error(ErrorCode::kInvalidInput, "scale, B, mean and var must have the same number of elements");
  const auto scale = c.scratch<C>(channels), bias = c.scratch<C>(channels), mean = c.scratch<C>(channels),
             variance = c.scratch<C>(channels);
  CAMEO_TRY(load(c.input(1), scale));
  CAMEO_TRY(load(c.input(2), bias));
  CAMEO_TRY(load(c.input(3), mean));
  CAMEO_TRY(load(c.input(4), variance));
  const T* from = x.data<T>();
  const C epsilon = attrs.epsilon, momentum = attrs.momentum;
  if (training) {
    const C n = static_cast<C>(batch * inner);
    const auto running_mean = c.scratch<C>(channels), running_variance = c.scratch<C>(channels);
    for (int64_t k = 0; k < channels; ++k) {
      C sum = 0, squares = 0;
      for (int64_t b = 0; b < batch; ++b) sum += sum_of<C>(from + (b * channels + k) * inner, inner);
      const C m = sum / n;
      for (int64_t b = 0; b < batch; ++b)
        squares += sum_of<C>(from + (b * channels + k) * inner, inner, [m](C v) { return (v - m) * (v - m); });
      running_mean[k] = mean[k] * momentum + m * (1 - momentum);
      running_variance[k] = variance[k] * momentum + squares / n * (1 - momentum);
      mean[k] = m;
      variance[k] = squares / n;
    }
    if (c.has_output(1)) CAMEO_TRY(store<C>(running_mean, c.output(1)));
    if (c.has_output(2)) CAMEO_TRY(store<C>(running_variance, c.output(2)));
    if (c.has_output(3)) CAMEO_TRY(store<C>(mean, c.output(3)));
    if (c.has_output(4)) CAMEO_TRY(store<C>(variance, c.output(4)));
  }
  T* to = c.output(0).data<T>();
  for (int64_t k = 0; k < channels; ++k) variance[k] = scale[k] / std::sqrt(variance[k] + epsilon);
  if (inner == 0) return {};
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t k = 0; k < channels; ++k, from += inner, to += inner)
      for (int64_t i = 0; i < inner; ++i) to[i] = static_cast<T>((static_cast<C>(from[i]) - mean[k]) * variance[k] + bias[k]);
  return {};
}

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(0).dtype(), "BatchNormalization",
                         [&](auto tag) -> Status { return run<typename decltype(tag)::type>(c); });
}

}  // namespace

CAMEO_DEFINE_OP(BatchNormalization) = {
    .name = "BatchNormalization",
    .min_inputs = 5,
    .max_inputs = 5,
    .max_outputs = 5,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<BatchNormalizationAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
