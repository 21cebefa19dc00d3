// The attributes of a node: one struct per operator, described once by its visit().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cameo/tensor.h"

namespace cameo::ir {

// Sees every attribute of a struct under its ONNX name: the importer fills the fields in; hashing,
// printing, comparison, the plan and the ONNX writer read them. A field keeps the default it has in the
// struct when the model does not set it; an optional stays empty.
class AttrVisitor {
 public:
  virtual ~AttrVisitor() = default;
  virtual void operator()(const char* name, int64_t& value) = 0;
  virtual void operator()(const char* name, float& value) = 0;
  // A text; an attribute that is a type (Optional) arrives as ir::Type::to_string() writes it.
  virtual void operator()(const char* name, std::string& value) = 0;
  virtual void operator()(const char* name, std::vector<int64_t>& value) = 0;
  virtual void operator()(const char* name, std::vector<float>& value) = 0;
  virtual void operator()(const char* name, std::vector<std::string>& value) = 0;
  virtual void operator()(const char* name, Tensor& value) = 0;  // undefined() when absent
  virtual void operator()(const char* name, std::optional<int64_t>& value) = 0;
  virtual void operator()(const char* name, std::optional<float>& value) = 0;
  virtual void operator()(const char* name, std::optional<std::string>& value) = 0;
  virtual void operator()(const char* name, std::optional<std::vector<int64_t>>& value) = 0;
  virtual void operator()(const char* name, std::optional<std::vector<float>>& value) = 0;
  virtual void operator()(const char* name, std::optional<std::vector<std::string>>& value) = 0;
};

struct Attrs {
  virtual ~Attrs() = default;
  virtual void visit(AttrVisitor& visitor) = 0;
  virtual std::unique_ptr<Attrs> clone() const = 0;
};

// Base of every attribute struct:
//   struct SoftmaxAttrs : ir::AttrsOf<SoftmaxAttrs> {
//     int64_t axis = -1;
//     void visit(ir::AttrVisitor& v) override { v("axis", axis); }
//   };
template <class Derived>
struct AttrsOf : Attrs {
  std::unique_ptr<Attrs> clone() const override { return std::make_unique<Derived>(static_cast<const Derived&>(*this)); }
};

// For operators without attributes.
struct NoAttrs : AttrsOf<NoAttrs> {
  void visit(AttrVisitor&) override {}
};

template <class T>
std::unique_ptr<Attrs> make_attrs() {
  return std::make_unique<T>();
}

// "axis=-1, epsilon=1e-05": only what is set.
std::string to_string(const Attrs& attrs);
// Equal for equal attributes; tensors count by their bytes.
uint64_t hash(const Attrs& attrs);
bool equal(const Attrs& a, const Attrs& b);

}  // namespace cameo::ir
