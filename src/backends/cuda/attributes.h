// Attributes of any node by name, whatever struct they stand in.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ir/attrs.h"

namespace cameo::cuda {

class Attributes {
 public:
  explicit Attributes(const ir::Attrs& attrs);
  bool has(const std::string& name) const { return values_.count(name) > 0; }
  int64_t integer(const std::string& name, int64_t otherwise = 0) const;
  float real(const std::string& name, float otherwise = 0) const;
  std::string text(const std::string& name, const std::string& otherwise = "") const;
  std::vector<int64_t> integers(const std::string& name) const;
  std::vector<float> reals(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  Tensor tensor(const std::string& name) const;

 private:
  using Value = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>, std::vector<std::string>, Tensor>;
  class Collector;
  template <class T>
  T get(const std::string& name, T otherwise) const;
  std::map<std::string, Value> values_;
};

}  // namespace cameo::cuda
