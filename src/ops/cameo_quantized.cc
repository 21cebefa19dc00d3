#include "ops/cameo_quantized.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/checks.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

constexpr int64_t kMostExtent = int64_t{1} << 31;

bool is_byte(DType type) { return type == DType::kUint8 || type == DType::kInt8; }

Status check_code(int64_t code, DType type, const char* what) {
  const int64_t low = type == DType::kInt8 ? -128 : 0, high = type == DType::kInt8 ? 127 : 255;
  if (code >= low && code <= high) return {};
  return error(ErrorCode::kInvalidModel, "{} is {}, which {} cannot hold", what, code, dtype_name(type));
}

Status check_scale(float scale, const char* what) {
  if (std::isfinite(scale) && scale > 0) return {};
  return error(ErrorCode::kInvalidModel, "{} is {}; it must be positive", what, scale);
}

}  // namespace

int64_t CameoQuantizedConvAttrs::taps() const {
  int64_t taps = kernel_shape.empty() ? 0 : 1;
  for (int64_t extent : kernel_shape) taps = extent < 1 || extent > kMostExtent || taps * extent > kMostExtent ? 0 : taps * extent;
  return taps;
}

Status check_quantized(const QuantizedAttrs& a, int64_t k, bool depthwise, const Tensor& w, const Tensor& w_scale) {
  if (a.n < 0 || a.n > kMostExtent || k < 0 || k > kMostExtent)
    return error(ErrorCode::kInvalidModel, "the weight has {} x {} elements; each extent must lie in [0, 2^31]", k, a.n);
  if (a.y_type < 1 || a.y_type > 3) return error(ErrorCode::kInvalidModel, "y_type is {}; it must be 1, 2 or 3", a.y_type);
  CAMEO_TRY(check_scale(a.x_scale, "x_scale"));
  if (a.y_type != 1) {
    CAMEO_TRY(check_scale(a.y_scale, "y_scale"));
    CAMEO_TRY(check_code(a.y_zero, a.y_type == 2 ? DType::kUint8 : DType::kInt8, "y_zero"));
  }
  const Dims want = depthwise ? Dims{k, a.n} : Dims{(a.n + 15) / 16, (k + 3) / 4, 16, 4};
  if (w.dtype() != DType::kInt8 || !(w.dims() == want))
    return error(ErrorCode::kInvalidModel, "W is {} of shape {}; it must be int8 of shape {}", dtype_name(w.dtype()), w.dims().to_string(),
                 want.to_string());
  if (w_scale.dtype() != DType::kFloat32 || !(w_scale.dims() == Dims{a.n}))
    return error(ErrorCode::kInvalidModel, "w_scale is {} of shape {}; it must be float32 of shape {}", dtype_name(w_scale.dtype()),
                 w_scale.dims().to_string(), a.n);
  return {};
}

Result<ir::Type> infer_quantized(InferContext& c, const QuantizedAttrs& a, int64_t k, bool depthwise, std::optional<ir::Shape> shape) {
  const auto known = [&](size_t i) -> Tensor {
    const auto dims = c.shape(i) ? ir::to_dims(*c.shape(i)) : std::nullopt;
    return dims ? Tensor::view(c.dtype(i), *dims, nullptr) : Tensor();
  };
  const Tensor w = known(1), scale = known(2);
  if (w.defined() && scale.defined()) CAMEO_TRY(check_quantized(a, k, depthwise, w, scale));
  if (is_byte(c.dtype(0))) CAMEO_TRY(check_code(a.x_zero, c.dtype(0), "x_zero"));
  const size_t operands = c.num_inputs() - std::min(c.num_inputs(), kQuantizedOperands);
  CAMEO_TRY(a.decode(1 + operands));
  if ((!a.operand_scales.empty() || !a.operand_zeros.empty()) &&
      (a.operand_scales.size() != operands || a.operand_zeros.size() != operands))
    return error(ErrorCode::kInvalidModel, "there are {} operands, but {} operand_scales and {} operand_zeros", operands,
                 a.operand_scales.size(), a.operand_zeros.size());
  for (size_t i = 0; i < operands; ++i) {
    const size_t input = kQuantizedOperands + i;
    if (!c.has_input(input)) return error(ErrorCode::kInvalidModel, "input {} is absent", input);
    const DType type = c.dtype(input);
    if (type != DType::kUndefined && is_byte(type) != (a.operand_scale(i) != 0))
      return error(ErrorCode::kInvalidModel, "input {} is {}, but its scale is {}", input, dtype_name(type), a.operand_scale(i));
    if (a.operand_scale(i) != 0) CAMEO_TRY(check_scale(a.operand_scale(i), "a scale of operand_scales"));
    if (is_byte(type)) CAMEO_TRY(check_code(a.operand_zero(i), type, "a zero of operand_zeros"));
    if (shape) CAMEO_TRY(check_broadcasts_to(c, input, *shape, fmt::format("input {}", input)));
  }
  ir::Type type = ir::Type::tensor(static_cast<DType>(a.y_type));
  type.shape = std::move(shape);
  return type;
}

