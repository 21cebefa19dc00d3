#include "ir/dim.h"

#include <algorithm>
#include <map>

namespace cameo::ir {

// An atom is a symbol or an operation that is no polynomial: floor_div, ceil_div, min, max.
struct Atom {
  enum class Kind { kSymbol, kFloorDiv, kCeilDiv, kMin, kMax };
  Kind kind = Kind::kSymbol;
  std::string name;  // the symbol's name, or the canonical text of the operation
  Dim a, b;
};

// A monomial: atom names, sorted, repeated for powers. The empty monomial is the constant term.
using Monomial = std::vector<std::string>;

class DimExpr {
 public:
  std::map<Monomial, int64_t> terms;                         // no zero coefficients
  std::map<std::string, std::shared_ptr<const Atom>> atoms;  // by name

  // Larger polynomials are given up as unknown, so that a hostile model cannot make inference slow.
  static constexpr size_t kMaxTerms = 24;
  static constexpr size_t kMaxDegree = 8;
  static constexpr size_t kMaxText = 400;

  static std::shared_ptr<DimExpr> of(const Dim& d) {
    if (d.expr_) return std::make_shared<DimExpr>(*d.expr_);
    auto e = std::make_shared<DimExpr>();
    if (d.value_ != 0) e->terms[{}] = d.value_;
    return e;
  }

  static Dim finish(std::shared_ptr<DimExpr> e) {
    for (auto it = e->terms.begin(); it != e->terms.end();) it = it->second == 0 ? e->terms.erase(it) : std::next(it);
    if (e->terms.empty()) return Dim(0);
    if (e->terms.size() == 1 && e->terms.begin()->first.empty()) return Dim(e->terms.begin()->second);
    if (e->terms.size() > kMaxTerms) return Dim();
    std::map<std::string, std::shared_ptr<const Atom>> used;
    for (const auto& [monomial, unused] : e->terms)
      for (const auto& name : monomial) used.emplace(name, e->atoms.at(name));
    e->atoms = std::move(used);
    return Dim(std::shared_ptr<const DimExpr>(std::move(e)));
  }

  static Dim of_atom(Atom atom) {
    if (atom.name.size() > kMaxText) return Dim();
    auto e = std::make_shared<DimExpr>();
    e->terms[{atom.name}] = 1;
    std::string name = atom.name;
    e->atoms[std::move(name)] = std::make_shared<Atom>(std::move(atom));
    return finish(std::move(e));
  }

  static Dim add(const Dim& a, const Dim& b, int64_t sign) {
    if (a.is_unknown() || b.is_unknown()) return Dim();
    if (a.known_ && b.known_) {
      int64_t scaled = 0, sum = 0;
      return __builtin_mul_overflow(b.value_, sign, &scaled) || __builtin_add_overflow(a.value_, scaled, &sum) ? Dim() : Dim(sum);
    }
    auto e = of(a);
    const auto f = of(b);
    for (const auto& [monomial, coefficient] : f->terms) {
      int64_t scaled = 0;
      if (__builtin_mul_overflow(coefficient, sign, &scaled) || __builtin_add_overflow(e->terms[monomial], scaled, &e->terms[monomial]))
        return Dim();
    }
    e->atoms.insert(f->atoms.begin(), f->atoms.end());
    return finish(std::move(e));
  }

  static Dim multiply(const Dim& a, const Dim& b) {
    if (a.is(0) || b.is(0)) return Dim(0);
    if (a.is_unknown() || b.is_unknown()) return Dim();
    if (a.known_ && b.known_) {
      int64_t product = 0;
      return __builtin_mul_overflow(a.value_, b.value_, &product) ? Dim() : Dim(product);
    }
    const auto e = of(a), f = of(b);
    auto product = std::make_shared<DimExpr>();
    product->atoms = e->atoms;
    product->atoms.insert(f->atoms.begin(), f->atoms.end());
    for (const auto& [m, c] : e->terms)
      for (const auto& [n, d] : f->terms) {
        Monomial both = m;
        both.insert(both.end(), n.begin(), n.end());
        if (both.size() > kMaxDegree) return Dim();
        std::sort(both.begin(), both.end());
        int64_t scaled = 0;
        if (__builtin_mul_overflow(c, d, &scaled) || __builtin_add_overflow(product->terms[both], scaled, &product->terms[both]))
          return Dim();
      }
    return finish(std::move(product));
  }

