// ai.cameo.Conv (1): y = program(conv(X, W), e1, …, ek). X and Y are [N, C, spatial…], with channels_last = 1 [N, spatial…, C];
// W is [M, C / group, kernel…] either way; the operands e broadcast to Y in its layout. A bias is one of them.
#include "ops/cameo_conv.h"

#include "ops/channels_last.h"
#include "ops/convolve.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<CameoConvAttrs>();
  std::optional<ir::Shape> x = c.shape(0);
  if (attrs.channels_last && x && x->size() >= 3) x = channels_first(*std::move(x));
  CAMEO_ASSIGN(ir::Shape y, convolution_shape(attrs, attrs.group, x, c.shape(1)));
  ir::Type type = ir::Type::tensor(DType::kFloat32);
  if (!y.empty()) type.shape = attrs.channels_last ? channels_last(std::move(y)) : std::move(y);
  CAMEO_TRY(check_epilogue(c, attrs, 2, type.shape));
  c.set_output(0, std::move(type));
  return {};
}

// to[b][j][i] = from[b][i][j]
void transpose(const float* from, int64_t batch, int64_t rows, int64_t columns, float* to) {
  for (; batch > 0; --batch, from += rows * columns, to += rows * columns)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<CameoConvAttrs>();
  const Tensor &x = c.input(0), &w = c.input(1);
  Tensor& y = c.output(0);
  const bool last = attrs.channels_last != 0;
  CAMEO_ASSIGN(const ConvGeometry g, ConvGeometry::make(attrs, attrs.group, last ? channels_first(x.dims()) : x.dims(), w.dims(),
                                                        last ? channels_first(y.dims()) : y.dims()));
  if (y.num_elements() == 0) return {};
  const float* from = x.data<float>();
  float* to = y.data<float>();
  if (last) {
    const auto planes = c.scratch<float>(x.num_elements());
    transpose(from, g.batch, g.in_size, g.group * g.in_channels, planes.data());
    from = planes.data();
    to = c.scratch<float>(y.num_elements()).data();
  }
  CAMEO_TRY(convolve<float>(
      c, g, from, w.data<float>(), to, [](float v) { return v; }, [](float v, int64_t) { return v; },
      [](const float* sums, int64_t, int64_t n, float* out) { std::copy_n(sums, n, out); }));
  if (last) transpose(to, g.batch, g.group * g.out_channels, g.out_size, y.data<float>());
  return apply_epilogue(c, attrs, 2, y.dims(), y.data<float>());
}

}  // namespace

CAMEO_DEFINE_OP(CameoConv) = {
    .name = "Conv",
    .domain = kCameoDomain,
    .max_version = 1,
    .min_inputs = 2,
    .max_inputs = kVariadic,
    .input_types = {{DType::kFloat32}},
    .make_attrs = &ir::make_attrs<CameoConvAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
