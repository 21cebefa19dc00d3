#include "passes/attributes.h"

namespace cameo::passes {
namespace {

class Reader final : public ir::AttrVisitor {
 public:
  explicit Reader(std::string_view name) : name_(name) {}
  void operator()(const char* n, int64_t& v) override { take(n, v); }
  void operator()(const char* n, float& v) override { take(n, v); }
  void operator()(const char* n, std::string& v) override { take(n, v); }
  void operator()(const char* n, std::vector<int64_t>& v) override { take(n, v); }
  void operator()(const char* n, std::vector<float>& v) override { take(n, v); }
  void operator()(const char* n, std::vector<std::string>& v) override { take(n, v); }
  void operator()(const char* n, Tensor& v) override { take(n, v); }
  void operator()(const char* n, std::optional<int64_t>& v) override { take_optional(n, v); }
  void operator()(const char* n, std::optional<float>& v) override { take_optional(n, v); }
  void operator()(const char* n, std::optional<std::string>& v) override { take_optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<int64_t>>& v) override { take_optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<float>>& v) override { take_optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<std::string>>& v) override { take_optional(n, v); }

  std::optional<AttrValue> found;

 private:
  template <class T>
  void take(const char* n, T& v) {
    if (name_ == n) found = v;
  }
  template <class T>
  void take_optional(const char* n, std::optional<T>& v) {
    if (v) take(n, *v);
  }
  std::string_view name_;
};

class Writer final : public ir::AttrVisitor {
 public:
  explicit Writer(const AttrList& list) : list_(list), used_(list.size(), false) {}
  void operator()(const char* n, int64_t& v) override { put(n, v); }
  void operator()(const char* n, float& v) override { put(n, v); }
  void operator()(const char* n, std::string& v) override { put(n, v); }
  void operator()(const char* n, std::vector<int64_t>& v) override { put(n, v); }
  void operator()(const char* n, std::vector<float>& v) override { put(n, v); }
  void operator()(const char* n, std::vector<std::string>& v) override { put(n, v); }
  void operator()(const char* n, Tensor& v) override { put(n, v); }
  void operator()(const char* n, std::optional<int64_t>& v) override { put(n, v); }
  void operator()(const char* n, std::optional<float>& v) override { put(n, v); }
  void operator()(const char* n, std::optional<std::string>& v) override { put(n, v); }
  void operator()(const char* n, std::optional<std::vector<int64_t>>& v) override { put(n, v); }
  void operator()(const char* n, std::optional<std::vector<float>>& v) override { put(n, v); }
  void operator()(const char* n, std::optional<std::vector<std::string>>& v) override { put(n, v); }

  const std::string* unused() const {
    for (size_t i = 0; i < list_.size(); ++i)
      if (!used_[i]) return &list_[i].first;
    return nullptr;
  }

 private:
  template <class T>
  struct Plain {
    using type = T;
  };
  template <class T>
  struct Plain<std::optional<T>> {
    using type = T;
  };
  template <class T>
  void put(const char* n, T& v) {
    for (size_t i = 0; i < list_.size(); ++i)
      if (list_[i].first == n)
        if (const auto* value = std::get_if<typename Plain<T>::type>(&list_[i].second)) {
          v = *value;
          used_[i] = true;
        }
  }
  const AttrList& list_;
  std::vector<bool> used_;
};

}  // namespace

std::optional<AttrValue> find_attr(const ir::Attrs& attrs, std::string_view name) {
  Reader reader(name);
  // visit() wants a mutable struct because the importer writes through it; reading does not change it.
  const_cast<ir::Attrs&>(attrs).visit(reader);
  return std::move(reader.found);
}

namespace {

Result<std::shared_ptr<const ir::Attrs>> set(std::shared_ptr<ir::Attrs> attrs, const ops::OpDef& op, const AttrList& list) {
  Writer writer(list);
  attrs->visit(writer);
  if (const std::string* name = writer.unused())
    return error(ErrorCode::kInternal, "{} has no attribute '{}' of that type", op.name, *name);
  return std::shared_ptr<const ir::Attrs>(std::move(attrs));
}

}  // namespace

Result<std::shared_ptr<const ir::Attrs>> make_attrs(const ops::OpDef& op, const AttrList& list) { return set(op.make_attrs(), op, list); }

Result<std::shared_ptr<const ir::Attrs>> changed_attrs(const ir::Node& node, const AttrList& list) {
  return set(node.attrs->clone(), *node.op, list);
}

}  // namespace cameo::passes
