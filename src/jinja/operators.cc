// Python's operators on values.
#include <algorithm>
#include <cmath>

#include "jinja/interpreter.h"
#include "jinja/text.h"

namespace cameo::jinja {
namespace {

Error not_together(std::string_view op, const Value& a, const Value& b) {
  for (const Value* v : {&a, &b})
    if (v->is_undefined()) return fault("{}", v->undefined_what());
  return fault("'{}' does not go with {} and {}", op, a.type_name(), b.type_name());
}

Result<Value> integers(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  const auto checked = [&](bool overflow) -> Result<Value> {
    if (overflow) return fault("{} {} {} is too large", a, op, b);
    return Value(result);
  };
  if (op == "+") return checked(__builtin_add_overflow(a, b, &result));
  if (op == "-") return checked(__builtin_sub_overflow(a, b, &result));
  if (op == "*") return checked(__builtin_mul_overflow(a, b, &result));
  if (op == "**") {
    if (b < 0) return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
    result = 1;
    bool overflow = false;
    for (int64_t square = a, n = b; n > 0;) {
      if (n & 1) overflow |= __builtin_mul_overflow(result, square, &result);
      n >>= 1;
      if (n > 0 && __builtin_mul_overflow(square, square, &square)) overflow = true;
      if (overflow) break;
    }
    return checked(overflow);
  }
  if (b == 0) return fault("division by zero");
  if (op == "/") return Value(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1) {
    if (op == "%") return Value(0);
    return checked(__builtin_sub_overflow(int64_t{0}, a, &result));
  }
  // Rounded down, and the rest has the divisor's sign.
  const int64_t rest = a % b;
  const bool adjust = rest != 0 && (rest < 0) != (b < 0);
  return op == "//" ? Value(a / b - adjust) : Value(rest + (adjust ? b : 0));
}

Result<Value> floats(std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") return Value(std::pow(a, b));
  if (b == 0) return fault("division by zero");
  if (op == "/") return Value(a / b);
  if (op == "//") return Value(std::floor(a / b));
  const double rest = std::fmod(a, b);
  return Value(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
}

Result<Value> repeat(Interpreter& in, const Value& what, int64_t times) {
  const auto n = static_cast<uint64_t>(std::max<int64_t>(times, 0));
  const size_t size = what.is_string() ? what.string().size() : what.list().items.size();
  if (size > 0 && n > in.meter().limits().output / size) return fault("{} repetitions of {} are too many", times, size);
  if (!in.meter().spend_bytes(n * size)) return in.meter().check().error();
  if (what.is_string()) {
    std::string text;
    for (uint64_t i = 0; i < n && size > 0; ++i) text += what.string();
    return in.text(std::move(text));
  }
  std::vector<Value> items;
  for (uint64_t i = 0; i < n && size > 0; ++i) items.insert(items.end(), what.list().items.begin(), what.list().items.end());
  return in.list(std::move(items), what.list().tuple);
}

}  // namespace

Result<Value> binary(Interpreter& in, std::string_view op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return integers(op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return floats(op, a.number(), b.number());
  if (op == "+" && a.is_string() && b.is_string()) return in.text(a.string() + b.string());
  if (op == "+" && a.is_list() && b.is_list() && a.list().tuple == b.list().tuple) {
    std::vector<Value> items = a.list().items;
    items.insert(items.end(), b.list().items.begin(), b.list().items.end());
    return in.list(std::move(items), a.list().tuple);
  }
  if (op == "*" && (a.is_string() || a.is_list()) && b.is_integral()) return repeat(in, a, b.integer());
  if (op == "*" && (b.is_string() || b.is_list()) && a.is_integral()) return repeat(in, b, a.integer());
  if (op == "%" && a.is_string()) {
    if (b.is_list() && b.list().tuple) return percent_format(in, a.string(), b.list().items);
    // What can be indexed may hold values that the format does not ask for.
    return percent_format(in, a.string(), {b}, b.is_list() || b.is_dict() || b.is_undefined());
  }
  return not_together(op, a, b);
}

Result<bool> less(const Value& a, const Value& b, Meter& meter) {
  if (!meter.spend(1)) return meter.check().error();
  if (a.is_integral() && b.is_integral()) return a.integer() < b.integer();
  if (a.is_number() && b.is_number()) return a.number() < b.number();
  if (a.is_string() && b.is_string()) return a.string() < b.string();  // UTF-8 has the order of code points
  if (a.is_list() && b.is_list()) {
    const auto &x = a.list().items, &y = b.list().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
      if (!equal(x[i], y[i], meter)) return less(x[i], y[i], meter);
    return x.size() < y.size();
  }
  return not_together("<", a, b);
}

Result<bool> contains(Interpreter& in, const Value& container, const Value& value) {
  if (container.is_string()) {
    if (!value.is_string()) return not_together("in", value, container);
    if (!in.meter().spend(container.string().size() / 64)) return in.meter().check().error();
    return find(container.string(), value.string()) != std::string_view::npos;
  }
  if (container.is_dict()) return container.dict().find(value) != nullptr;
  if (container.is_list()) {
    for (const Value& item : container.list().items)
      if (equal(item, value, in.meter())) return true;
    CAMEO_TRY(in.meter().check());
    return false;
  }
  if (container.is_undefined()) return false;
  return not_together("in", value, container);
}

Result<Value> percent_format(Interpreter& in, const std::string& format, const std::vector<Value>& values, bool may_be_too_many) {
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    size_t at = i + 1;
    while (at < format.size() && std::string_view("-+ #0").find(format[at]) != std::string_view::npos) ++at;
    const auto number = [&] {
      int n = -1;
      for (; at < format.size() && format[at] >= '0' && format[at] <= '9'; ++at)
        n = std::min(std::max(n, 0) * 10 + (format[at] - '0'), 100000);
      return n;
    };
    const std::string flags = format.substr(i + 1, at - i - 1);
    const int width = number();
    int precision = -1;
    if (at < format.size() && format[at] == '.') {
      ++at;
      precision = std::max(number(), 0);
    }
    const char kind = at < format.size() ? format[at] : '\0';
    i = at;
    if (kind == '%') {
      out += '%';
      continue;
    }
    if (next >= values.size()) return fault("there are too few values for the format '{}'", format);
    const Value& value = values[next++];
    std::string piece;
    if (kind == 's' || kind == 'r') {
      CAMEO_TRY(kind == 's' ? append_str(piece, value, in.meter()) : append_repr(piece, value, in.meter()));
      if (precision >= 0) piece.resize(byte_of(piece, static_cast<size_t>(precision)));
    } else if ((kind == 'd' || kind == 'i' || kind == 'x' || kind == 'X' || kind == 'o') && value.is_number()) {
      if (value.is_float() && !(std::fabs(value.number()) < 0x1p63)) return fault("{} is no integer", float_repr(value.number()));
      const int64_t n = value.is_float() ? static_cast<int64_t>(value.number()) : value.integer();
      const auto magnitude = n < 0 ? 0 - static_cast<uint64_t>(n) : static_cast<uint64_t>(n);
      piece = kind == 'x'   ? fmt::format("{:x}", magnitude)
              : kind == 'X' ? fmt::format("{:X}", magnitude)
              : kind == 'o' ? fmt::format("{:o}", magnitude)
                            : fmt::format("{}", magnitude);
      if (n < 0 || flags.find('+') != std::string::npos) piece.insert(0, n < 0 ? "-" : "+");
    } else if (value.is_number() && (kind == 'f' || kind == 'F' || kind == 'e' || kind == 'E' || kind == 'g' || kind == 'G')) {
      const int digits = precision < 0 ? 6 : std::min(precision, 1000);
      piece = kind == 'e' || kind == 'E'   ? fmt::format("{:.{}e}", value.number(), digits)
              : kind == 'g' || kind == 'G' ? fmt::format("{:.{}g}", value.number(), digits)
                                           : fmt::format("{:.{}f}", value.number(), digits);
      if (flags.find('+') != std::string::npos && value.number() >= 0) piece.insert(0, "+");
    } else {
      return fault("the format '{}' does not go with a {}", format, value.type_name());
    }
    const size_t have = length(piece), want = static_cast<size_t>(std::max(width, 0));
    if (have < want) {
      if (flags.find('-') != std::string::npos)
        piece.append(want - have, ' ');
      else if (flags.find('0') != std::string::npos && kind != 's' && kind != 'r')
        piece.insert(!piece.empty() && (piece[0] == '-' || piece[0] == '+') ? 1 : 0, want - have, '0');
      else
        piece.insert(0, want - have, ' ');
    }
    if (!in.meter().spend_bytes(piece.size())) return in.meter().check().error();
    out += piece;
  }
  if (next < values.size() && !may_be_too_many) return fault("there are too many values for the format '{}'", format);
  return in.text(std::move(out));
}

}  // namespace cameo::jinja
