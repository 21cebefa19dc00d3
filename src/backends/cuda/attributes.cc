#include "backends/cuda/attributes.h"

namespace cameo::cuda {

class Attributes::Collector final : public ir::AttrVisitor {
 public:
  explicit Collector(std::map<std::string, Value>& values) : values_(values) {}
  void operator()(const char* name, int64_t& value) override { values_.emplace(name, value); }
  void operator()(const char* name, float& value) override { values_.emplace(name, value); }
  void operator()(const char* name, std::string& value) override { values_.emplace(name, value); }
  void operator()(const char* name, std::vector<int64_t>& value) override { values_.emplace(name, value); }
  void operator()(const char* name, std::vector<float>& value) override { values_.emplace(name, value); }
  void operator()(const char* name, std::vector<std::string>& value) override { values_.emplace(name, value); }
  void operator()(const char* name, Tensor& value) override {
    if (value.defined()) values_.emplace(name, value);
  }
  void operator()(const char* name, std::optional<int64_t>& value) override { add(name, value); }
  void operator()(const char* name, std::optional<float>& value) override { add(name, value); }
  void operator()(const char* name, std::optional<std::string>& value) override { add(name, value); }
  void operator()(const char* name, std::optional<std::vector<int64_t>>& value) override { add(name, value); }
  void operator()(const char* name, std::optional<std::vector<float>>& value) override { add(name, value); }
  void operator()(const char* name, std::optional<std::vector<std::string>>& value) override { add(name, value); }

 private:
  template <class T>
  void add(const char* name, const std::optional<T>& value) {
    if (value) values_.emplace(name, *value);
  }
  std::map<std::string, Value>& values_;
};

Attributes::Attributes(const ir::Attrs& attrs) {
  // visit() takes fields by reference to be able to set them.
  const auto copy = attrs.clone();
  Collector collector(values_);
  copy->visit(collector);
}

template <class T>
T Attributes::get(const std::string& name, T otherwise) const {
  const auto it = values_.find(name);
  if (it == values_.end()) return otherwise;
  const T* value = std::get_if<T>(&it->second);
  return value ? *value : otherwise;
}

int64_t Attributes::integer(const std::string& name, int64_t otherwise) const { return get<int64_t>(name, otherwise); }
float Attributes::real(const std::string& name, float otherwise) const { return get<float>(name, otherwise); }
std::string Attributes::text(const std::string& name, const std::string& otherwise) const { return get<std::string>(name, otherwise); }
std::vector<int64_t> Attributes::integers(const std::string& name) const { return get<std::vector<int64_t>>(name, {}); }
std::vector<float> Attributes::reals(const std::string& name) const { return get<std::vector<float>>(name, {}); }
std::vector<std::string> Attributes::texts(const std::string& name) const { return get<std::vector<std::string>>(name, {}); }
Tensor Attributes::tensor(const std::string& name) const { return get<Tensor>(name, {}); }

}  // namespace cameo::cuda
