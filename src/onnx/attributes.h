// A node's attributes, with references to function parameters resolved, read into an operator's struct.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "ir/attrs.h"
#include "onnx/model.h"
#include "ops/op.h"

namespace cameo::onnx {

struct Scope;

struct Attribute {
  std::string_view name;
  const AttributeProto* value = nullptr;
  const Scope* scope = nullptr;  // where names inside a graph are looked up: that of the node which holds the value
};

using TensorReader = std::function<Result<Tensor>(const TensorProto&)>;

// The operator's attributes, filled from `attributes`. kUnsupported for one that the operator does not have (the message
// lists those it has), kInvalidModel for a value of the wrong type or a tensor that is damaged. Graphs are left out, but
// must be among op.subgraphs.
Result<std::shared_ptr<const ir::Attrs>> read_attributes(const ops::OpDef& op, const std::vector<Attribute>& attributes,
                                                         const TensorReader& read_tensor);

}  // namespace cameo::onnx
