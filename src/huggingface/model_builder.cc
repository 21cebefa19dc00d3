#include "huggingface/model_builder.h"

#include <algorithm>

#include "ops/cameo_quantized_weight_matmul.h"
#include "ops/op.h"

namespace cameo::huggingface {

ir::ValueId ModelBuilder::input(const std::string& name, DType type, ir::Shape shape) {
  const ir::ValueId id = graph_.add_value(name, ir::Type::tensor(type, std::move(shape)));
  graph_.inputs.push_back(id);
  return id;
}

void ModelBuilder::output(const std::string& name, ir::ValueId value) {
  if (failed()) return;
  // A node of its own, so that the output has the name that is asked for.
  ir::Node node;
  node.op = ops::find_op("", "Identity");
  node.version = node.op->max_version;
  node.name = name;
  node.sources = {name};
  node.attrs = node.op->make_attrs();
  node.inputs = {value};
  node.outputs = {graph_.add_value(name)};
  graph_.outputs.push_back(node.outputs[0]);
  graph_.nodes.push_back(std::move(node));
}

std::vector<ir::ValueId> ModelBuilder::op(const std::string& name, std::vector<ir::ValueId> inputs, size_t outputs,
                                          const passes::AttrList& attrs) {
  std::vector<ir::ValueId> results(outputs, 0);
  if (failed()) return results;
  ir::Node node;
  node.op = ops::find_op("", name);
  if (node.op == nullptr) {
    fail(error(ErrorCode::kInternal, "there is no operator {}", name));
    return results;
  }
  auto made = passes::make_attrs(*node.op, attrs);
  if (!made.ok()) {
    fail(made.error());
    return results;
  }
  node.version = node.op->max_version;
  node.name = scope_ + name;
  node.sources = {node.name};
  node.attrs = std::move(made).value();
  node.inputs = std::move(inputs);
  for (ir::ValueId& id : results) id = graph_.add_value(scope_ + name);
  node.outputs = results;
  graph_.nodes.push_back(std::move(node));
  return results;
}

ir::ValueId ModelBuilder::op(const std::string& name, std::vector<ir::ValueId> inputs, const passes::AttrList& attrs) {
  return op(name, std::move(inputs), 1, attrs)[0];
}

ir::ValueId ModelBuilder::constant(const std::string& name, Tensor tensor) { return graph_.add_constant(name, std::move(tensor)); }

ir::ValueId ModelBuilder::ints(std::initializer_list<int64_t> values) {
  return constant("ints", Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

ir::ValueId ModelBuilder::scalar(float value) { return constant("scalar", Tensor::of<float>({}, {value})); }

ir::ValueId ModelBuilder::parameter(const std::string& name, const Dims& dims) {
  if (failed()) return 0;
  if (const auto it = parameters_.find(name); it != parameters_.end()) return it->second;
  auto tensor = weights_.floats(name, dims);
  if (!tensor.ok()) {
    fail(tensor.error());
    return 0;
  }
  return parameters_[name] = constant(name, std::move(tensor).value());
}

ir::ValueId ModelBuilder::lookup(const std::string& name, ir::ValueId ids, int64_t rows, int64_t width) {
  if (failed()) return 0;
  auto table = weights_.table(name, {rows, width});
  if (!table.ok()) {
    fail(table.error());
    return 0;
  }
  const passes::AttrList to_float = {{"to", static_cast<int64_t>(DType::kFloat32)}};
  const auto rows_of = [&](const Tensor& t) { return op("Gather", {constant(name, t), ids}); };
  const auto floats_of = [&](const Tensor& t) { return t.dtype() == DType::kFloat32 ? rows_of(t) : op("Cast", {rows_of(t)}, to_float); };
  if (table->scales.defined())
    return op("DequantizeLinear", {rows_of(table->values), floats_of(table->scales)},
              {{"axis", int64_t{-1}}, {"block_size", table->group}});
  // A table that is read as a matrix too is kept once.
  if (table->values.dtype() == DType::kFloat32) return op("Gather", {parameter(name, {rows, width}), ids});
  return floats_of(table->values);
}

std::vector<ir::ValueId> ModelBuilder::packed_product(ir::ValueId x, const PackedWeight& weight, const std::vector<int64_t>& out) {
  auto attrs = std::make_shared<ops::CameoQuantizedWeightMatMulAttrs>();
  static_cast<ops::QuantizedWeightAttrs&>(*attrs) = weight.attrs;
  if (out.size() > 1) attrs->splits = out;
  ir::Node node;
  node.op = ops::find_op(ops::kCameoDomain, "QuantizedWeightMatMul");
  node.version = 1;
  node.name = scope_ + "MatMul";
  node.sources = {node.name};
  node.attrs = std::move(attrs);
  node.inputs = {x};
  for (const Tensor* t : {&weight.tensors.values, &weight.tensors.scales, &weight.tensors.zeros})
    node.inputs.push_back(t->defined() ? constant(scope_ + "weight", *t) : ir::kNoValue);
  while (node.inputs.back() == ir::kNoValue) node.inputs.pop_back();
  for (size_t i = 0; i < out.size(); ++i) node.outputs.push_back(graph_.add_value(scope_ + "MatMul"));
  graph_.nodes.push_back(node);
  return node.outputs;
}

std::vector<ir::ValueId> ModelBuilder::linears(ir::ValueId x, const std::vector<std::string>& prefixes, int64_t in,
                                               const std::vector<int64_t>& out) {
  std::vector<ir::ValueId> results(prefixes.size(), 0);
  if (failed()) return results;
  std::vector<std::string> names;
  for (const std::string& prefix : prefixes) names.push_back(prefix + ".weight");
  auto packed = weights_.packed(names, out, in);
  if (!packed.ok()) {
    fail(packed.error());
    return results;
  }
  if (*packed) {
    scope(prefixes[0] + ".");
    results = packed_product(x, **packed, out);
  } else if (prefixes.size() > 1) {
    for (size_t i = 0; i < prefixes.size(); ++i) results[i] = linear(x, prefixes[i], in, out[i]);
    return results;
  } else {
    scope(prefixes[0] + ".");
    const ir::ValueId w = op("Transpose", {parameter(names[0], {out[0], in})}, {{"perm", std::vector<int64_t>{1, 0}}});
    results[0] = op("MatMul", {x, w});
  }
  for (size_t i = 0; i < prefixes.size(); ++i)
    if (weights_.has(prefixes[i] + ".bias")) results[i] = op("Add", {results[i], parameter(prefixes[i] + ".bias", {out[i]})});
  return results;
}

ir::ValueId ModelBuilder::linear(ir::ValueId x, const std::string& prefix, int64_t in, int64_t out) {
  return linears(x, {prefix}, in, {out})[0];
}

ir::ValueId ModelBuilder::layer_norm(ir::ValueId x, const std::string& prefix, int64_t width, float epsilon) {
  scope(prefix + ".");
  return op("LayerNormalization", {x, parameter(prefix + ".weight", {width}), parameter(prefix + ".bias", {width})},
            {{"axis", int64_t{-1}}, {"epsilon", epsilon}});
}

ir::ValueId ModelBuilder::rms_norm(ir::ValueId x, const std::string& prefix, int64_t width, float epsilon) {
  scope(prefix + ".");
  return op("RMSNormalization", {x, parameter(prefix + ".weight", {width})}, {{"axis", int64_t{-1}}, {"epsilon", epsilon}});
}

ir::ValueId ModelBuilder::activation(ir::ValueId x, const std::string& name) {
  if (name == "gelu") return op("Gelu", {x});
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return op("Gelu", {x}, {{"approximate", std::string("tanh")}});
  if (name == "relu") return op("Relu", {x});
  if (name == "silu" || name == "swish") return op("Mul", {x, op("Sigmoid", {x})});
  fail(error(ErrorCode::kUnsupported, "activation '{}' is not known; known are gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu and silu",
             name.substr(0, 60)));
  return 0;
}

Result<ir::Graph> ModelBuilder::finish(const std::string& name) {
  CAMEO_TRY(config_.status());
  graph_.name = name;
  // The result proper comes first, the caches of the layers after it.
  if (!graph_.outputs.empty()) std::rotate(graph_.outputs.begin(), graph_.outputs.end() - 1, graph_.outputs.end());
  CAMEO_TRY(ir::infer_types(graph_));
  return std::move(graph_);
}

}  // namespace cameo::huggingface
