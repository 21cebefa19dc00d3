// DequantizeLinear (ai.onnx 10, 13, 19, 21, 23, 24, 25, 28): y = (x - zero_point) * scale, in float32, rounded once to the output type.
// Scale and zero point are one for all elements, one an index of `axis` (version 13), or one a block of block_size along it
// (version 21). The output has the type of the scale, or output_dtype (version 23).
#include "ops/cast.h"
#include "ops/dispatch.h"
#include "ops/quantize.h"

namespace cameo::ops {
namespace {

struct DequantizeLinearAttrs : ir::AttrsOf<DequantizeLinearAttrs> {
  int64_t axis = 1, block_size = 0, output_dtype = 0;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("block_size", block_size);
    v("output_dtype", output_dtype);
  }
};

constexpr TypeSet kOutputTypes = {DType::kFloat32, DType::kFloat16, DType::kBfloat16};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<DequantizeLinearAttrs>();
  if (c.has_input(2) && c.dtype(0) != DType::kUndefined && c.dtype(2) != DType::kUndefined && c.dtype(0) != c.dtype(2))
    return error(ErrorCode::kInvalidModel, "the zero point is {}, but the input is {}", dtype_name(c.dtype(2)), dtype_name(c.dtype(0)));
  CAMEO_TRY(infer_quant_layout(c, attrs.axis, attrs.block_size));
  DType type = c.dtype(1);
  if (attrs.output_dtype != 0) type = is_valid_dtype(attrs.output_dtype) ? static_cast<DType>(attrs.output_dtype) : DType::kString;
  if (type != DType::kUndefined && !kOutputTypes.contains(type))
    return error(ErrorCode::kInvalidModel, "the output would be {} (output_dtype is {}); allowed: {}", dtype_name(type), attrs.output_dtype,
                 kOutputTypes.to_string());
  ir::Type output = c.input(0);
  output.kind = ir::Type::Kind::kTensor;
  output.dtype = type;
  c.set_output(0, std::move(output));
  return {};
}

template <class T, class R>
Status dequantize(KernelContext& c) {
  const auto& attrs = c.attrs<DequantizeLinearAttrs>();
  const Tensor& x = c.input(0);
  const Tensor& scale = c.input(1);
  CAMEO_ASSIGN(const QuantLayout layout, quant_layout(x.dims(), scale.dims(), attrs.axis, attrs.block_size));
  const auto scales = c.scratch<float>(scale.num_elements());
  Tensor scales_view = Tensor::view(DType::kFloat32, scale.dims(), scales.data());
  CAMEO_TRY(cast_tensor(scale, scales_view, {}));
  using Zero = std::conditional_t<std::is_integral_v<T>, int64_t, float>;
  const auto zeros = c.scratch<Zero>(scale.num_elements());
  std::fill(zeros.begin(), zeros.end(), Zero{});
  if (c.has_input(2)) {
    Tensor zeros_view = Tensor::view(dtype_of<Zero>(), c.input(2).dims(), zeros.data());
    CAMEO_TRY(cast_tensor(c.input(2), zeros_view, {}));
  }
  const T* from = x.data<T>();
  R* to = c.output(0).data<R>();
  for_each_run(layout, [&](int64_t first, int64_t count, int64_t index, int64_t step) {
    const auto convert = [](T value, Zero zero, float s) {
      return static_cast<R>(static_cast<float>(static_cast<Zero>(static_cast<compute_t<T>>(value)) - zero) * s);
    };
    if (step == 0)
      for (int64_t i = 0; i < count; ++i) to[first + i] = convert(from[first + i], zeros[index], scales[index]);
    else
      for (int64_t i = 0; i < count; ++i) to[first + i] = convert(from[first + i], zeros[index + i * step], scales[index + i * step]);
  });
  return {};
}

template <class T>
Status dequantize(KernelContext& c) {
  if (c.output(0).num_elements() == 0) return {};
  switch (c.output(0).dtype()) {
    case DType::kFloat16:
      return dequantize<T, Float16>(c);
    case DType::kBfloat16:
      return dequantize<T, Bfloat16>(c);
    default:
      return dequantize<T, float>(c);
  }
}

Status reference(KernelContext& c) {
  switch (c.input(0).dtype()) {
    case DType::kInt8:
    case DType::kInt4:
    case DType::kInt2:
      return dequantize<int8_t>(c);
    case DType::kUint8:
    case DType::kUint4:
    case DType::kUint2:
      return dequantize<uint8_t>(c);
    case DType::kInt16:
      return dequantize<int16_t>(c);
    case DType::kUint16:
      return dequantize<uint16_t>(c);
    case DType::kInt32:
      return dequantize<int32_t>(c);
    case DType::kFloat8E4M3FN:
      return dequantize<Float8E4M3FN>(c);
    case DType::kFloat8E4M3FNUZ:
      return dequantize<Float8E4M3FNUZ>(c);
    case DType::kFloat8E5M2:
      return dequantize<Float8E5M2>(c);
    case DType::kFloat8E5M2FNUZ:
      return dequantize<Float8E5M2FNUZ>(c);
    default:
      return dequantize<Float4E2M1>(c);
  }
}

constexpr TypeSet kInputTypes =
    kSubByteTypes | TypeSet{DType::kInt8,         DType::kUint8,          DType::kInt16,      DType::kUint16,        DType::kInt32,
                            DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ};

}  // namespace

CAMEO_DEFINE_OP(DequantizeLinear) = {
    .name = "DequantizeLinear",
    .min_version = 10,
    .min_inputs = 2,
    .max_inputs = 3,
    .input_types = {kInputTypes, kOutputTypes | TypeSet{DType::kFloat8E8M0}, kInputTypes},
    .make_attrs = &ir::make_attrs<DequantizeLinearAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
