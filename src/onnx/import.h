// From an ONNX model to a graph that Cameo can optimise and run.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "onnx/model.h"

namespace cameo::onnx {

struct ImportOptions {
  // Initializers that are listed as graph inputs too are values that a caller may replace. By default they become
  // constants; with this they become inputs, and ImportedModel::input_defaults holds their values.
  bool keep_initializer_inputs = false;
  // Succeeds although there are nodes that cannot be run, to look at the model: they are missing from the graph, and
  // values that they make have no producer, so the graph can be printed but not verified or run.
  bool allow_unsupported = false;
  // Tensors in external files that are not there become zeros, to look at a model without its weights.
  bool allow_missing_external_data = false;
  // A folder outside of the model's own that external data may lie in (see ExternalFiles).
  std::string external_data_root = {};
  // Functions written out where they are called may add this many nodes.
  int64_t max_inlined_nodes = 1'000'000;
};

// A node, or an input of the graph, that Cameo cannot run.
struct UnsupportedNode {
  std::string path;  // as in ir::Node::sources
  std::string domain, op_type;
  int64_t version = 0;  // of the domain; 0 when the model imports none
  std::string reason;
  ErrorCode code = ErrorCode::kUnsupported;  // kInvalidModel when the node breaks ONNX's rules
};

struct ImportedModel {
  ir::Graph graph;
  std::vector<UnsupportedNode> unsupported;
  std::map<std::string, int64_t> opsets;           // by domain; "" is ai.onnx
  std::map<std::string, int64_t> operator_counts;  // "Conv", "ai.onnx.ml.Scaler": nodes, also inside subgraphs and functions
  std::map<std::string, Tensor> input_defaults;    // see keep_initializer_inputs
  std::vector<std::string> missing_external_data;  // tensors that were made zeros
  std::vector<std::pair<std::string, std::string>> metadata;
  std::string producer;  // "pytorch 2.9.0"
  int64_t ir_version = 0;
};

// Checks the model's rules and builds the graph:
//  - initializers and Constant nodes become constants, sparse ones dense ones;
//  - calls of the model's own functions are replaced by their nodes;
//  - subgraphs take what they read from around them as explicit captures;
//  - nodes are put in an order that can run, whatever the order in the file;
//  - names of inputs and outputs are kept; a node's name and source is its path: its name in the file, or
//    "#12:MatMul", after the paths of the function calls and "If_0.then_branch" of the subgraphs that it stands in;
//  - types that the file declares are taken over, not checked against each other (ir::infer_types does).
// A model that breaks the rules is kInvalidModel. Nodes that cannot be run are collected in `unsupported`, all of
// them; then the import fails naming the first few, unless options.allow_unsupported.
// Constants view the model's memory and keep model.owner alive. `model` itself need not outlive the call.
Result<ImportedModel> import_model(const Model& model, const ImportOptions& options = {});

}  // namespace cameo::onnx
