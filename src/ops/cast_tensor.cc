#include <algorithm>
#include <charconv>
#include <cstring>

#include "ops/cast.h"
#include "ops/dispatch.h"

namespace cameo::ops {
namespace {

// Elements pass through a small buffer of the widest type of their kind: with 24 types there are too many pairs for a
// loop each.
constexpr int64_t kChunk = 512;
enum class Wide { kReal, kSigned, kUnsigned };
union Chunk {
  double real[kChunk];
  int64_t integer[kChunk];
  uint64_t natural[kChunk];
};

template <class T, class W>
void widen(const Tensor& from, int64_t at, int64_t n, W* to) {
  const T* x = from.data<T>() + at;
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<W>(static_cast<compute_t<T>>(x[i]));
}

Wide load(const Tensor& from, int64_t at, int64_t n, Chunk& to) {
  switch (from.dtype()) {
    case DType::kFloat32:
      return widen<float>(from, at, n, to.real), Wide::kReal;
    case DType::kFloat64:
      return widen<double>(from, at, n, to.real), Wide::kReal;
    case DType::kFloat16:
      return widen<Float16>(from, at, n, to.real), Wide::kReal;
    case DType::kBfloat16:
      return widen<Bfloat16>(from, at, n, to.real), Wide::kReal;
    case DType::kFloat8E4M3FN:
      return widen<Float8E4M3FN>(from, at, n, to.real), Wide::kReal;
    case DType::kFloat8E4M3FNUZ:
      return widen<Float8E4M3FNUZ>(from, at, n, to.real), Wide::kReal;
    case DType::kFloat8E5M2:
      return widen<Float8E5M2>(from, at, n, to.real), Wide::kReal;
    case DType::kFloat8E5M2FNUZ:
      return widen<Float8E5M2FNUZ>(from, at, n, to.real), Wide::kReal;
    case DType::kFloat8E8M0:
      return widen<Float8E8M0>(from, at, n, to.real), Wide::kReal;
    case DType::kFloat4E2M1:
      return widen<Float4E2M1>(from, at, n, to.real), Wide::kReal;
    case DType::kInt8:
    case DType::kInt4:
    case DType::kInt2:
      return widen<int8_t>(from, at, n, to.integer), Wide::kSigned;
    case DType::kInt16:
      return widen<int16_t>(from, at, n, to.integer), Wide::kSigned;
    case DType::kInt32:
      return widen<int32_t>(from, at, n, to.integer), Wide::kSigned;
    case DType::kInt64:
      return widen<int64_t>(from, at, n, to.integer), Wide::kSigned;
    case DType::kBool:
    case DType::kUint8:
    case DType::kUint4:
    case DType::kUint2:
      return widen<uint8_t>(from, at, n, to.integer), Wide::kSigned;
    case DType::kUint16:
      return widen<uint16_t>(from, at, n, to.integer), Wide::kSigned;
    case DType::kUint32:
      return widen<uint32_t>(from, at, n, to.integer), Wide::kSigned;
    default:
      return widen<uint64_t>(from, at, n, to.natural), Wide::kUnsigned;
  }
}

template <class T>
struct Convert {
  const CastOptions& options;
  template <class W>
  T operator()(W x) const {
    if constexpr (std::is_same_v<T, bool>) {
      return x != 0;
    } else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
      return static_cast<T>(x);
    } else if constexpr (std::is_integral_v<T> || std::is_same_v<compute_t<T>, int64_t>) {
      if constexpr (std::is_same_v<W, double>)
        return to_integer<T>(x);
      else
        return T(x);
    } else {
      float f;
      if constexpr (std::is_same_v<W, double>)
        f = round_to_odd(x);
      else
        f = static_cast<float>(x);
      if constexpr (std::is_same_v<T, Float8E8M0>) {
        T code;
        code.bits = e8m0_from_float(f, options.saturate, options.rounding);
        return code;
      } else if constexpr (requires { T::kKind; }) {
        return T(f, options.saturate);
      } else {
        return T(f);
      }
    }
  }
};

template <class T>
void store(const Chunk& from, Wide wide, int64_t at, int64_t n, Tensor& to, const CastOptions& options) {
  T* y = to.data<T>() + at;
  const Convert<T> convert{options};
  if (wide == Wide::kReal)
    for (int64_t i = 0; i < n; ++i) y[i] = convert(from.real[i]);
  else if (wide == Wide::kSigned)
    for (int64_t i = 0; i < n; ++i) y[i] = convert(from.integer[i]);
  else
    for (int64_t i = 0; i < n; ++i) y[i] = convert(from.natural[i]);
}

// Calls fn with the C++ type of every element type that is a number or bool.
template <class Fn>
Status dispatch_castable(DType type, Fn&& fn) {
  switch (type) {
    case DType::kBool:
      return fn(TypeTag<bool>{});
    case DType::kFloat8E4M3FN:
      return fn(TypeTag<Float8E4M3FN>{});
    case DType::kFloat8E4M3FNUZ:
      return fn(TypeTag<Float8E4M3FNUZ>{});
    case DType::kFloat8E5M2:
      return fn(TypeTag<Float8E5M2>{});
    case DType::kFloat8E5M2FNUZ:
      return fn(TypeTag<Float8E5M2FNUZ>{});
    case DType::kFloat8E8M0:
      return fn(TypeTag<Float8E8M0>{});
    case DType::kFloat4E2M1:
      return fn(TypeTag<Float4E2M1>{});
    case DType::kInt4:
      return fn(TypeTag<Int4>{});
    case DType::kUint4:
      return fn(TypeTag<Uint4>{});
    case DType::kInt2:
      return fn(TypeTag<Int2>{});
    case DType::kUint2:
      return fn(TypeTag<Uint2>{});
    default:
      return dispatch_numbers(type, "Cast", fn);
  }
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a | 0x20 : a) == b; });
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

