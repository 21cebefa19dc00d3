#include "ops/convolve.h"

namespace cameo::ops {

Result<ir::Shape> convolution_shape(const WindowAttrs& attrs, int64_t group, const std::optional<ir::Shape>& xs,
                                    const std::optional<ir::Shape>& ws) {
  if (group < 1) return error(ErrorCode::kInvalidModel, "group is {}; it must be at least 1", group);
  if (xs && xs->size() < 3) return error(ErrorCode::kInvalidInput, "the input is {}; it must have rank 3 or more", ir::to_string(*xs));
  if (ws && ws->size() < 3) return error(ErrorCode::kInvalidInput, "the weights are {}; they must have rank 3 or more", ir::to_string(*ws));
  if (xs && ws && xs->size() != ws->size())
    return error(ErrorCode::kInvalidInput, "the input {} and the weights {} must have the same rank", ir::to_string(*xs),
                 ir::to_string(*ws));
  if (!xs && !ws) return ir::Shape{};
  const size_t rank = (xs ? xs : ws)->size();
  ir::Shape y(rank);
  if (xs) y[0] = (*xs)[0];
  if (ws) {
    y[1] = (*ws)[0];
    if (y[1].is_const() && y[1].value() % group != 0)
      return error(ErrorCode::kInvalidInput, "the weights have {} output channels, which {} groups do not divide", y[1].value(), group);
    if (xs) {
      const ir::Dim channels = (*ws)[1] * group;
      if ((*xs)[1].is_const() && channels.is_const() && !((*xs)[1] == channels))
        return error(ErrorCode::kInvalidInput, "the input has {} channels, but the weights {} with group {} are for {}", (*xs)[1].value(),
                     ir::to_string(*ws), group, channels.value());
    }
  }
  std::optional<Dims> kernel;
  if (ws) kernel = ir::to_dims(ir::Shape(ws->begin() + 2, ws->end()));
  if (kernel || !attrs.kernel_shape.empty()) {
    CAMEO_ASSIGN(const Window window, make_window(attrs, rank - 2, kernel));
    if (xs)
      for (size_t a = 0; a < window.rank; ++a) {
        CAMEO_ASSIGN(y[a + 2], window.output_extent(a, (*xs)[a + 2]));
      }
  }
  return y;
}

Result<ir::Shape> infer_convolution_shape(InferContext& c, const ConvAttrs& attrs, size_t x, size_t w, std::optional<size_t> bias) {
  CAMEO_ASSIGN(ir::Shape y, convolution_shape(attrs, attrs.group, c.shape(x), c.shape(w)));
  if (bias && c.shape(w)) CAMEO_TRY(check_shape(c, *bias, {(*c.shape(w))[0]}, "the bias"));
  return y;
}

Status infer_convolution(InferContext& c, size_t x, size_t w, std::optional<size_t> bias, DType dtype) {
  CAMEO_ASSIGN(ir::Shape y, infer_convolution_shape(c, c.attrs<ConvAttrs>(), x, w, bias));
  ir::Type type = ir::Type::tensor(dtype);
  if (!y.empty()) type.shape = std::move(y);
  c.set_output(0, std::move(type));
  return {};
}

Result<ConvGeometry> ConvGeometry::make(const WindowAttrs& attrs, int64_t group, const Dims& x, const Dims& w, const Dims& y) {
  ConvGeometry g;
  CAMEO_ASSIGN(g.window, make_window(attrs, x, y, Dims(w.span().subspan(2))));
  g.batch = x[0];
  g.group = group;
  g.in_channels = w[1];
  g.out_channels = w[0] / group;
  for (size_t a = 0; a < g.window.rank; ++a) {
    g.in[a] = x[a + 2];
    g.out[a] = y[a + 2];
    g.in_size *= g.in[a];
    g.out_size *= g.out[a];
    g.taps *= g.window.axes[a].kernel;
  }
  return g;
}

}  // namespace cameo::ops
