// QLinearMatMul (ai.onnx 10, 21): the matrix product of quantized operands, quantized again:
// y = saturate(round((A - a_zero) · (B - b_zero) * (a_scale * b_scale / y_scale)) + y_zero). Integers are added in int32, the
// 8-bit floats (version 21) in float32. Scales and zero points are one number, or one a row (of A and y) or a column (of B).
#include <algorithm>
#include <cmath>

#include "ops/cast.h"
#include "ops/matmul.h"
#include "ops/quantized_matmul.h"

namespace cameo::ops {
namespace {

// Inputs in ONNX's order.
enum { kA, kAScale, kAZero, kB, kBScale, kBZero, kYScale, kYZero };

Status infer(InferContext& c) {
  const auto same = [&](size_t i, size_t j, const char* what) -> Status {
    if (c.dtype(i) == DType::kUndefined || c.dtype(j) == DType::kUndefined || c.dtype(i) == c.dtype(j)) return {};
    return error(ErrorCode::kInvalidModel, "{} is {}, but its matrix is {}", what, dtype_name(c.dtype(j)), dtype_name(c.dtype(i)));
  };
  CAMEO_TRY(same(kA, kAZero, "a_zero_point"));
  CAMEO_TRY(same(kB, kBZero, "b_zero_point"));
  ir::Type output = ir::Type::tensor(c.dtype(kYZero));
  if (c.shape(kA) && c.shape(kB)) {
    CAMEO_ASSIGN(output.shape, matmul_shape(*c.shape(kA), *c.shape(kB)));
  }
  c.set_output(0, std::move(output));
  return {};
}

Result<std::span<float>> as_floats(KernelContext& c, size_t input) {
  const Tensor& t = c.input(input);
  const auto floats = c.scratch<float>(t.num_elements());
  Tensor view = Tensor::view(DType::kFloat32, t.dims(), floats.data());
  CAMEO_TRY(cast_tensor(t, view, {}));
  return floats;
}

template <class T>
T quantized(float x, float zero) {
  if constexpr (std::is_integral_v<T>) {
    const float y = std::nearbyint(x + zero);
    constexpr float kLeast = std::numeric_limits<T>::lowest(), kMost = std::numeric_limits<T>::max();
    return static_cast<T>(y > kLeast ? std::min(y, kMost) : kLeast);
  } else {
    return T(x + zero);
  }
}

template <class Acc>
Status multiply(KernelContext& c) {
  const Tensor& a = c.input(kA);
  const Tensor& b = c.input(kB);
  Tensor& y = c.output(0);
  CAMEO_ASSIGN(const auto left, without_zero_point<Acc>(c, a, c.input(kAZero), QuantSide::kRows, "a_zero_point"));
  CAMEO_ASSIGN(const auto right, without_zero_point<Acc>(c, b, c.input(kBZero), QuantSide::kColumns, "b_zero_point"));
  CAMEO_ASSIGN(const auto a_scale, as_floats(c, kAScale));
  CAMEO_ASSIGN(const auto b_scale, as_floats(c, kBScale));
  CAMEO_ASSIGN(const auto y_scale, as_floats(c, kYScale));
  CAMEO_ASSIGN(const auto y_zero, as_floats(c, kYZero));
  CAMEO_ASSIGN(const Dims a_step, quant_strides(c.input(kAScale).dims(), y.dims(), QuantSide::kRows, "a_scale"));
  CAMEO_ASSIGN(const Dims b_step, quant_strides(c.input(kBScale).dims(), y.dims(), QuantSide::kColumns, "b_scale"));
  CAMEO_ASSIGN(const Dims s_step, quant_strides(c.input(kYScale).dims(), y.dims(), QuantSide::kRows, "y_scale"));
  CAMEO_ASSIGN(const Dims z_step, quant_strides(c.input(kYZero).dims(), y.dims(), QuantSide::kRows, "y_zero_point"));
  if (y.num_elements() == 0) return {};
  const auto product = c.scratch<Acc>(y.num_elements());
  multiply_batches(c, a.dims(), b.dims(), left.data(), right.data(), product.data());
  const auto store = [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using Sum = std::conditional_t<std::is_same_v<Acc, uint32_t>, int32_t, float>;
    int64_t at = 0;
    for_each_offset(y.dims(), {&a_step, &b_step, &s_step, &z_step}, [&](const int64_t* o) {
      const float scale = a_scale[o[0]] * b_scale[o[1]] / y_scale[o[2]];
      y.data<T>()[at] = quantized<T>(static_cast<float>(static_cast<Sum>(product[at])) * scale, y_zero[o[3]]);
      ++at;
    });
    return {};
  };
  switch (y.dtype()) {
    case DType::kInt8:
      return store(TypeTag<int8_t>{});
    case DType::kUint8:
      return store(TypeTag<uint8_t>{});
    case DType::kFloat8E4M3FN:
      return store(TypeTag<Float8E4M3FN>{});
    case DType::kFloat8E4M3FNUZ:
      return store(TypeTag<Float8E4M3FNUZ>{});
    case DType::kFloat8E5M2:
      return store(TypeTag<Float8E5M2>{});
    default:
      return store(TypeTag<Float8E5M2FNUZ>{});
  }
}

Status reference(KernelContext& c) {
  const bool integers = kIntegerTypes.contains(c.input(kA).dtype()) && kIntegerTypes.contains(c.input(kB).dtype());
  return integers ? multiply<uint32_t>(c) : multiply<float>(c);
}

constexpr TypeSet kCodes = {DType::kInt8,           DType::kUint8,      DType::kFloat8E4M3FN,
                            DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ};
constexpr TypeSet kScales = {DType::kFloat32, DType::kFloat16, DType::kBfloat16};

}  // namespace

CAMEO_DEFINE_OP(QLinearMatMul) = {
    .name = "QLinearMatMul",
    .min_version = 10,
    .min_inputs = 8,
    .max_inputs = 8,
    .input_types = {kCodes, kScales, kCodes, kCodes, kScales, kCodes, kScales, kCodes},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
