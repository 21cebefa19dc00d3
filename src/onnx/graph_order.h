// The order in which the nodes of a graph can run, found without trusting the order in the file.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "onnx/model.h"

namespace cameo::onnx {

// Sorts lists of nodes by what they read, directly and from inside their subgraphs, and keeps the results: functions
// are imported many times. Takes time linear in the size of the model, whatever its nesting.
class GraphOrder {
 public:
  // Indices into `nodes`, in the file's order wherever that is possible. `defined` are the names that the graph has
  // before any node runs. Errors: a name that is made twice, a cycle; both give the names.
  Result<const std::vector<uint32_t>*> order(const std::vector<NodeProto>& nodes, const std::vector<std::string_view>& defined);

 private:
  // Names that a graph reads and does not define itself.
  const std::vector<std::string_view>& free_names(const GraphProto& graph);
  template <class Fn>
  void for_each_read(const NodeProto& node, Fn fn);

  std::unordered_map<const void*, std::vector<uint32_t>> orders_;
  std::unordered_map<const GraphProto*, std::vector<std::string_view>> free_names_;
};

// "node 'encoder/MatMul' (MatMul)", "node #12 (Add)"
std::string describe(const NodeProto& node, size_t index);

}  // namespace cameo::onnx
