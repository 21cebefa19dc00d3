// Attributes by their ONNX names: passes do not see the structs that operators keep to themselves.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ops/op.h"

namespace cameo::passes {

using AttrValue = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>, std::vector<std::string>, Tensor>;

// The attribute as it is set, or with the operator's default; nothing when the operator has no attribute of that
// name and type, or it is optional and absent.
std::optional<AttrValue> find_attr(const ir::Attrs& attrs, std::string_view name);

template <class T>
std::optional<T> attr(const ir::Node& node, std::string_view name) {
  auto value = find_attr(*node.attrs, name);
  if (!value || !std::holds_alternative<T>(*value)) return std::nullopt;
  return std::get<T>(*std::move(value));
}

using AttrList = std::vector<std::pair<std::string, AttrValue>>;

// The operator's attributes with these set. A name or type that the operator lacks is kInternal.
Result<std::shared_ptr<const ir::Attrs>> make_attrs(const ops::OpDef& op, const AttrList& list);
// The node's attributes with these changed; the same errors.
Result<std::shared_ptr<const ir::Attrs>> changed_attrs(const ir::Node& node, const AttrList& list);

}  // namespace cameo::passes
