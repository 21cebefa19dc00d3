// Pow (ai.onnx 1, 7, 12, 13, 15): x to the power of y, in the type of x. From version 12 on the exponent may have a type
// of its own; the power is then computed in double, or in integers modulo 2^64 where both are integers (a negative
// exponent gives what is left of 1 / x^|y| without its fraction). Before version 7 the exponent is broadcast only on
// demand (attributes broadcast and axis).
#include <cmath>

#include "ops/cast.h"
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  if (c.version() < 12) return infer_binary(c);
  ir::Type output = ir::Type::tensor(c.dtype(0));
  if (c.shape(0) && c.shape(1)) {
    CAMEO_ASSIGN(output.shape, broadcast(*c.shape(0), *c.shape(1)));
  }
  c.set_output(0, std::move(output));
  return {};
}

template <class T>
T modular_power(T base, int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == static_cast<T>(-1) ? static_cast<T>(exponent % 2 ? -1 : 1) : 0;
  uint64_t power = 1, square = static_cast<uint64_t>(base);
  for (; exponent > 0; exponent >>= 1, square *= square)
    if (exponent & 1) power *= square;
  return static_cast<T>(power);
}

// The exponents as elements of `dtype`, in memory that lasts while the kernel runs.
Result<Tensor> converted(KernelContext& c, const Tensor& y, DType dtype) {
  Tensor copy = Tensor::view(dtype, y.dims(), c.scratch_bytes(static_cast<size_t>(y.num_elements()) * dtype_size(dtype)));
  CAMEO_TRY(cast_tensor(y, copy, {}));
  return copy;
}

template <class T>
Status integer_power(KernelContext& c, const Tensor& y) {
  if (kIntegerTypes.contains(y.dtype())) {
    CAMEO_ASSIGN(const Tensor exponents, converted(c, y, DType::kInt64));
    map_pairs<T, int64_t, T>(c.input(0), exponents, c.output(0), [](T a, int64_t b) { return modular_power(a, b); });
    return {};
  }
  CAMEO_ASSIGN(const Tensor exponents, converted(c, y, DType::kFloat64));
  map_pairs<T, double, T>(c.input(0), exponents, c.output(0),
                          [](T a, double b) { return to_integer<T>(std::pow(static_cast<double>(a), b)); });
  return {};
}

template <class T>
Status float_power(KernelContext& c, const Tensor& y) {
  const Tensor& x = c.input(0);
  Tensor& z = c.output(0);
  using C = compute_t<T>;
  if (y.num_elements() == 1) {  // squares and cubes are what models ask for most
    double exponent = 0;
    Tensor one = Tensor::view(DType::kFloat64, y.dims(), &exponent);
    CAMEO_TRY(cast_tensor(y, one, {}));
    if (exponent == 2) {
      map_pairs<T, double, T>(x, one, z, [](C a, double) { return a * a; });
      return {};
    }
    if (exponent == 3) {
      map_pairs<T, double, T>(x, one, z, [](C a, double) { return a * a * a; });
      return {};
    }
  }
  if (x.dtype() == y.dtype()) {
    map_binary<T, T>(x, y, z, [](C a, C b) { return std::pow(a, b); });
    return {};
  }
  CAMEO_ASSIGN(const Tensor exponents, converted(c, y, DType::kFloat64));
  map_pairs<T, double, T>(x, exponents, z, [](C a, double b) { return std::pow(static_cast<double>(a), b); });
  return {};
}

Status reference(KernelContext& c) {
  const Tensor y = right_operand(c);
  switch (c.input(0).dtype()) {
    case DType::kInt32:
      return integer_power<int32_t>(c, y);
    case DType::kInt64:
      return integer_power<int64_t>(c, y);
    default:
      return dispatch_floats(c.input(0).dtype(), "Pow", [&](auto tag) { return float_power<typename decltype(tag)::type>(c, y); });
  }
}

}  // namespace

CAMEO_DEFINE_OP(Pow) = {
    .name = "Pow",
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kFloatTypes | kIndexTypes, kNumericTypes},
    .make_attrs = &ir::make_attrs<BinaryAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
