// GroupNormalization (ai.onnx 18, 21): y = scale * (x - mean) / sqrt(var + epsilon) + bias, with the moments of each group of
// channels of each sample. Scale and bias have an element per group in version 18 and per channel from 21 on. The
// moments of the 16-bit types are computed in float, whatever stash_type; the normalized value, its product with scale
// and the sum with bias are each rounded to the type of x, as the function that defines the operator does.
#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/normalization.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  const int64_t groups = c.attrs<GroupNormalizationAttrs>().num_groups;
  CAMEO_TRY(check_same_dtype(c, {0, 1, 2}));
  if (groups < 1) return error(ErrorCode::kInvalidModel, "num_groups is {}; it must be at least 1", groups);
  if (const auto& x = c.shape(0)) {
    if (x->size() < 2) return error(ErrorCode::kInvalidInput, "the input is {}; it must have rank 2 or more", ir::to_string(*x));
    const ir::Dim& channels = (*x)[1];
    if (channels.is_const() && channels.value() % groups != 0)
      return error(ErrorCode::kInvalidInput, "num_groups is {}, which does not divide the {} channels", groups, channels.value());
    const ir::Shape parameters = {c.version() < 21 ? ir::Dim(groups) : channels};
    CAMEO_TRY(check_shape(c, 1, parameters, "scale"));
    CAMEO_TRY(check_shape(c, 2, parameters, "bias"));
  }
  c.set_output(0, c.input(0));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  if (x.num_elements() == 0) return {};
  const auto& attrs = c.attrs<GroupNormalizationAttrs>();
  const int64_t channels = x.dim(1), groups = attrs.num_groups, per_group = channels / groups;
  const int64_t size = x.num_elements() / (x.dim(0) * channels);
  return dispatch_floats(x.dtype(), "GroupNormalization", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const auto round = [](C v) { return static_cast<C>(static_cast<T>(v)); };
    const T* from = x.data<T>();
    T* to = c.output(0).data<T>();
    for (int64_t row = 0; row < x.dim(0) * groups; ++row) {
      const auto m = moments_of<C>(from, per_group * size);
      const C inverse = m.inverse_deviation(attrs.epsilon);
      for (int64_t k = 0; k < per_group; ++k, from += size, to += size) {
        const int64_t group = row % groups, parameter = c.version() < 21 ? group : group * per_group + k;
        const C scale = static_cast<C>(c.input(1).data<T>()[parameter]), bias = static_cast<C>(c.input(2).data<T>()[parameter]);
        for (int64_t i = 0; i < size; ++i)
          to[i] = static_cast<T>(round(round((static_cast<C>(from[i]) - m.mean) * inverse) * scale) + bias);
      }
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(GroupNormalization) = {
    .name = "GroupNormalization",
    .min_version = 18,
    .min_inputs = 3,
    .max_inputs = 3,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<GroupNormalizationAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
