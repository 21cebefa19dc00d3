// From a graph to an ONNX model, to look at with other tools or to run elsewhere.
#pragma once

#include <string>

#include "ir/graph.h"

namespace cameo::onnx {

struct WriteOptions {
  std::string producer_version = {};
  // When the constants come to more bytes than this, those of 1 KiB or more go to a file of their own beside the model.
  int64_t max_inline_bytes = int64_t{64} << 20;
};

// The bytes of the model, with all constants in them. Importing them gives the graph back, with the same names (but
// for constants of a subgraph that share a name with a value around it). kUnsupported for a graph that ONNX cannot
// say: nodes of one domain but different opset versions, or more than 2 GiB.
Result<std::string> serialize_model(const ir::Graph& graph, const WriteOptions& options = {});

// Writes `path`, and `path` + ".data" when constants go there. The files appear whole or not at all.
Status write_model(const ir::Graph& graph, const std::string& path, const WriteOptions& options = {});

}  // namespace cameo::onnx
