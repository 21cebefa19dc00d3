// ai.cameo.Float8Conv (1): y = program(x_scale * w_scale[channel] * (the convolution of X with W), e1, …, ek), sums in float32.
//
// Inputs: X, float8e4m3fn [batch, spatial…, channels]; W, float8e4m3fn [n, taps * channels], the channels of each position of the kernel
// one behind the other; w_scale, float32 [n]; e1 to ek, float32, or float8e4m3fn that stands for e * operand_scales[i], which broadcast
// to the convolution. Padding is zero. y [batch, spatial…, n] is float32, or y / y_scale rounded to float8e4m3fn, where values beyond
// the type's range become its largest ones.
#include "ops/cameo_float8_conv.h"

#include <algorithm>
#include <cmath>

#include "base/numeric.h"
#include "ops/channels_last.h"
#include "ops/checks.h"
#include "ops/convolve.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

constexpr int64_t kMostExtent = int64_t{1} << 31;

// Positions of the kernel; 0 where there are none, or too many.
int64_t taps_of(const CameoFloat8ConvAttrs& a) {
  int64_t taps = a.kernel_shape.empty() ? 0 : 1;
  for (int64_t extent : a.kernel_shape) {
    if (extent < 1 || extent > kMostExtent / std::max<int64_t>(taps, 1)) return 0;
    taps *= extent;
  }
  return taps;
}

Status check(const CameoFloat8ConvAttrs& a, size_t operands) {
  const int64_t taps = taps_of(a);
  if (taps == 0) return error(ErrorCode::kInvalidModel, "kernel_shape has an extent below 1, or is empty or too large");
  if (a.n < 0 || a.n > kMostExtent || a.channels < 1 || a.channels > kMostExtent / taps)
    return error(ErrorCode::kInvalidModel, "the weight has {} channels for {}; that is out of range", a.channels, a.n);
  if (a.y_type != 1 && a.y_type != 17) return error(ErrorCode::kInvalidModel, "y_type is {}; it must be 1 or 17", a.y_type);
  for (const float scale : {a.x_scale, a.y_scale})
    if (!std::isfinite(scale) || scale <= 0) return error(ErrorCode::kInvalidModel, "a scale is {}; it must be positive", scale);
  if (!a.operand_scales.empty() && a.operand_scales.size() != operands)
    return error(ErrorCode::kInvalidModel, "there are {} operands, but {} operand_scales", operands, a.operand_scales.size());
  for (const float scale : a.operand_scales)
    if (!std::isfinite(scale) || scale < 0) return error(ErrorCode::kInvalidModel, "operand_scales holds {}", scale);
  return {};
}

template <class S>
S weight_shape(const CameoFloat8ConvAttrs& a) {
  std::vector<int64_t> extents = {a.n, a.channels};
  extents.insert(extents.end(), a.kernel_shape.begin(), a.kernel_shape.end());
  return S(extents.begin(), extents.end());
}

