// Building a graph of ONNX operators from a model's configuration and parameters.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "huggingface/config.h"
#include "huggingface/weights.h"
#include "ir/graph.h"
#include "passes/attributes.h"

namespace cameo::huggingface {

// Adds nodes in the order in which they run. The first thing that goes wrong is kept and finish() reports it; until then
// the functions go on and their results do not matter, so that an architecture reads like its formula.
class ModelBuilder {
 public:
  // With `hidden_states` a causal language model is made an encoder.
  ModelBuilder(Config& config, Weights& weights, bool hidden_states = false)
      : config_(config), weights_(weights), hidden_states_(hidden_states) {}

  ir::ValueId input(const std::string& name, DType type, ir::Shape shape);
  void output(const std::string& name, ir::ValueId value);

  // Nodes made from now on are named after this part of the model ("encoder.layer.0.").
  void scope(std::string path) { scope_ = std::move(path); }

  // A node of the newest version of the ai.onnx operator.
  ir::ValueId op(const std::string& name, std::vector<ir::ValueId> inputs, const passes::AttrList& attrs = {});
  std::vector<ir::ValueId> op(const std::string& name, std::vector<ir::ValueId> inputs, size_t outputs, const passes::AttrList& attrs);

  ir::ValueId constant(const std::string& name, Tensor tensor);
  ir::ValueId ints(std::initializer_list<int64_t> values);
  ir::ValueId scalar(float value);
  // A parameter as a float32 constant; the same one for the same name.
  ir::ValueId parameter(const std::string& name, const Dims& dims);

  // Rows of the parameter, of `rows` rows and `width` columns, by number.
  ir::ValueId lookup(const std::string& name, ir::ValueId ids, int64_t rows, int64_t width);
  // x W' + b, with the parameters PREFIX.weight [out, in] and, where there is one, PREFIX.bias.
  ir::ValueId linear(ir::ValueId x, const std::string& prefix, int64_t in, int64_t out);
  // Several such products of one x.
  std::vector<ir::ValueId> linears(ir::ValueId x, const std::vector<std::string>& prefixes, int64_t in, const std::vector<int64_t>& out);
  // With PREFIX.weight and PREFIX.bias.
  ir::ValueId layer_norm(ir::ValueId x, const std::string& prefix, int64_t width, float epsilon);
  ir::ValueId rms_norm(ir::ValueId x, const std::string& prefix, int64_t width, float epsilon);
  // A function by its name in config.json ("gelu", "gelu_new", "silu", …).
  ir::ValueId activation(ir::ValueId x, const std::string& name);

  bool failed() const { return config_.problem().has_value(); }
  void fail(const Error& error) { config_.fail(error.code(), error.message()); }
  Config& config() { return config_; }
  Weights& weights() { return weights_; }
  bool hidden_states() const { return hidden_states_; }

  // The graph, its types inferred.
  Result<ir::Graph> finish(const std::string& name);

 private:
  ir::ValueId value_of(const std::string& name);
  // ai.cameo.QuantizedWeightMatMul; its results without biases.
  std::vector<ir::ValueId> packed_product(ir::ValueId x, const PackedWeight& weight, const std::vector<int64_t>& out);

  Config& config_;
  Weights& weights_;
  bool hidden_states_;
  ir::Graph graph_;
  std::string scope_;
  std::map<std::string, ir::ValueId> parameters_;
};

}  // namespace cameo::huggingface
