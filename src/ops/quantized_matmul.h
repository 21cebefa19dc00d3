// What MatMulInteger and QLinearMatMul share: operands with their zero points taken off, and parameters a row or a column.
#pragma once

#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {

// Whether a scale or zero point of a matrix operand is one number, one a row (on the left), one a column (on the right).
enum class QuantSide { kRows, kColumns };

// Strides that read a scale or zero point of shape `parameter` in the order of a tensor of shape `matrix`: a list counts the
// rows or columns, other shapes broadcast. The error names `what` and both shapes.
Result<Dims> quant_strides(const Dims& parameter, const Dims& matrix, QuantSide side, const char* what);

// x - zero_point as elements of To (uint32_t, modulo 2^32, or float); `zero` may be undefined.
template <class To>
Result<std::span<To>> without_zero_point(KernelContext& c, const Tensor& x, const Tensor& zero, QuantSide side, const char* what) {
  const auto values = c.scratch<To>(x.num_elements());
  Dims strides(x.rank(), 0);
  if (zero.defined()) {
    CAMEO_ASSIGN(strides, quant_strides(zero.dims(), x.dims(), side, what));
  }
  const auto subtract = [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T none{};
    const T* zeros = zero.defined() ? zero.data<T>() : &none;
    const T* from = x.data<T>();
    To* to = values.data();
    for_each_offset(x.dims(), {&strides}, [&](const int64_t* offset) {
      *to++ = static_cast<To>(static_cast<C>(*from++)) - static_cast<To>(static_cast<C>(zeros[*offset]));
    });
    return {};
  };
  switch (x.dtype()) {
    case DType::kInt8:
      CAMEO_TRY(subtract(TypeTag<int8_t>{}));
      break;
    case DType::kUint8:
      CAMEO_TRY(subtract(TypeTag<uint8_t>{}));
      break;
    case DType::kFloat8E4M3FN:
      CAMEO_TRY(subtract(TypeTag<Float8E4M3FN>{}));
      break;
    case DType::kFloat8E4M3FNUZ:
      CAMEO_TRY(subtract(TypeTag<Float8E4M3FNUZ>{}));
      break;
    case DType::kFloat8E5M2:
      CAMEO_TRY(subtract(TypeTag<Float8E5M2>{}));
      break;
    default:
      CAMEO_TRY(subtract(TypeTag<Float8E5M2FNUZ>{}));
  }
  return values;
}

// a · b into c, which has the shape that matmul_shape gives. Acc is uint32_t or float.
template <class Acc>
void multiply_batches(KernelContext& context, const Dims& a_dims, const Dims& b_dims, const Acc* a, const Acc* b, Acc* c);

}  // namespace cameo::ops