template <class T>
bool parse_all(std::string_view text, T& value) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  return problem == std::errc() && end == text.data() + text.size();
}

Status parse(const std::string& text, DType type, Chunk& to, Wide& wide) {
  std::string_view rest = trimmed(text);
  if (rest.size() > 1 && rest[0] == '+' && rest[1] != '-') rest.remove_prefix(1);
  const bool integer = kIntegerTypes.contains(type) || kSubByteTypes.contains(type);
  wide = Wide::kSigned;
  if (integer && parse_all(rest, to.integer[0])) return {};
  wide = Wide::kUnsigned;
  if (integer && parse_all(rest, to.natural[0])) return {};
  if (type == DType::kBool && (equals_ignoring_case(rest, "true") || equals_ignoring_case(rest, "false"))) {
    to.natural[0] = rest.size() == 4;
    return {};
  }
  wide = Wide::kReal;
  double value = 0;
  const auto [end, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (rest.empty() || end != rest.data() + rest.size() || problem == std::errc::invalid_argument)
    return error(ErrorCode::kInvalidInput, "the text '{}' is no number and cannot be cast to {}", text.substr(0, 100), dtype_name(type));
  if (problem == std::errc::result_out_of_range) {  // whether too large or too small, strtod knows
    value = std::strtod(std::string(rest).c_str(), nullptr);
  }
  to.real[0] = value;
  return {};
}

std::string format(double x, DType type) {
  if (std::isnan(x)) return "NaN";
  if (std::isinf(x)) return x > 0 ? "INF" : "-INF";
  if (type == DType::kFloat64) return fmt::format("{}", x);
  return fmt::format("{}", static_cast<float>(x));
}

Status from_text(const Tensor& from, Tensor& to, const CastOptions& options) {
  const int64_t n = from.num_elements();
  Chunk chunk;
  return dispatch_castable(to.dtype(), [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < n; ++i) {
      Wide wide;
      CAMEO_TRY(parse(from.data<std::string>()[i], to.dtype(), chunk, wide));
      store<T>(chunk, wide, i, 1, to, options);
    }
    return {};
  });
}

void to_text(const Tensor& from, Tensor& to) {
  Chunk chunk;
  for (int64_t at = 0; at < from.num_elements(); at += kChunk) {
    const int64_t n = std::min(kChunk, from.num_elements() - at);
    const Wide wide = load(from, at, n, chunk);
    for (int64_t i = 0; i < n; ++i)
      to.data<std::string>()[at + i] = from.dtype() == DType::kBool ? chunk.integer[i] ? "True" : "False"
                                       : wide == Wide::kReal        ? format(chunk.real[i], from.dtype())
                                       : wide == Wide::kSigned      ? std::to_string(chunk.integer[i])
                                                                    : std::to_string(chunk.natural[i]);
  }
}

}  // namespace

Result<E8M0Rounding> parse_rounding(const std::string& round_mode) {
  if (round_mode == "up") return E8M0Rounding::kUp;
  if (round_mode == "down") return E8M0Rounding::kDown;
  if (round_mode == "nearest") return E8M0Rounding::kNearest;
  return error(ErrorCode::kInvalidModel, "round_mode is '{}'; it must be up, down or nearest", round_mode);
}

Status cast_tensor(const Tensor& from, Tensor& to, const CastOptions& options) {
  const int64_t count = from.num_elements();
  if (from.dtype() == to.dtype()) {
    if (to.dtype() == DType::kString)
      std::copy_n(from.data<std::string>(), count, to.data<std::string>());
    else if (count > 0)
      std::memcpy(to.raw(), from.raw(), from.num_bytes());
    return {};
  }
  if (from.dtype() == DType::kString) return from_text(from, to, options);
  if (to.dtype() == DType::kString) {
    to_text(from, to);
    return {};
  }
  return dispatch_castable(to.dtype(), [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    Chunk chunk;
    for (int64_t at = 0; at < count; at += kChunk) {
      const int64_t n = std::min(kChunk, count - at);
      const Wide wide = load(from, at, n, chunk);
      store<T>(chunk, wide, at, n, to, options);
    }
    return {};
  });
}

}  // namespace cameo::ops
