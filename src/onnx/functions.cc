#include "onnx/functions.h"

#include <algorithm>
#include <set>

#include "onnx/text.h"

namespace cameo::onnx {
namespace {

constexpr int64_t kUncountable = int64_t{1} << 60;
// Functions that call functions, at most this deep.
constexpr size_t kMaxCallDepth = 100;

std::string function_name(const FunctionProto& function) {
  std::string name = function.domain.empty() ? std::string(function.name) : fmt::format("{}.{}", function.domain, function.name);
  if (!function.overload.empty()) name += fmt::format(":{}", function.overload);
  return quoted(name);
}

Status check_parameters(const FunctionProto& function) {
  std::set<std::string_view> seen;
  const auto add = [&](std::string_view name, const char* what) -> Status {
    if (name.empty()) return error(ErrorCode::kInvalidModel, "function {} has an {} without a name", function_name(function), what);
    if (!seen.insert(name).second)
      return error(ErrorCode::kInvalidModel, "function {} has two {}s {}", function_name(function), what, quoted(name));
    return {};
  };
  for (std::string_view name : function.inputs) CAMEO_TRY(add(name, "input"));
  seen.clear();
  for (std::string_view name : function.outputs) CAMEO_TRY(add(name, "output"));
  seen.clear();
  for (std::string_view name : function.attributes) CAMEO_TRY(add(name, "attribute"));
  for (const AttributeProto& attribute : function.default_attributes) {
    CAMEO_TRY(add(attribute.name, "attribute"));
    if (!attribute.ref_attr_name.empty())
      return error(ErrorCode::kInvalidModel, "function {}: the default of attribute {} refers to another attribute",
                   function_name(function), quoted(attribute.name));
  }
  return {};
}

}  // namespace

Status FunctionTable::build(const Model& model, int64_t max_inlined_nodes) {
  for (const FunctionProto& function : model.functions) {
    if (!functions_.emplace(Key(normal_domain(function.domain), function.name, function.overload), &function).second)
      return error(ErrorCode::kInvalidModel, "function {} is defined twice", function_name(function));
    CAMEO_TRY(check_parameters(function));
  }
  if (functions_.empty()) return {};
  for (const FunctionProto& function : model.functions) CAMEO_TRY(function_size(function));
  CAMEO_ASSIGN(const int64_t total, inlined_nodes(model.graph.nodes, 0));
  if (total <= max_inlined_nodes) return {};
  return error(ErrorCode::kInvalidModel, "the model's functions, written out where they are called, come to {} nodes; the limit is {}",
               total >= kUncountable ? "more than 10^18" : std::to_string(total), max_inlined_nodes);
}

const FunctionProto* FunctionTable::find(const NodeProto& node) const {
  if (functions_.empty()) return nullptr;
  const auto it = functions_.find(Key(normal_domain(node.domain), node.op_type, node.overload));
  return it == functions_.end() ? nullptr : it->second;
}

Result<int64_t> FunctionTable::inlined_nodes(const std::vector<NodeProto>& nodes, int64_t own) {
  int64_t total = own * static_cast<int64_t>(nodes.size());
  for (const NodeProto& node : nodes) {
    if (const FunctionProto* called = find(node)) {
      CAMEO_ASSIGN(const int64_t size, function_size(*called));
      total = std::min(total + size, kUncountable);
    }
    for (const AttributeProto& attribute : node.attributes)
      for (const GraphProto& graph : attribute.lists().graphs) {
        CAMEO_ASSIGN(const int64_t size, inlined_nodes(graph.nodes, own));
        total = std::min(total + size, kUncountable);
      }
  }
  return total;
}

Result<int64_t> FunctionTable::function_size(const FunctionProto& function) {
  if (const auto it = sizes_.find(&function); it != sizes_.end()) return it->second;
  if (const auto it = std::find(open_.begin(), open_.end(), &function); it != open_.end()) {
    std::string cycle;
    for (auto at = it; at != open_.end(); ++at) cycle += function_name(**at) + " calls ";
    return error(ErrorCode::kInvalidModel, "function {} is recursive: {}{}", function_name(function), cycle, function_name(function));
  }
  if (open_.size() >= kMaxCallDepth)
    return error(ErrorCode::kInvalidModel, "functions call each other more than {} deep, at {}", kMaxCallDepth, function_name(function));
  open_.push_back(&function);
  CAMEO_ASSIGN(const int64_t size, inlined_nodes(function.nodes, 1));
  open_.pop_back();
  sizes_.emplace(&function, size);
  return size;
}

}  // namespace cameo::onnx
