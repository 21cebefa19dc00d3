// The functions that a model defines itself.
#pragma once

#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "onnx/model.h"

namespace cameo::onnx {

// "" for "ai.onnx", the name of the default domain; other domains as they are.
inline std::string_view normal_domain(std::string_view domain) { return domain == "ai.onnx" ? std::string_view() : domain; }

class FunctionTable {
 public:
  // Errors: a function defined twice, with repeated parameters, or that calls itself, directly, through others or from
  // inside a subgraph (the cycle is named); a model whose functions, written out where they are called, come to more
  // than `max_inlined_nodes` nodes.
  Status build(const Model& model, int64_t max_inlined_nodes);

  // The function that the node calls, or null.
  const FunctionProto* find(const NodeProto& node) const;

 private:
  using Key = std::tuple<std::string_view, std::string_view, std::string_view>;  // domain, name, overload

  // Nodes that importing `nodes` adds through functions; each of its own, and of its subgraphs, counts `own`.
  Result<int64_t> inlined_nodes(const std::vector<NodeProto>& nodes, int64_t own);
  Result<int64_t> function_size(const FunctionProto& function);

  std::map<Key, const FunctionProto*> functions_;
  std::unordered_map<const FunctionProto*, int64_t> sizes_;  // nodes of each function with all that it calls
  std::vector<const FunctionProto*> open_;                   // being measured
};

}  // namespace cameo::onnx
