// QuantizeLinear (ai.onnx 10, 13, 19, 21, 23, 24, 25, 28): y = x / scale + zero_point, rounded to the nearest (halves to even) and kept in
// the output type's range; NaN gives the least integer. Scale and zero point are one for all elements, one an index of `axis`
// (version 13), or one a block of block_size along it (version 21). The quotient is rounded to `precision` (version 23), by
// default the type of the scale. The output has the type of the zero point, or output_dtype, or is uint8. The 8-bit floats
// came with version 19, where `saturate` says what becomes of values beyond their range.
#include <algorithm>
#include <cmath>

#include "ops/cast.h"
#include "ops/dispatch.h"
#include "ops/quantize.h"

namespace cameo::ops {
namespace {

constexpr TypeSet kRealTypes = {DType::kFloat32, DType::kFloat16, DType::kBfloat16};
constexpr TypeSet kOutputTypes =
    kSubByteTypes | TypeSet{DType::kInt8,         DType::kUint8,          DType::kInt16,      DType::kUint16,
                            DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<QuantizeLinearAttrs>();
  CAMEO_TRY(infer_quant_layout(c, attrs.axis, attrs.block_size));
  DType type = DType::kUint8;
  if (attrs.output_dtype != 0) {
    if (!is_valid_dtype(attrs.output_dtype) || !kOutputTypes.contains(static_cast<DType>(attrs.output_dtype)))
      return error(ErrorCode::kInvalidModel, "output_dtype is {}, which is no type to quantize to; allowed: {}", attrs.output_dtype,
                   kOutputTypes.to_string());
    type = static_cast<DType>(attrs.output_dtype);
  }
  if (c.has_input(2)) {
    if (attrs.output_dtype != 0 && c.dtype(2) != DType::kUndefined && c.dtype(2) != type)
      return error(ErrorCode::kInvalidModel, "output_dtype asks for {}, but the zero point is {}", dtype_name(type),
                   dtype_name(c.dtype(2)));
    if (attrs.output_dtype == 0) type = c.dtype(2);
  }
  if (attrs.precision != 0 && (!is_valid_dtype(attrs.precision) || !kRealTypes.contains(static_cast<DType>(attrs.precision))))
    return error(ErrorCode::kInvalidModel, "precision is {}; allowed: {}", attrs.precision, kRealTypes.to_string());
  ir::Type output = c.input(0);
  output.kind = ir::Type::Kind::kTensor;
  output.dtype = type;
  c.set_output(0, std::move(output));
  return {};
}

constexpr int64_t kChunk = 512;

// Rounds, and keeps in the range of T or of a narrower type that is kept in T.
template <class T>
struct ToInteger {
  float least = std::numeric_limits<T>::lowest(), most = std::numeric_limits<T>::max();
  T operator()(float quotient, float zero) const {
    const float y = std::nearbyint(quotient) + zero;
    return static_cast<T>(y > least ? std::min(y, most) : least);
  }
};
template <class T>
struct ToFloat8 {
  bool saturate;
  T operator()(float quotient, float zero) const { return T(quotient + zero, saturate); }
};
struct ToFloat4 {
  Float4E2M1 operator()(float quotient, float zero) const { return Float4E2M1(quotient + zero); }
};

template <class T, class Convert>
Status quantize(KernelContext& c, Convert convert) {
  const auto& attrs = c.attrs<QuantizeLinearAttrs>();
  const Tensor& x = c.input(0);
  const Tensor& scale = c.input(1);
  T* to = c.output(0).template data<T>();
  if (x.num_elements() == 0) return {};
  CAMEO_ASSIGN(const QuantLayout layout, quant_layout(x.dims(), scale.dims(), attrs.axis, attrs.block_size));
  const auto as_floats = [&c](const Tensor& t) -> Result<std::span<float>> {
    const auto floats = c.scratch<float>(t.num_elements());
    Tensor view = Tensor::view(DType::kFloat32, t.dims(), floats.data());
    CAMEO_TRY(cast_tensor(t, view, {}));
    return floats;
  };
  CAMEO_ASSIGN(const std::span<float> scales, as_floats(scale));
  std::span<float> zeros;
  if (c.has_input(2)) {
    CAMEO_ASSIGN(zeros, as_floats(c.input(2)));
  } else {
    zeros = c.scratch<float>(scale.num_elements());
    std::fill(zeros.begin(), zeros.end(), 0.f);
  }
  const DType precision = attrs.precision != 0 ? static_cast<DType>(attrs.precision) : scale.dtype();
  Status status;
  float quotients[kChunk];
  for_each_run(layout, [&](int64_t first, int64_t count, int64_t index, int64_t step) {
    for (int64_t done = 0; done < count && status.ok(); done += kChunk) {
      const int64_t n = std::min(kChunk, count - done), at = first + done;
      const Tensor from = Tensor::view(x.dtype(), {n}, static_cast<std::byte*>(x.raw()) + static_cast<size_t>(at) * dtype_size(x.dtype()));
      Tensor chunk = Tensor::view(DType::kFloat32, {n}, quotients);
      status = cast_tensor(from, chunk, {});
      const float* s = scales.data() + index + done * step;
      const float* z = zeros.data() + index + done * step;
      for (int64_t i = 0; i < n; ++i) quotients[i] /= s[i * step];
      if (precision == DType::kFloat16)
        for (int64_t i = 0; i < n; ++i) quotients[i] = static_cast<float>(Float16(quotients[i]));
      else if (precision == DType::kBfloat16)
        for (int64_t i = 0; i < n; ++i) quotients[i] = static_cast<float>(Bfloat16(quotients[i]));
      for (int64_t i = 0; i < n; ++i) to[at + i] = convert(quotients[i], z[i * step]);
    }
  });
  return status;
}

Status reference(KernelContext& c) {
  const bool saturate = c.attrs<QuantizeLinearAttrs>().saturate != 0;
  switch (c.output(0).dtype()) {
    case DType::kInt8:
      return quantize<int8_t>(c, ToInteger<int8_t>{});
    case DType::kUint8:
      return quantize<uint8_t>(c, ToInteger<uint8_t>{});
    case DType::kInt16:
      return quantize<int16_t>(c, ToInteger<int16_t>{});
    case DType::kUint16:
      return quantize<uint16_t>(c, ToInteger<uint16_t>{});
    case DType::kInt4:
      return quantize<int8_t>(c, ToInteger<int8_t>{Int4::kMin, Int4::kMax});
    case DType::kUint4:
      return quantize<uint8_t>(c, ToInteger<uint8_t>{Uint4::kMin, Uint4::kMax});
    case DType::kInt2:
      return quantize<int8_t>(c, ToInteger<int8_t>{Int2::kMin, Int2::kMax});
    case DType::kUint2:
      return quantize<uint8_t>(c, ToInteger<uint8_t>{Uint2::kMin, Uint2::kMax});
    case DType::kFloat8E4M3FN:
      return quantize<Float8E4M3FN>(c, ToFloat8<Float8E4M3FN>{saturate});
    case DType::kFloat8E4M3FNUZ:
      return quantize<Float8E4M3FNUZ>(c, ToFloat8<Float8E4M3FNUZ>{saturate});
    case DType::kFloat8E5M2:
      return quantize<Float8E5M2>(c, ToFloat8<Float8E5M2>{saturate});
    case DType::kFloat8E5M2FNUZ:
      return quantize<Float8E5M2FNUZ>(c, ToFloat8<Float8E5M2FNUZ>{saturate});
    default:
      return quantize<Float4E2M1>(c, ToFloat4{});
  }
}

}  // namespace

CAMEO_DEFINE_OP(QuantizeLinear) = {
    .name = "QuantizeLinear",
    .min_version = 10,
    .min_inputs = 2,
    .max_inputs = 3,
    .input_types = {kRealTypes | TypeSet{DType::kInt32}, kRealTypes | TypeSet{DType::kInt32, DType::kFloat8E8M0}, kOutputTypes},
    .make_attrs = &ir::make_attrs<QuantizeLinearAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
