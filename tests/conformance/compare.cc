#include "compare.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/numeric.h"
#include "ops/dispatch.h"

namespace cameo::conformance {
namespace {

template <class T>
double decode(const Tensor& tensor, int64_t i) {
  return static_cast<double>(static_cast<float>(tensor.data<T>()[i]));
}

bool is_complex(DType type) { return type == DType::kComplex64 || type == DType::kComplex128; }

// Types whose values are compared with a tolerance.
bool is_real(DType type) { return (ops::kFloatTypes | ops::kFloat8Types).contains(type) || type == DType::kFloat4E2M1; }

bool close(double got, double want, double rtol, double atol) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got);
  if (std::isinf(want) || std::isinf(got)) return got == want;
  return std::fabs(got - want) <= atol + rtol * std::fabs(want);
}

std::string imaginary_difference(const Tensor& got, const Tensor& want, int64_t i, double rtol, double atol) {
  const auto part = [&](const Tensor& t) -> double {
    return t.dtype() == DType::kComplex64 ? static_cast<double>(t.data<Complex64>()[i].imag()) : t.data<Complex128>()[i].imag();
  };
  return close(part(got), part(want), rtol, atol) ? "" : fmt::format("imaginary part {} instead of {}", part(got), part(want));
}

// The index of element i: "[0, 3]".
std::string position(const Dims& dims, int64_t i) {
  std::string text;
  for (size_t axis = dims.rank(); axis-- > 0;) {
    text = std::to_string(i % dims[axis]) + (text.empty() ? "" : ", ") + text;
    i /= dims[axis];
  }
  return "[" + text + "]";
}

std::string element_difference(const Tensor& got, const Tensor& want, int64_t i, double rtol, double atol) {
  const DType type = want.dtype();
  if (type == DType::kString) {
    const auto &a = got.data<std::string>()[i], &b = want.data<std::string>()[i];
    return a == b ? "" : fmt::format("'{}' instead of '{}'", a, b);
  }
  const double a = number_at(got, i), b = number_at(want, i);
  if (is_real(type) || is_complex(type)) {
    if (!close(a, b, rtol, atol)) return fmt::format("{:.9g} instead of {:.9g}", a, b);
    return is_complex(type) ? imaginary_difference(got, want, i, rtol, atol) : "";
  }
  const size_t size = dtype_size(type);
  const auto offset = static_cast<size_t>(i) * size;
  if (std::memcmp(got.data<char>() + offset, want.data<char>() + offset, size) == 0) return "";
  return fmt::format("{:.17g} instead of {:.17g}", a, b);
}

std::string tensor_difference(const Tensor& got, const Tensor& want, double rtol, double atol) {
  if (!got.defined()) return "no tensor was made";
  if (got.dtype() != want.dtype()) return fmt::format("type {} instead of {}", dtype_name(got.dtype()), dtype_name(want.dtype()));
  if (!(got.dims() == want.dims())) return fmt::format("shape {} instead of {}", got.dims().to_string(), want.dims().to_string());
  if (want.dtype() == DType::kBfloat16) rtol = std::max(rtol, 0x1p-6);
  std::string first;
  int64_t count = 0;
  for (int64_t i = 0; i < want.num_elements(); ++i) {
    std::string text = element_difference(got, want, i, rtol, atol);
    if (text.empty()) continue;
    if (++count == 1) first = position(want.dims(), i) + ": " + text;
  }
  return count == 0 ? "" : fmt::format("{} ({} of {} elements differ)", first, count, want.num_elements());
}

std::string kind_name(ir::Type::Kind kind) {
  switch (kind) {
    case ir::Type::Kind::kTensor:
      return "tensor";
    case ir::Type::Kind::kSequence:
      return "sequence";
    case ir::Type::Kind::kOptional:
      return "optional";
    case ir::Type::Kind::kUnknown:
      break;
  }
  return "nothing";
}

}  // namespace

double number_at(const Tensor& tensor, int64_t i) {
  switch (tensor.dtype()) {
    case DType::kBool:
      return tensor.data<bool>()[i];
    case DType::kFloat8E4M3FN:
      return decode<Float8E4M3FN>(tensor, i);
    case DType::kFloat8E4M3FNUZ:
      return decode<Float8E4M3FNUZ>(tensor, i);
    case DType::kFloat8E5M2:
      return decode<Float8E5M2>(tensor, i);
    case DType::kFloat8E5M2FNUZ:
      return decode<Float8E5M2FNUZ>(tensor, i);
    case DType::kFloat8E8M0:
      return decode<Float8E8M0>(tensor, i);
    case DType::kFloat4E2M1:
      return decode<Float4E2M1>(tensor, i);
    case DType::kInt4:
    case DType::kInt2:
      return tensor.data<int8_t>()[i];
    case DType::kUint4:
    case DType::kUint2:
      return tensor.data<uint8_t>()[i];
    case DType::kComplex64:
      return tensor.data<Complex64>()[i].real();
    case DType::kComplex128:
      return tensor.data<Complex128>()[i].real();
    default:
      break;
  }
  double value = 0;
  const Status status = ops::dispatch_numbers(tensor.dtype(), "the comparison", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    value = static_cast<double>(static_cast<compute_t<T>>(tensor.data<T>()[i]));
    return {};
  });
  return status.ok() ? value : std::nan("");
}

std::string difference(const ops::RtValue& got, const ops::RtValue& want, double rtol, double atol) {
  if (got.kind != want.kind) return fmt::format("a {} instead of a {}", kind_name(got.kind), kind_name(want.kind));
  if (want.is_tensor()) return tensor_difference(got.tensor, want.tensor, rtol, atol);
  const size_t got_size = got.elements ? got.elements->size() : 0, want_size = want.elements ? want.elements->size() : 0;
  if (got_size != want_size) return fmt::format("{} elements instead of {}", got_size, want_size);
  for (size_t i = 0; i < want_size; ++i) {
    const std::string text = difference((*got.elements)[i], (*want.elements)[i], rtol, atol);
    if (!text.empty()) return fmt::format("element {}: {}", i, text);
  }
  return "";
}

}  // namespace cameo::conformance
