#include "ir/attrs.h"

#include <fmt/core.h>

#include <bit>
#include <cstring>

namespace cameo::ir {
namespace {

// Hands every attribute to one generic function.
template <class Fn>
class EachAttr final : public AttrVisitor {
 public:
  explicit EachAttr(Fn fn) : fn_(std::move(fn)) {}
  void operator()(const char* n, int64_t& v) override { fn_(n, v); }
  void operator()(const char* n, float& v) override { fn_(n, v); }
  void operator()(const char* n, std::string& v) override { fn_(n, v); }
  void operator()(const char* n, std::vector<int64_t>& v) override { fn_(n, v); }
  void operator()(const char* n, std::vector<float>& v) override { fn_(n, v); }
  void operator()(const char* n, std::vector<std::string>& v) override { fn_(n, v); }
  void operator()(const char* n, Tensor& v) override { fn_(n, v); }
  void operator()(const char* n, std::optional<int64_t>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<float>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::string>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<int64_t>>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<float>>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<std::string>>& v) override { optional(n, v); }

 private:
  template <class T>
  void optional(const char* n, std::optional<T>& v) {
    if (v) fn_(n, *v);
  }
  Fn fn_;
};

// visit() wants a mutable struct because the importer writes through it; reading does not change it.
template <class Fn>
void for_each(const Attrs& attrs, Fn fn) {
  EachAttr<Fn> visitor(std::move(fn));
  const_cast<Attrs&>(attrs).visit(visitor);
}

std::string text(int64_t v) { return std::to_string(v); }
std::string text(float v) { return fmt::format("{}", v); }
std::string text(const std::string& v) { return "'" + v + "'"; }
std::string text(const Tensor& v) { return v.defined() ? fmt::format("{}[{}]", dtype_name(v.dtype()), v.dims().to_string()) : "none"; }
template <class T>
std::string text(const std::vector<T>& v) {
  std::string out = "[";
  for (const T& x : v) out += (out.size() > 1 ? ", " : "") + text(x);
  return out + "]";
}

// The exact bytes of an attribute, for hashing and comparing.
void append(std::string& out, const void* data, size_t n) { out.append(static_cast<const char*>(data), n); }
void append(std::string& out, int64_t v) { append(out, &v, sizeof v); }
void append(std::string& out, float v) { append(out, &v, sizeof v); }
void append(std::string& out, const std::string& v) {
  append(out, static_cast<int64_t>(v.size()));
  out += v;
}
void append(std::string& out, const Tensor& v) {
  append(out, static_cast<int64_t>(v.dtype()));
  if (!v.defined()) return;
  append(out, v.dims().to_string());
  if (v.dtype() == DType::kString)
    for (const auto& s : v.span<std::string>()) append(out, s);
  else if (v.num_bytes() > 0)
    append(out, v.raw(), v.num_bytes());
}
template <class T>
void append(std::string& out, const std::vector<T>& v) {
  append(out, static_cast<int64_t>(v.size()));
  for (const T& x : v) append(out, x);
}

std::string bytes_of(const Attrs& attrs) {
  std::string out;
  for_each(attrs, [&](const char* name, const auto& v) {
    append(out, std::string(name));
    append(out, v);
  });
  return out;
}

}  // namespace

std::string to_string(const Attrs& attrs) {
  std::string out;
  for_each(attrs, [&](const char* name, const auto& v) { out += (out.empty() ? "" : ", ") + std::string(name) + "=" + text(v); });
  return out;
}

uint64_t hash(const Attrs& attrs) { return std::hash<std::string>{}(bytes_of(attrs)); }

bool equal(const Attrs& a, const Attrs& b) { return &a == &b || bytes_of(a) == bytes_of(b); }

}  // namespace cameo::ir