  // a / b when b divides every term of a exactly.
  static std::optional<Dim> exact_quotient(const Dim& a, const Dim& b) {
    const auto e = of(a), f = of(b);
    if (f->terms.size() != 1) return a == b ? std::optional<Dim>(Dim(1)) : std::nullopt;
    const auto& [divisor, coefficient] = *f->terms.begin();
    auto quotient = std::make_shared<DimExpr>();
    quotient->atoms = e->atoms;
    for (const auto& [monomial, c] : e->terms) {
      if (coefficient == -1 || c % coefficient != 0 || !std::includes(monomial.begin(), monomial.end(), divisor.begin(), divisor.end()))
        return std::nullopt;
      Monomial rest;
      std::set_difference(monomial.begin(), monomial.end(), divisor.begin(), divisor.end(), std::back_inserter(rest));
      quotient->terms[rest] = c / coefficient;
    }
    return finish(std::move(quotient));
  }

  static std::string text(const DimExpr& e) {
    std::string out;
    for (auto it = e.terms.rbegin(); it != e.terms.rend(); ++it) {
      const auto& [monomial, coefficient] = *it;
      int64_t c = coefficient;
      if (!out.empty()) {
        out += c < 0 ? " - " : " + ";
        if (c != INT64_MIN) c = c < 0 ? -c : c;
      }
      std::string term;
      if (monomial.empty() || (c != 1 && c != -1))
        term = std::to_string(c);
      else if (c == -1)
        out += "-";
      for (const auto& name : monomial) term += (term.empty() ? "" : "*") + name;
      out += term;
    }
    return out;
  }

  static std::optional<int64_t> evaluate(const DimExpr& e, const Dim::Lookup& lookup) {
    int64_t sum = 0;
    for (const auto& [monomial, coefficient] : e.terms) {
      int64_t product = coefficient;
      for (const auto& name : monomial) {
        const auto factor = evaluate(*e.atoms.at(name), lookup);
        if (!factor || __builtin_mul_overflow(product, *factor, &product)) return std::nullopt;
      }
      if (__builtin_add_overflow(sum, product, &sum)) return std::nullopt;
    }
    return sum;
  }

  static std::optional<int64_t> evaluate(const Atom& atom, const Dim::Lookup& lookup) {
    if (atom.kind == Atom::Kind::kSymbol) return lookup(atom.name);
    const auto a = atom.a.evaluate(lookup), b = atom.b.evaluate(lookup);
    if (!a || !b) return std::nullopt;
    return fold(atom.kind, *a, *b);
  }

  static std::optional<int64_t> fold(Atom::Kind kind, int64_t a, int64_t b) {
    switch (kind) {
      case Atom::Kind::kMin:
        return std::min(a, b);
      case Atom::Kind::kMax:
        return std::max(a, b);
      case Atom::Kind::kFloorDiv:
      case Atom::Kind::kCeilDiv: {
        if (b == 0 || (a == INT64_MIN && b == -1)) return std::nullopt;
        const int64_t q = a / b, r = a % b;
        if (r == 0) return q;
        const bool negative = (r < 0) != (b < 0);
        return kind == Atom::Kind::kFloorDiv ? q - negative : q + !negative;
      }
      case Atom::Kind::kSymbol:
        break;
    }
    return std::nullopt;
  }

  static bool is_non_negative(const Atom& atom) {
    switch (atom.kind) {
      case Atom::Kind::kSymbol:
        return true;
      case Atom::Kind::kMax:
        return atom.a.is_non_negative() || atom.b.is_non_negative();
      case Atom::Kind::kMin:
      case Atom::Kind::kFloorDiv:
      case Atom::Kind::kCeilDiv:
        return atom.a.is_non_negative() && atom.b.is_non_negative();
    }
    return false;
  }

  static bool is_non_negative(const DimExpr& e) {
    for (const auto& [monomial, coefficient] : e.terms) {
      if (coefficient < 0) return false;
      for (const auto& name : monomial)
        if (!is_non_negative(*e.atoms.at(name))) return false;
    }
    return true;
  }

  static Dim unclamped(const Atom& atom) {
    if (atom.kind == Atom::Kind::kSymbol) return Dim::symbol(atom.name);
    const Dim a = atom.a.unclamped(), b = atom.b.unclamped();
    if (atom.kind == Atom::Kind::kMin || atom.kind == Atom::Kind::kMax) {
      if (a.is_const()) return b;
      if (b.is_const()) return a;
    }
    return operation(atom.kind, a, b);
  }