Status infer(InferContext& c) {
  const auto& a = c.attrs<CameoFloat8ConvAttrs>();
  const size_t operands = c.num_inputs() - std::min(c.num_inputs(), kFloat8Operands);
  CAMEO_TRY(check(a, operands));
  const auto has_shape = [&](size_t input, const ir::Shape& want, const char* what) -> Status {
    if (!c.shape(input) || *c.shape(input) == want) return {};
    return error(ErrorCode::kInvalidModel, "{} has shape {}; it must be {}", what, ir::to_string(*c.shape(input)), ir::to_string(want));
  };
  CAMEO_TRY(has_shape(1, {a.n, taps_of(a) * a.channels}, "W"));
  CAMEO_TRY(has_shape(2, {a.n}, "w_scale"));
  std::optional<ir::Shape> shape;
  if (const auto& x = c.shape(0)) {
    if (x->size() != a.kernel_shape.size() + 2)
      return error(ErrorCode::kInvalidModel, "X has shape {}, but the kernel {} axes", ir::to_string(*x), a.kernel_shape.size());
    CAMEO_ASSIGN(ir::Shape y, convolution_shape(a, 1, channels_first(*x), weight_shape<ir::Shape>(a)));
    shape = channels_last(std::move(y));
  }
  CAMEO_TRY(a.decode(1 + operands));
  for (size_t i = 0; i < operands; ++i) {
    const size_t input = kFloat8Operands + i;
    if (!c.has_input(input)) return error(ErrorCode::kInvalidModel, "input {} is absent", input);
    const DType type = c.dtype(input);
    if (type != DType::kUndefined && (type == DType::kFloat8E4M3FN) != (a.operand_scale(i) != 0))
      return error(ErrorCode::kInvalidModel, "input {} is {}, but its scale is {}", input, dtype_name(type), a.operand_scale(i));
    if (shape) CAMEO_TRY(check_broadcasts_to(c, input, *shape, fmt::format("input {}", input)));
  }
  ir::Type type = ir::Type::tensor(static_cast<DType>(a.y_type));
  type.shape = std::move(shape);
  c.set_output(0, std::move(type));
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<CameoFloat8ConvAttrs>();
  const size_t operands = c.num_inputs() - kFloat8Operands;
  const Tensor &x = c.input(0), &w = c.input(1);
  Tensor& y = c.output(0);
  const int64_t taps = taps_of(a), k = taps * a.channels;
  if (!(w.dims() == Dims{a.n, k}) || c.input(2).num_elements() != a.n)
    return error(ErrorCode::kInvalidModel, "W has shape {} and {} scales; they must be {} x {} and {}", w.dims().to_string(),
                 c.input(2).num_elements(), a.n, k, a.n);
  if (y.num_elements() == 0) return {};
  const std::vector<int64_t> kernel = weight_shape<std::vector<int64_t>>(a);
  CAMEO_ASSIGN(const ConvGeometry g,
               ConvGeometry::make(a, 1, channels_first(x.dims()), Dims(std::span<const int64_t>(kernel)), channels_first(y.dims())));
  CAMEO_ASSIGN(const PointProgram program, a.decode(1 + operands));
  const auto weights = c.scratch<float>(a.n * k), window = c.scratch<float>(k);
  for (int64_t i = 0; i < a.n * k; ++i) weights[static_cast<size_t>(i)] = static_cast<float>(w.data<Float8E4M3FN>()[i]);
  Dims strides[kMaxPointInputs];
  for (size_t i = 0; i < operands; ++i) strides[i] = broadcast_strides(c.input(kFloat8Operands + i).dims(), y.dims());
  Dims index(y.dims().rank(), 0);
  for (int64_t row = 0; row < g.batch * g.out_size; ++row) {
    if (row % 64 == 0) CAMEO_TRY(c.check_cancelled());
    for (int64_t tap = 0; tap < taps; ++tap) {
      int64_t position = row % g.out_size, rest = tap, at = 0, stride = 1;
      bool inside = true;
      for (size_t axis = g.window.rank; axis-- > 0;) {
        const WindowAxis& along = g.window.axes[axis];
        const int64_t i = position % g.out[axis] * along.stride - along.begin + rest % along.kernel * along.dilation;
        inside = inside && i >= 0 && i < g.in[axis];
        at += i * stride;
        stride *= g.in[axis];
        position /= g.out[axis];
        rest /= along.kernel;
      }
      const Float8E4M3FN* from = x.data<Float8E4M3FN>() + (inside ? (row / g.out_size * g.in_size + at) * a.channels : 0);
      for (int64_t i = 0; i < a.channels; ++i) window[static_cast<size_t>(tap * a.channels + i)] = inside ? static_cast<float>(from[i]) : 0;
    }
    for (int64_t j = 0; j < a.n; ++j) {
      float sum = 0;
      for (int64_t i = 0; i < k; ++i) sum += window[static_cast<size_t>(i)] * weights[static_cast<size_t>(j * k + i)];
      float values[kMaxPointInputs];
      values[0] = sum * (a.x_scale * c.input(2).data<float>()[j]);
      for (size_t i = 0; i < operands; ++i) {
        const Tensor& e = c.input(kFloat8Operands + i);
        int64_t offset = 0;
        for (size_t axis = 0; axis < index.rank(); ++axis) offset += index[axis] * strides[i][axis];
        values[i + 1] = e.dtype() == DType::kFloat32 ? e.data<float>()[offset]
                                                     : static_cast<float>(e.data<Float8E4M3FN>()[offset]) * a.operand_scale(i);
      }
      const float value = program.code.empty() ? values[0] : evaluate(program, values);
      if (a.y_type == 1)
        y.data<float>()[row * a.n + j] = value;
      else
        y.data<Float8E4M3FN>()[row * a.n + j] = Float8E4M3FN(value / a.y_scale);
      for (size_t axis = index.rank(); axis-- > 0;) {
        if (++index[axis] < y.dims()[axis]) break;
        index[axis] = 0;
      }
    }
  }
  return {};
}

constexpr TypeSet kFloat = {DType::kFloat32}, kFloat8 = {DType::kFloat8E4M3FN};

}  // namespace

CAMEO_DEFINE_OP(CameoFloat8Conv) = {
    .name = "Float8Conv",
    .domain = kCameoDomain,
    .max_version = 1,
    .min_inputs = 3,
    .max_inputs = kVariadic,
    .input_types = {kFloat8, kFloat8, kFloat, kFloat | kFloat8},
    .make_attrs = &ir::make_attrs<CameoFloat8ConvAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
