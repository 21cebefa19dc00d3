// QLinearConv (ai.onnx 10): y = saturate(round((conv(x - x_zero, w - w_zero) + B) * x_scale * w_scale / y_scale) + y_zero),
// rounding to nearest, ties to even; sums in int32. Scale and zero point of w are one number or one per output channel.
#include <cmath>

#include "ops/convolve_integers.h"

namespace cameo::ops {
namespace {

enum Input : size_t { kX, kXScale, kXZero, kW, kWScale, kWZero, kYScale, kYZero, kBias };

Status infer(InferContext& c) {
  CAMEO_TRY(check_same_dtype(c, {kX, kXZero}));
  CAMEO_TRY(check_same_dtype(c, {kW, kWZero}));
  const ir::Dim channels = c.shape(kW) && !c.shape(kW)->empty() ? c.shape(kW)->front() : ir::Dim();
  CAMEO_TRY(check_quantizer(c, kXScale, "x_scale", {}));
  CAMEO_TRY(check_quantizer(c, kXZero, "x_zero_point", {}));
  CAMEO_TRY(check_quantizer(c, kWScale, "w_scale", channels));
  CAMEO_TRY(check_quantizer(c, kWZero, "w_zero_point", channels));
  CAMEO_TRY(check_quantizer(c, kYScale, "y_scale", {}));
  CAMEO_TRY(check_quantizer(c, kYZero, "y_zero_point", {}));
  return infer_convolution(c, kX, kW, kBias, c.dtype(kYZero));
}

Status reference(KernelContext& c) {
  const Tensor &x = c.input(kX), &w = c.input(kW);
  Tensor& y = c.output(0);
  CAMEO_ASSIGN(const ConvGeometry g, ConvGeometry::make(c.attrs<ConvAttrs>(), x.dims(), w.dims(), y.dims()));
  IntegerOperand from = IntegerOperand::make(x), weights = IntegerOperand::make(w);
  from.with_zero_point(c.input(kXZero));
  weights.with_zero_point(c.input(kWZero));
  const bool is_signed = y.dtype() == DType::kInt8, scale_per_channel = c.input(kWScale).num_elements() > 1;
  const int32_t* bias = c.has_input(kBias) ? c.input(kBias).data<int32_t>() : nullptr;
  const float x_scale = *c.input(kXScale).data<float>(), y_scale = *c.input(kYScale).data<float>();
  const float* w_scale = c.input(kWScale).data<float>();
  const float zero = is_signed ? *c.input(kYZero).data<int8_t>() : *c.input(kYZero).data<uint8_t>();
  const float lowest = is_signed ? -128 : 0, highest = is_signed ? 127 : 255;
  return convolve_integers(c, g, from, weights, y.data<uint8_t>(), [&](const uint32_t* sums, int64_t channel, int64_t n, uint8_t* to) {
    const float scale = x_scale * w_scale[scale_per_channel ? channel : 0] / y_scale;
    const auto b = bias ? static_cast<uint32_t>(bias[channel]) : 0;
    for (int64_t i = 0; i < n; ++i) {
      const float v = std::nearbyint(static_cast<float>(static_cast<int32_t>(sums[i] + b)) * scale) + zero;
      // A NaN, from a scale that is none, becomes the lowest value.
      const float clamped = v > lowest ? std::min(v, highest) : lowest;
      to[i] = static_cast<uint8_t>(static_cast<int32_t>(clamped));
    }
  });
}

constexpr TypeSet kBytes = {DType::kInt8, DType::kUint8}, kScale = {DType::kFloat32};

}  // namespace

CAMEO_DEFINE_OP(QLinearConv) = {
    .name = "QLinearConv",
    .min_version = 10,
    .min_inputs = 8,
    .max_inputs = 9,
    .input_types = {kBytes, kScale, kBytes, kBytes, kScale, kBytes, kScale, kBytes, TypeSet{DType::kInt32}},
    .make_attrs = &ir::make_attrs<ConvAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
