// ai.cameo.MaxPool (1): the largest element of each window of [N, spatial…, C], padding left out. A NaN in a window wins.
#include <limits>

#include "ops/cameo_pool.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) { return infer_channels_last_pool(c, c.attrs<CameoMaxPoolAttrs>()); }

template <class T>
Status pool(KernelContext& c, T least) {
  CAMEO_ASSIGN(const PoolGeometry g, channels_last_geometry(c.attrs<CameoMaxPoolAttrs>(), c.input(0).dims(), c.output(0).dims()));
  if (c.output(0).num_elements() == 0) return {};
  const T* x = c.input(0).data<T>();
  T* y = c.output(0).data<T>();
  T* best = c.scratch<T>(g.out_row()).data();
  for (int64_t plane = 0; plane < g.planes; ++plane, x += g.in_size, y += g.out_size)
    pool_plane(
        g, [&] { std::fill_n(best, g.out_row(), least); },
        [&](int64_t o, int64_t i, int64_t n, int64_t) {
          // Comparisons in this form let NaN replace a number, and keep it.
          for (int64_t k = 0; k < n; ++k)
            if (!(x[i + k] <= best[o + k]) && best[o + k] == best[o + k]) best[o + k] = x[i + k];
        },
        [&](int64_t first) { std::copy_n(best, g.out_row(), y + first); });
  return {};
}

Status reference(KernelContext& c) {
  switch (c.input(0).dtype()) {
    case DType::kUint8:
      return pool<uint8_t>(c, 0);
    case DType::kInt8:
      return pool<int8_t>(c, -128);
    default:
      return pool<float>(c, -std::numeric_limits<float>::infinity());
  }
}

}  // namespace

CAMEO_DEFINE_OP(CameoMaxPool) = {
    .name = "MaxPool",
    .domain = kCameoDomain,
    .max_version = 1,
    .input_types = {{DType::kFloat32, DType::kUint8, DType::kInt8}},
    .make_attrs = &ir::make_attrs<CameoMaxPoolAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
