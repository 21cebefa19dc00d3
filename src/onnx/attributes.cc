#include "onnx/attributes.h"

#include <algorithm>
#include <optional>

#include "onnx/text.h"
#include "onnx/types.h"

namespace cameo::onnx {
namespace {

class Reader final : public ir::AttrVisitor {
 public:
  Reader(const std::vector<Attribute>& attributes, const TensorReader& read_tensor)
      : attributes_(attributes), read_tensor_(read_tensor), taken_(attributes.size(), false) {}

  void operator()(const char* name, int64_t& value) override { set(name, value); }
  void operator()(const char* name, float& value) override { set(name, value); }
  void operator()(const char* name, std::string& value) override { set(name, value); }
  void operator()(const char* name, std::vector<int64_t>& value) override { set(name, value); }
  void operator()(const char* name, std::vector<float>& value) override { set(name, value); }
  void operator()(const char* name, std::vector<std::string>& value) override { set(name, value); }
  void operator()(const char* name, Tensor& value) override { set(name, value); }
  void operator()(const char* name, std::optional<int64_t>& value) override { set_optional(name, value); }
  void operator()(const char* name, std::optional<float>& value) override { set_optional(name, value); }
  void operator()(const char* name, std::optional<std::string>& value) override { set_optional(name, value); }
  void operator()(const char* name, std::optional<std::vector<int64_t>>& value) override { set_optional(name, value); }
  void operator()(const char* name, std::optional<std::vector<float>>& value) override { set_optional(name, value); }
  void operator()(const char* name, std::optional<std::vector<std::string>>& value) override { set_optional(name, value); }

  // What went wrong; an attribute that nothing took counts, unless it is a graph of the operator.
  Status finish(const ops::OpDef& op) {
    if (failure_) return std::move(*failure_);
    for (size_t i = 0; i < attributes_.size(); ++i) {
      if (taken_[i]) continue;
      const Attribute& attribute = attributes_[i];
      const bool known_graph = std::find(op.subgraphs.begin(), op.subgraphs.end(), attribute.name) != op.subgraphs.end();
      if (known_graph && attribute.value->type == AttributeType::kGraph) continue;
      if (known_graph) return wrong_type(attribute, "graph");
      std::string known;
      for (const char* name : names_) known.append(known.empty() ? "" : ", ").append(name);
      for (std::string_view name : op.subgraphs) known.append(known.empty() ? "" : ", ").append(name);
      return error(ErrorCode::kUnsupported, "{} has no attribute {}; it has {}", op.name, quoted(attribute.name),
                   known.empty() ? "none" : known);
    }
    return {};
  }

 private:
  static Error wrong_type(const Attribute& attribute, std::string_view expected) {
    return error(ErrorCode::kInvalidModel, "attribute {} is of type {}, expected {}", quoted(attribute.name),
                 attribute_type_name(attribute.value->type), expected);
  }

  const AttributeProto* take(const char* name) {
    names_.push_back(name);
    for (size_t i = 0; i < attributes_.size(); ++i) {
      if (attributes_[i].name != name) continue;
      taken_[i] = true;
      current_ = &attributes_[i];
      return attributes_[i].value;
    }
    return nullptr;
  }
  // Whether the value is of that type. An empty list has no type of its own: writers guess one.
  bool is(const AttributeProto& attribute, AttributeType type) {
    using enum AttributeType;
    if (attribute.type == type) return true;
    const AttributeLists& lists = attribute.lists();
    const auto is_list = [](AttributeType t) { return t == kFloats || t == kInts || t == kStrings; };
    if (is_list(type) && is_list(attribute.type) && lists.floats.empty() && lists.ints.empty() && lists.strings.empty()) return true;
    if (!failure_) failure_ = wrong_type(*current_, attribute_type_name(type));
    return false;
  }

  void convert(const AttributeProto& from, int64_t& to) {
    if (is(from, AttributeType::kInt)) to = from.i;
  }
  void convert(const AttributeProto& from, float& to) {
    if (is(from, AttributeType::kFloat)) to = from.f;
  }
  void convert(const AttributeProto& from, std::string& to) {
    if (from.type == AttributeType::kTypeProto) {
      const auto type = to_type(from.lists().type_protos.front());
      if (type.ok())
        to = type->to_string();
      else if (!failure_)
        failure_ = Error(type.error()).in(fmt::format("attribute {}", quoted(current_->name)));
    } else if (is(from, AttributeType::kString)) {
      to = from.s;
    }
  }
  void convert(const AttributeProto& from, std::vector<int64_t>& to) {
    if (is(from, AttributeType::kInts)) to = from.lists().ints;
  }
  void convert(const AttributeProto& from, std::vector<float>& to) {
    if (is(from, AttributeType::kFloats)) to = from.lists().floats;
  }
  void convert(const AttributeProto& from, std::vector<std::string>& to) {
    if (is(from, AttributeType::kStrings)) to.assign(from.lists().strings.begin(), from.lists().strings.end());
  }
  void convert(const AttributeProto& from, Tensor& to) {
    if (!is(from, AttributeType::kTensor)) return;
    auto tensor = read_tensor_(from.lists().tensors.front());
    if (tensor.ok())
      to = std::move(*tensor);
    else if (!failure_)
      failure_ = std::move(tensor).error().in(fmt::format("attribute {}", quoted(current_->name)));
  }

  template <class T>
  void set(const char* name, T& value) {
    if (const AttributeProto* attribute = take(name)) convert(*attribute, value);
  }
  template <class T>
  void set_optional(const char* name, std::optional<T>& value) {
    if (const AttributeProto* attribute = take(name)) convert(*attribute, value.emplace());
  }

  const std::vector<Attribute>& attributes_;
  const TensorReader& read_tensor_;
  std::vector<char> taken_;
  std::vector<const char*> names_;
  const Attribute* current_ = nullptr;
  std::optional<Error> failure_;
};

}  // namespace

Result<std::shared_ptr<const ir::Attrs>> read_attributes(const ops::OpDef& op, const std::vector<Attribute>& attributes,
                                                         const TensorReader& read_tensor) {
  std::unique_ptr<ir::Attrs> attrs = op.make_attrs();
  Reader reader(attributes, read_tensor);
  attrs->visit(reader);
  CAMEO_TRY(reader.finish(op));
  return std::shared_ptr<const ir::Attrs>(std::move(attrs));
}

}  // namespace cameo::onnx
