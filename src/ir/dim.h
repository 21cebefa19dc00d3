// Extents that may be symbolic: what shape inference computes with before real shapes are known.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cameo/types.h"

namespace cameo::ir {

class DimExpr;

// A number, a symbolic expression over named symbols ("batch", "past + seq", "floor((h - 1) / 2) + 1"),
// or unknown. Expressions are kept as polynomials in a canonical form, so two extents that are provably
// equal compare equal. Arithmetic that overflows gives unknown.
class Dim {
 public:
  Dim() = default;  // unknown
  Dim(int64_t value) : known_(true), value_(value) {}
  static Dim unknown() { return Dim(); }
  static Dim symbol(const std::string& name);

  bool is_unknown() const { return !known_ && expr_ == nullptr; }
  bool is_const() const { return known_; }
  // Only when is_const().
  int64_t value() const { return value_; }
  bool is(int64_t value) const { return known_ && value_ == value; }
  // The symbol's name when the extent is a lone symbol.
  std::optional<std::string> symbol_name() const;

  // True when the extent cannot be negative; symbols never are.
  bool is_non_negative() const;
  // The extent where no clamp to a constant bites: min(x, 512) and max(x, 0) become x.
  Dim unclamped() const;

  // True when both are known and provably the same.
  friend bool operator==(const Dim& a, const Dim& b);

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  // Division that rounds towards minus infinity, or up; by zero gives unknown.
  friend Dim floor_div(const Dim& a, const Dim& b);
  friend Dim ceil_div(const Dim& a, const Dim& b);
  friend Dim min(const Dim& a, const Dim& b);
  friend Dim max(const Dim& a, const Dim& b);

  // "3", "batch + 1", "?"
  std::string to_string() const;

  // The value when every symbol is given one by `lookup`; nothing if a symbol has none.
  using Lookup = std::function<std::optional<int64_t>(const std::string& symbol)>;
  std::optional<int64_t> evaluate(const Lookup& lookup) const;

 private:
  friend class DimExpr;
  explicit Dim(std::shared_ptr<const DimExpr> expr) : expr_(std::move(expr)) {}

  bool known_ = false;
  int64_t value_ = 0;
  std::shared_ptr<const DimExpr> expr_;
};

// A shape of known rank.
using Shape = std::vector<Dim>;

Shape to_shape(const Dims& dims);
// The extents when all are numbers.
std::optional<Dims> to_dims(const Shape& shape);
bool is_static(const Shape& shape);
// The product of the extents.
Dim num_elements(const Shape& shape);
// "[batch, 3, ?]"
std::string to_string(const Shape& shape);

}  // namespace cameo::ir
