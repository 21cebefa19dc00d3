#include "ops/pool.h"

namespace cameo::ops {

Result<ir::Shape> pool_shape(const WindowAttrs& attrs, const ir::Shape& x) {
  if (x.size() < 3) return error(ErrorCode::kInvalidInput, "the input is {}; it must have rank 3 or more", ir::to_string(x));
  CAMEO_ASSIGN(const Window window, make_window(attrs, x.size() - 2));
  ir::Shape y = {x[0], x[1]};
  for (size_t a = 0; a < window.rank; ++a) {
    CAMEO_ASSIGN(ir::Dim extent, window.output_extent(a, x[a + 2]));
    y.push_back(std::move(extent));
  }
  return y;
}

Status infer_pool(InferContext& c, const WindowAttrs& attrs, bool indices) {
  ir::Type y = ir::Type::tensor(c.dtype(0));
  if (const auto& x = c.shape(0)) {
    CAMEO_ASSIGN(y.shape, pool_shape(attrs, *x));
  } else if (!attrs.kernel_shape.empty()) {
    y.shape = ir::Shape(attrs.kernel_shape.size() + 2);
  }
  if (indices) {
    ir::Type at = y;
    at.dtype = DType::kInt64;
    c.set_output(1, std::move(at));
  }
  c.set_output(0, std::move(y));
  return {};
}

int64_t counted_taps(WindowAxis axis, int64_t o, int64_t in, bool include_padding) {
  if (include_padding) {
    in += axis.begin + axis.end;
    axis.begin = 0;
  }
  const auto [first, last] = axis.taps_inside(o, in);
  return last - first;
}

Result<PoolGeometry> PoolGeometry::make(const WindowAttrs& attrs, const Dims& x, const Dims& y) {
  PoolGeometry g;
  CAMEO_ASSIGN(g.window, make_window(attrs, x, y));
  g.planes = x[0] * x[1];
  for (size_t a = 0; a < g.window.rank; ++a) {
    g.in[a] = x[a + 2];
    g.out[a] = y[a + 2];
    g.in_size *= g.in[a];
    g.out_size *= g.out[a];
  }
  return g;
}

}  // namespace cameo::ops
