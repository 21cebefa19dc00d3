#include "ops/cameo_pool.h"

#include "ops/channels_last.h"

namespace cameo::ops {

Status infer_channels_last_pool(InferContext& c, const WindowAttrs& attrs) {
  ir::Type y = ir::Type::tensor(c.dtype(0));
  if (const auto& x = c.shape(0)) {
    if (x->size() < 3 || x->size() > Window::kMaxRank + 1)
      return error(ErrorCode::kInvalidInput, "the input is {}; it must have rank 3 to {}", ir::to_string(*x), Window::kMaxRank + 1);
    CAMEO_ASSIGN(ir::Shape shape, pool_shape(attrs, channels_first(*x)));
    y.shape = channels_last(std::move(shape));
  }
  c.set_output(0, std::move(y));
  return {};
}

Result<PoolGeometry> channels_last_geometry(const WindowAttrs& attrs, const Dims& x, const Dims& y) {
  CAMEO_ASSIGN(PoolGeometry g, PoolGeometry::make(attrs, channels_first(x), channels_first(y)));
  const int64_t channels = x.back();
  g.planes = x[0];
  g.window.axes[g.window.rank] = WindowAxis{};
  g.in[g.window.rank] = g.out[g.window.rank] = channels;
  g.in_size *= channels;
  g.out_size *= channels;
  ++g.window.rank;
  return g;
}

}  // namespace cameo::ops