int8_t packed_weight(const int8_t* w, int64_t rows, int64_t k, int64_t j) {
  return w[((j / 16 * ((rows + 3) / 4) + k / 4) * 16 + j % 16) * 4 + k % 4];
}

Result<Tensor> pack_int8(int64_t rows, int64_t columns, const std::function<int8_t(int64_t k, int64_t j)>& weight) {
  CAMEO_ASSIGN(Tensor packed, Tensor::allocate(DType::kInt8, {(columns + 15) / 16, (rows + 3) / 4, 16, 4}));
  for (int64_t j = 0; j < columns; ++j)
    for (int64_t k = 0; k < rows; ++k)
      packed.data<int8_t>()[((j / 16 * ((rows + 3) / 4) + k / 4) * 16 + j % 16) * 4 + k % 4] = weight(k, j);
  return packed;
}

void unpack_panel(const int8_t* packed, int64_t rows, int64_t panel, int32_t* w) {
  for (int64_t k = 0; k < rows; ++k)
    for (int64_t j = 0; j < 16; ++j) w[16 * k + j] = packed_weight(packed, rows, k, 16 * panel + j);
}

void add_products(const Tensor& x, int64_t at, int64_t count, int64_t zero, const int32_t* w, uint32_t* sums) {
  const auto add = [&](const auto* codes) {
    uint32_t own[16] = {};
    for (int64_t i = 0; i < count; ++i) {
      const int32_t value = int32_t{codes[i]} - static_cast<int32_t>(zero);
      for (int j = 0; j < 16; ++j) own[j] += static_cast<uint32_t>(value * w[16 * i + j]);
    }
    for (int j = 0; j < 16; ++j) sums[j] += own[j];
  };
  if (x.dtype() == DType::kUint8)
    add(x.data<uint8_t>() + at);
  else
    add(x.data<int8_t>() + at);
}

Status finish_quantized(KernelContext& c, const QuantizedAttrs& a, const Dims& dims, const int32_t* acc) {
  const size_t operands = c.num_inputs() - std::min(c.num_inputs(), kQuantizedOperands);
  CAMEO_ASSIGN(const PointProgram program, a.decode(1 + operands));
  const float* w_scale = c.input(2).data<float>();
  Dims strides[kMaxPointInputs];
  for (size_t i = 0; i < operands; ++i) strides[i] = broadcast_strides(c.input(kQuantizedOperands + i).dims(), dims);
  Tensor& y = c.output(0);
  Dims index(dims.rank(), 0);
  for (int64_t at = 0; at < dims.num_elements(); ++at) {
    float values[kMaxPointInputs];
    values[0] = static_cast<float>(acc[at]) * (a.x_scale * w_scale[at % a.n]);
    for (size_t i = 0; i < operands; ++i) {
      const Tensor& e = c.input(kQuantizedOperands + i);
      int64_t offset = 0;
      for (size_t axis = 0; axis < dims.rank(); ++axis) offset += index[axis] * strides[i][axis];
      if (e.dtype() == DType::kFloat32) {
        values[i + 1] = e.data<float>()[offset];
      } else {
        const int code = e.dtype() == DType::kUint8 ? e.data<uint8_t>()[offset] : e.data<int8_t>()[offset];
        values[i + 1] = static_cast<float>(code - static_cast<int>(a.operand_zero(i))) * a.operand_scale(i);
      }
    }
    const float value = program.code.empty() ? values[0] : evaluate(program, values);
    if (a.y_type == 1) {
      y.data<float>()[at] = value;
    } else {
      const double low = a.y_type == 2 ? 0 : -128, zero = static_cast<double>(a.y_zero);
      const double code =
          std::isnan(value) ? zero : std::clamp(std::nearbyint(static_cast<double>(value / a.y_scale)) + zero, low, low + 255);
      static_cast<uint8_t*>(y.raw())[at] = static_cast<uint8_t>(static_cast<int>(code));
    }
    for (size_t axis = dims.rank(); axis-- > 0;) {
      if (++index[axis] < dims[axis]) break;
      index[axis] = 0;
    }
  }
  return {};
}

}  // namespace cameo::ops
