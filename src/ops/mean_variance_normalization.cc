// MeanVarianceNormalization (ai.onnx 9, 13): y = (x - mean) / (sqrt(var) + 1e-9), with the moments over `axes` (0, 2 and 3 by
// default). Version 13 adds bfloat16.
#include <cmath>

#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

struct MeanVarianceNormalizationAttrs : ir::AttrsOf<MeanVarianceNormalizationAttrs> {
  std::vector<int64_t> axes = {0, 2, 3};
  void visit(ir::AttrVisitor& v) override { v("axes", axes); }
};

Status infer(InferContext& c) {
  if (c.shape(0)) CAMEO_TRY(normalize_axes(c.attrs<MeanVarianceNormalizationAttrs>().axes, c.shape(0)->size()));
  c.set_output(0, c.input(0));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  if (x.num_elements() == 0) return {};
  // Strides over the statistics: 0 along the axes that are reduced.
  Dims kept = x.dims();
  for (int64_t axis : c.attrs<MeanVarianceNormalizationAttrs>().axes)
    kept[static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(x.rank()) : axis)] = 1;
  const Dims strides = strides_of(x.dims()), statistic = broadcast_strides(kept, x.dims());
  const int64_t groups = kept.num_elements();
  return dispatch_floats(x.dtype(), "MeanVarianceNormalization", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T* from = x.data<T>();
    T* to = c.output(0).data<T>();
    const C n = static_cast<C>(x.num_elements() / groups);
    const auto mean = c.scratch<C>(groups), deviation = c.scratch<C>(groups);
    std::fill(mean.begin(), mean.end(), C{0});
    std::fill(deviation.begin(), deviation.end(), C{0});
    for_each_offset(x.dims(), {&strides, &statistic}, [&](const int64_t* at) { mean[at[1]] += static_cast<C>(from[at[0]]); });
    for (C& m : mean) m /= n;
    for_each_offset(x.dims(), {&strides, &statistic}, [&](const int64_t* at) {
      const C d = static_cast<C>(from[at[0]]) - mean[at[1]];
      deviation[at[1]] += d * d;
    });
    for (C& d : deviation) d = std::sqrt(d / n) + static_cast<C>(1e-9);
    for_each_offset(x.dims(), {&strides, &statistic},
                    [&](const int64_t* at) { to[at[0]] = static_cast<T>((static_cast<C>(from[at[0]]) - mean[at[1]]) / deviation[at[1]]); });
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(MeanVarianceNormalization) = {
    .name = "MeanVarianceNormalization",
    .min_version = 9,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<MeanVarianceNormalizationAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
