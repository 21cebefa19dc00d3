// ai.cameo.QuantizedConv (1): the convolution of X [batch, spatial…, channels] of 8 bits with W of int8 (cameo_quantized.h). Padding
// stands for the number 0.
#include <algorithm>

#include "ops/cameo_quantized.h"
#include "ops/channels_last.h"
#include "ops/convolve.h"

namespace cameo::ops {
namespace {

Status check_group(const CameoQuantizedConvAttrs& a) {
  if (a.taps() == 0) return error(ErrorCode::kInvalidModel, "kernel_shape has an extent below 1, or is empty or too large");
  if (a.channels < 1 || a.channels > (int64_t{1} << 31)) return error(ErrorCode::kInvalidModel, "channels is {}", a.channels);
  if (a.group != 1 && (a.group != a.channels || a.n != a.channels))
    return error(ErrorCode::kInvalidModel, "group is {}; it must be 1, or the number of channels of X ({}) and of y ({})", a.group,
                 a.channels, a.n);
  return {};
}

int64_t weight_rows(const CameoQuantizedConvAttrs& a) { return a.depthwise() ? a.taps() : a.taps() * a.channels; }

template <class S>
S weight_shape(const CameoQuantizedConvAttrs& a) {
  std::vector<int64_t> extents = {a.n, a.channels / a.group};
  extents.insert(extents.end(), a.kernel_shape.begin(), a.kernel_shape.end());
  return S(extents.begin(), extents.end());
}

Status infer(InferContext& c) {
  const auto& a = c.attrs<CameoQuantizedConvAttrs>();
  CAMEO_TRY(check_group(a));
  std::optional<ir::Shape> shape;
  if (const auto& x = c.shape(0)) {
    if (x->size() != a.kernel_shape.size() + 2)
      return error(ErrorCode::kInvalidModel, "X has shape {}, but the kernel {} axes", ir::to_string(*x), a.kernel_shape.size());
    CAMEO_ASSIGN(ir::Shape y, convolution_shape(a, a.group, channels_first(*x), weight_shape<ir::Shape>(a)));
    shape = channels_last(std::move(y));
  }
  CAMEO_ASSIGN(ir::Type type, infer_quantized(c, a, weight_rows(a), a.depthwise(), std::move(shape)));
  c.set_output(0, std::move(type));
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<CameoQuantizedConvAttrs>();
  CAMEO_TRY(check_quantized(a, weight_rows(a), a.depthwise(), c.input(1), c.input(2)));
  const Tensor &x = c.input(0), &y = c.output(0);
  if (y.num_elements() == 0) return {};
  const std::vector<int64_t> kernel = weight_shape<std::vector<int64_t>>(a);
  CAMEO_ASSIGN(const ConvGeometry g,
               ConvGeometry::make(a, a.group, channels_first(x.dims()), Dims(std::span<const int64_t>(kernel)), channels_first(y.dims())));
  const auto acc = c.scratch<int32_t>(y.num_elements());
  const auto* w = c.input(1).data<int8_t>();
  const int64_t channels = a.channels, zero = a.x_zero;
  // The pixel of X under a tap of an output position, as an offset; -1 in the padding.
  const auto pixel = [&](int64_t row, int64_t tap) {
    int64_t position = row % g.out_size, rest = tap, at = 0, stride = 1;
    for (size_t axis = g.window.rank; axis-- > 0;) {
      const WindowAxis& window = g.window.axes[axis];
      const int64_t i = position % g.out[axis] * window.stride - window.begin + rest % window.kernel * window.dilation;
      if (i < 0 || i >= g.in[axis]) return int64_t{-1};
      at += i * stride;
      stride *= g.in[axis];
      position /= g.out[axis];
      rest /= window.kernel;
    }
    return (row / g.out_size * g.in_size + at) * channels;
  };
  const int64_t rows = g.batch * g.out_size;
  if (a.depthwise()) {
    const auto code = [&](int64_t i) { return x.dtype() == DType::kUint8 ? int{x.data<uint8_t>()[i]} : int{x.data<int8_t>()[i]}; };
    for (int64_t row = 0; row < rows; ++row) {
      uint32_t* sums = reinterpret_cast<uint32_t*>(acc.data()) + row * a.n;
      std::fill_n(sums, a.n, 0u);
      for (int64_t tap = 0; tap < g.taps; ++tap)
        if (const int64_t from = pixel(row, tap); from >= 0)
          for (int64_t j = 0; j < a.n; ++j) sums[j] += static_cast<uint32_t>((code(from + j) - zero) * w[tap * a.n + j]);
    }
    return finish_quantized(c, a, y.dims(), acc.data());
  }
  const auto panel = c.scratch<int32_t>(g.taps * channels * 16);
  for (int64_t first = 0; first < a.n; first += 16) {
    unpack_panel(w, g.taps * channels, first / 16, panel.data());
    for (int64_t row = 0; row < rows; ++row) {
      uint32_t sums[16] = {};
      for (int64_t tap = 0; tap < g.taps; ++tap)
        if (const int64_t from = pixel(row, tap); from >= 0)
          add_products(x, from, channels, zero, panel.data() + tap * channels * 16, sums);
      std::copy_n(sums, std::min<int64_t>(16, a.n - first), acc.data() + row * a.n + first);
    }
  }
  return finish_quantized(c, a, y.dims(), acc.data());
}

constexpr TypeSet kBytes = {DType::kUint8, DType::kInt8};

}  // namespace

CAMEO_DEFINE_OP(CameoQuantizedConv) = {
    .name = "QuantizedConv",
    .domain = kCameoDomain,
    .max_version = 1,
    .min_inputs = 3,
    .max_inputs = kVariadic,
    .input_types = {kBytes, {DType::kInt8}, {DType::kFloat32}, kBytes | TypeSet{DType::kFloat32}},
    .make_attrs = &ir::make_attrs<CameoQuantizedConvAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