  static Dim unclamped(const DimExpr& e) {
    Dim sum = 0;
    for (const auto& [monomial, coefficient] : e.terms) {
      Dim term = coefficient;
      for (const auto& name : monomial) term = term * unclamped(*e.atoms.at(name));
      sum = sum + term;
    }
    return sum;
  }

  static Dim operation(Atom::Kind kind, const Dim& a, const Dim& b) {
    if (a.is_unknown() || b.is_unknown()) return Dim();
    if (a.is_const() && b.is_const()) {
      const auto folded = fold(kind, a.value(), b.value());
      return folded ? Dim(*folded) : Dim();
    }
    const bool division = kind == Atom::Kind::kFloorDiv || kind == Atom::Kind::kCeilDiv;
    if (division && b.is(0)) return Dim();
    if (division && b.is(1)) return a;
    if (division)
      if (auto q = exact_quotient(a, b)) return *q;
    if (!division && a == b) return a;
    std::string x = a.to_string(), y = b.to_string();
    if (!division && y < x) std::swap(x, y);
    Atom atom{kind, {}, a, b};
    switch (kind) {
      case Atom::Kind::kFloorDiv:
        atom.name = "floor((" + x + ") / (" + y + "))";
        break;
      case Atom::Kind::kCeilDiv:
        atom.name = "ceil((" + x + ") / (" + y + "))";
        break;
      case Atom::Kind::kMin:
        atom.name = "min(" + x + ", " + y + ")";
        break;
      case Atom::Kind::kMax:
        atom.name = "max(" + x + ", " + y + ")";
        break;
      case Atom::Kind::kSymbol:
        break;
    }
    return of_atom(std::move(atom));
  }
};

Dim Dim::symbol(const std::string& name) { return DimExpr::of_atom({Atom::Kind::kSymbol, name, {}, {}}); }

std::optional<std::string> Dim::symbol_name() const {
  if (!expr_ || expr_->terms.size() != 1) return std::nullopt;
  const auto& [monomial, coefficient] = *expr_->terms.begin();
  if (coefficient != 1 || monomial.size() != 1 || expr_->atoms.at(monomial[0])->kind != Atom::Kind::kSymbol) return std::nullopt;
  return monomial[0];
}

bool Dim::is_non_negative() const { return known_ ? value_ >= 0 : expr_ && DimExpr::is_non_negative(*expr_); }

Dim Dim::unclamped() const { return expr_ ? DimExpr::unclamped(*expr_) : *this; }

bool operator==(const Dim& a, const Dim& b) {
  if (a.is_const() && b.is_const()) return a.value_ == b.value_;
  if (!a.expr_ || !b.expr_) return false;
  return a.expr_ == b.expr_ || a.expr_->terms == b.expr_->terms;
}

Dim operator+(const Dim& a, const Dim& b) { return DimExpr::add(a, b, 1); }
Dim operator-(const Dim& a, const Dim& b) { return DimExpr::add(a, b, -1); }
Dim operator*(const Dim& a, const Dim& b) { return DimExpr::multiply(a, b); }
Dim floor_div(const Dim& a, const Dim& b) { return DimExpr::operation(Atom::Kind::kFloorDiv, a, b); }
Dim ceil_div(const Dim& a, const Dim& b) { return DimExpr::operation(Atom::Kind::kCeilDiv, a, b); }
Dim min(const Dim& a, const Dim& b) { return DimExpr::operation(Atom::Kind::kMin, a, b); }
Dim max(const Dim& a, const Dim& b) { return DimExpr::operation(Atom::Kind::kMax, a, b); }

std::string Dim::to_string() const {
  if (known_) return std::to_string(value_);
  return expr_ ? DimExpr::text(*expr_) : "?";
}

std::optional<int64_t> Dim::evaluate(const Lookup& lookup) const {
  if (known_) return value_;
  return expr_ ? DimExpr::evaluate(*expr_, lookup) : std::nullopt;
}

Shape to_shape(const Dims& dims) { return Shape(dims.begin(), dims.end()); }

std::optional<Dims> to_dims(const Shape& shape) {
  Dims dims(shape.size(), 0);
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!shape[i].is_const()) return std::nullopt;
    dims[i] = shape[i].value();
  }
  return dims;
}

bool is_static(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_const(); });
}

Dim num_elements(const Shape& shape) {
  Dim product = 1;
  for (const Dim& d : shape) product = product * d;
  return product;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (const Dim& d : shape) text += (text.size() > 1 ? ", " : "") + d.to_string();
  return text + "]";
}

}  // namespace cameo::ir
