// Small ONNX files for tests, written field by field so that they can be wrong in any way.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <protozero/pbf_writer.hpp>

#include "onnx/import.h"
#include "onnx/model.h"

namespace cameo::onnx::test {

// A message is the concatenation of its fields; each function below gives one field or one message.
inline std::string number(uint32_t field, int64_t value) {
  std::string out;
  protozero::pbf_writer(out).add_int64(field, value);
  return out;
}
inline std::string bytes(uint32_t field, std::string_view value) {
  std::string out;
  protozero::pbf_writer(out).add_bytes(field, value.data(), value.size());
  return out;
}
inline std::string float32(uint32_t field, float value) {
  std::string out;
  protozero::pbf_writer(out).add_float(field, value);
  return out;
}
inline std::string numbers(uint32_t field, const std::vector<int64_t>& values) {
  std::string out;
  protozero::pbf_writer(out).add_packed_int64(field, values.begin(), values.end());
  return out;
}
template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// TensorProto
inline std::string tensor_head(std::string_view name, int type, const std::vector<int64_t>& dims) {
  return numbers(1, dims) + number(2, type) + (name.empty() ? "" : bytes(8, name));
}
inline std::string tensor(std::string_view name, int type, const std::vector<int64_t>& dims, std::string_view raw_data) {
  return tensor_head(name, type, dims) + bytes(9, raw_data);
}
inline std::string float_tensor(std::string_view name, const std::vector<int64_t>& dims, const std::vector<float>& values) {
  return tensor(name, 1, dims, raw(values));
}
using Entries = std::vector<std::pair<std::string, std::string>>;
inline std::string external_tensor(std::string_view name, int type, const std::vector<int64_t>& dims, const Entries& entries) {
  std::string out = tensor_head(name, type, dims);
  for (const auto& [key, value] : entries) out += bytes(13, bytes(1, key) + bytes(2, value));
  return out + number(14, 1);
}

// TypeProto; extents below -1 are left out, names are not: {"batch", 3}
struct Extent {
  Extent(int64_t value) : value(value) {}
  Extent(const char* name) : name(name) {}
  int64_t value = 0;
  std::string name;
};
inline std::string tensor_type(int type, const std::vector<Extent>& dims) {
  std::string shape;
  for (const Extent& d : dims) shape += bytes(1, d.name.empty() ? number(1, d.value) : bytes(2, d.name));
  return bytes(1, number(1, type) + bytes(2, shape));
}
inline std::string value_info(std::string_view name, std::string_view type) { return bytes(1, name) + bytes(2, type); }

// AttributeProto
inline std::string attribute(std::string_view name, int type, std::string_view value) {
  return bytes(1, name) + number(20, type) + std::string(value);
}
inline std::string int_attribute(std::string_view name, int64_t value) { return attribute(name, 2, number(3, value)); }
inline std::string tensor_attribute(std::string_view name, std::string_view tensor) { return attribute(name, 4, bytes(5, tensor)); }
inline std::string graph_attribute(std::string_view name, std::string_view graph) { return attribute(name, 5, bytes(6, graph)); }
inline std::string reference(std::string_view name, int type, std::string_view parameter) {
  return attribute(name, type, bytes(21, parameter));
}

// NodeProto
using Names = std::vector<std::string>;
inline std::string node(std::string_view op_type, const Names& inputs, const Names& outputs, const Names& attributes = {},
                        std::string_view name = "", std::string_view domain = "") {
  std::string out;
  for (const std::string& input : inputs) out += bytes(1, input);
  for (const std::string& output : outputs) out += bytes(2, output);
  if (!name.empty()) out += bytes(3, name);
  out += bytes(4, op_type);
  for (const std::string& a : attributes) out += bytes(5, a);
  if (!domain.empty()) out += bytes(7, domain);
  return out;
}

// GraphProto
struct GraphParts {
  Names nodes = {};
  Names inputs = {};        // ValueInfoProtos
  Names outputs = {};       // ValueInfoProtos
  Names initializers = {};  // TensorProtos
  Names value_infos = {};
  std::string more = {};  // further fields
};
inline std::string graph(const GraphParts& parts) {
  std::string out;
  for (const std::string& m : parts.nodes) out += bytes(1, m);
  out += bytes(2, "g");
  for (const std::string& m : parts.initializers) out += bytes(5, m);
  for (const std::string& m : parts.inputs) out += bytes(11, m);
  for (const std::string& m : parts.outputs) out += bytes(12, m);
  for (const std::string& m : parts.value_infos) out += bytes(13, m);
  return out + parts.more;
}

// FunctionProto
struct FunctionParts {
  std::string name;
  Names inputs = {}, outputs = {}, attributes = {};
  Names nodes = {};
  Names defaults = {};  // AttributeProtos
  std::string domain = "local";
  std::string more = {};
  int opset = 17;
};
inline std::string opset(std::string_view domain, int64_t version) { return bytes(1, domain) + number(2, version); }
inline std::string function(const FunctionParts& parts) {
  std::string out = bytes(1, parts.name);
  for (const std::string& m : parts.inputs) out += bytes(4, m);
  for (const std::string& m : parts.outputs) out += bytes(5, m);
  for (const std::string& m : parts.attributes) out += bytes(6, m);
  for (const std::string& m : parts.nodes) out += bytes(7, m);
  for (const std::string& m : parts.defaults) out += bytes(11, m);
  return out + bytes(9, opset("", parts.opset)) + bytes(9, opset("local", 1)) + bytes(10, parts.domain) + parts.more;
}

// ModelProto
inline std::string model(std::string_view graph, const Names& functions = {}, std::string_view more = {}) {
  std::string out = number(1, 10) + bytes(2, "test") + bytes(8, opset("", 17)) + bytes(8, opset("local", 1));
  for (const std::string& f : functions) out += bytes(25, f);
  return out + std::string(more) + bytes(7, graph);
}

// x: float32[N, 4]; y: float32
inline std::string input_x() { return value_info("x", tensor_type(1, {"N", 4})); }
inline std::string output_y() { return value_info("y", bytes(1, number(1, 1))); }
// A model from x to y of these nodes.
inline std::string model_of(const Names& nodes, const Names& functions = {}) {
  return model(graph({.nodes = nodes, .inputs = {input_x()}, .outputs = {output_y()}}), functions);
}
// A model from x to y that also has these initializers.
inline std::string model_with(const Names& initializers) {
  return model(
      graph({.nodes = {node("Softmax", {"x"}, {"y"})}, .inputs = {input_x()}, .outputs = {output_y()}, .initializers = initializers}));
}

// `text` must outlive the result.
inline Result<ImportedModel> import_bytes(const std::string& text, const ImportOptions& options = {}, const std::string& base_dir = "") {
  auto model = read_model(std::as_bytes(std::span(text)), base_dir);
  if (!model.ok()) return std::move(model).error();
  return import_model(*model, options);
}

}  // namespace cameo::onnx::test
