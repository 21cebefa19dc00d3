// ai.cameo.AveragePool (1): the mean of each window of [N, spatial…, C]. Padding counts in the divisor only with
// count_include_pad; what ceil_mode lets hang over the padding never does. A window that holds no element at all gives 0.
#include "ops/cameo_pool.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) { return infer_channels_last_pool(c, c.attrs<CameoAveragePoolAttrs>()); }

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<CameoAveragePoolAttrs>();
  CAMEO_ASSIGN(const PoolGeometry g, channels_last_geometry(attrs, c.input(0).dims(), c.output(0).dims()));
  if (c.output(0).num_elements() == 0) return {};
  const float* x = c.input(0).data<float>();
  float* y = c.output(0).data<float>();
  float* sums = c.scratch<float>(g.out_row()).data();
  const size_t last = g.window.rank - 1;
  for (int64_t plane = 0; plane < g.planes; ++plane, x += g.in_size, y += g.out_size)
    pool_plane(
        g, [&] { std::fill_n(sums, g.out_row(), 0.f); },
        [&](int64_t o, int64_t i, int64_t n, int64_t) {
          for (int64_t k = 0; k < n; ++k) sums[o + k] += x[i + k];
        },
        [&](int64_t first) {
          float taps = 1;
          int64_t rest = first / g.out_row();
          for (size_t a = last; a-- > 0; rest /= g.out[a])
            taps *= static_cast<float>(counted_taps(g.window.axes[a], rest % g.out[a], g.in[a], attrs.count_include_pad != 0));
          for (int64_t k = 0; k < g.out_row(); ++k) y[first + k] = taps == 0 ? 0.f : sums[k] / taps;
        });
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(CameoAveragePool) = {
    .name = "AveragePool",
    .domain = kCameoDomain,
    .max_version = 1,
    .input_types = {{DType::kFloat32}},
    .make_attrs = &ir::make_attrs<CameoAveragePoolAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
