#include "ops/cameo_quantized_weight.h"

#include <cstring>

#include "base/error.h"
#include "base/numeric.h"

namespace cameo::ops {
namespace {

constexpr int64_t kMostExtent = int64_t{1} << 31;

Status check_attrs(const QuantizedWeightAttrs& a) {
  if (a.bits != 4 && a.bits != 8 && a.bits != 16) return error(ErrorCode::kInvalidModel, "bits is {}; it must be 4, 8 or 16", a.bits);
  if (a.k < 0 || a.k > kMostExtent || a.n < 0 || a.n > kMostExtent)
    return error(ErrorCode::kInvalidModel, "the weight has {} x {} elements; each extent must lie in [0, 2^31]", a.k, a.n);
  if (a.group_size < 0 || a.group_size > kMostExtent || a.group_size % 16 != 0)
    return error(ErrorCode::kInvalidModel, "group_size is {}; it must be 0 or a multiple of 16", a.group_size);
  return {};
}

Status check_tensor(const Tensor& t, std::initializer_list<DType> types, const Dims& dims, const char* what) {
  if (std::find(types.begin(), types.end(), t.dtype()) != types.end() && t.dims() == dims) return {};
  return error(ErrorCode::kInvalidModel, "the {} of the weight are {} of shape {}; they must be {} of shape {}", what,
               dtype_name(t.dtype()), t.dims().to_string(), dtype_name(*types.begin()), dims.to_string());
}

// Byte in which the code of row r, column c lies, and whether it is the high half.
struct CodePlace {
  int64_t byte;
  bool high;
};
CodePlace place_of(const QuantizedWeightAttrs& a, int64_t r, int64_t c) {
  const int64_t rows = a.bits == 8 ? 4 : 8, deep = (a.k + rows - 1) / rows;
  return {(((c / 16) * deep + r / rows) * 16 + c % 16) * 4 + r % 4, a.bits == 4 && r % 8 >= 4};
}

}  // namespace

Dims QuantizedWeightAttrs::value_dims() const {
  if (bits == 16) return {panels(), k, 16};
  return {panels(), bits == 8 ? (k + 3) / 4 : (k + 7) / 8, 16, 4};
}

Status check_quantized_weight(const QuantizedWeightAttrs& a, const QuantizedWeightTensors& w) {
  CAMEO_TRY(check_attrs(a));
  if (a.bits == 16) {
    if (w.scales.defined() || w.zeros.defined()) return error(ErrorCode::kInvalidModel, "weights of 16 bits have no scales or zero points");
    return check_tensor(w.values, {DType::kFloat16, DType::kBfloat16}, a.value_dims(), "values");
  }
  CAMEO_TRY(check_tensor(w.values, {DType::kUint8}, a.value_dims(), "values"));
  CAMEO_TRY(check_tensor(w.scales, {DType::kFloat32, DType::kFloat16}, a.scale_dims(), "scales"));
  if (w.zeros.defined()) CAMEO_TRY(check_tensor(w.zeros, {DType::kUint8, w.scales.dtype()}, a.scale_dims(), "zero points"));
  return {};
}

float dequantized(const QuantizedWeightAttrs& a, const QuantizedWeightTensors& w, int64_t r, int64_t c) {
  if (a.bits == 16) {
    const int64_t at = ((c / 16) * a.k + r) * 16 + c % 16;
    return w.values.dtype() == DType::kFloat16 ? static_cast<float>(w.values.data<Float16>()[at])
                                               : static_cast<float>(w.values.data<Bfloat16>()[at]);
  }
  const CodePlace place = place_of(a, r, c);
  const int byte = w.values.data<uint8_t>()[place.byte];
  const int code = a.bits == 8 ? byte : place.high ? byte >> 4 : byte & 15;
  const int64_t group = ((c / 16) * a.groups() + r / a.group()) * 16 + c % 16;
  const auto number = [&](const Tensor& t) {
    return t.dtype() == DType::kFloat16 ? static_cast<float>(t.data<Float16>()[group]) : t.data<float>()[group];
  };
  const float scale = number(w.scales);
  if (w.zeros.defined() && w.zeros.dtype() != DType::kUint8) return static_cast<float>(code) * scale + number(w.zeros);
  const int zero = w.zeros.defined() ? w.zeros.data<uint8_t>()[group] : a.bits == 8 ? 128 : 8;
  return static_cast<float>(code - zero) * scale;
}

Result<Tensor> pack_codes(const QuantizedWeightAttrs& a, const std::function<uint8_t(int64_t r, int64_t c)>& code) {
  CAMEO_TRY(check_attrs(a));
  CAMEO_ASSIGN(Tensor values, Tensor::allocate(DType::kUint8, a.value_dims()));
  auto* bytes = values.data<uint8_t>();
  for (int64_t c = 0; c < a.n; ++c)
    for (int64_t r = 0; r < a.k; ++r) {
      const CodePlace place = place_of(a, r, c);
      bytes[place.byte] = static_cast<uint8_t>(bytes[place.byte] | code(r, c) << (place.high ? 4 : 0));
    }
  return values;
}

}  // namespace cameo::ops
