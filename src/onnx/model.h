// An ONNX file as it stands in its bytes: light structs whose names and data are views into the file. Nothing is
// checked here but the wire format; import.h checks the meaning. Fields are named as in onnx.proto.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace cameo::onnx {

struct GraphProto;
struct TypeProto;

struct StringPair {
  std::string_view key, value;
};

struct OpsetId {
  std::string_view domain;
  int64_t version = 0;
};

struct TensorProto {
  std::string_view name;
  int32_t data_type = 0;
  std::vector<int64_t> dims;
  bool has_segment = false;
  bool has_raw_data = false;
  std::string_view raw_data;
  bool external = false;  // data_location is EXTERNAL
  std::vector<StringPair> external_data;
  std::string_view message;  // the tensor's own bytes, where the typed fields are read from when they are wanted
};

struct SparseTensorProto {
  TensorProto values, indices;
  std::vector<int64_t> dims;
};

struct DimensionProto {
  enum class Kind : uint8_t { kUnset, kValue, kParam };
  Kind kind = Kind::kUnset;
  int64_t dim_value = 0;
  std::string_view dim_param;
  std::string_view denotation;
};

struct TypeProto {
  enum class Kind : uint8_t { kUnset, kTensor, kSequence, kMap, kOptional, kSparseTensor, kOpaque };
  Kind kind = Kind::kUnset;
  int32_t elem_type = 0;                             // of a tensor or sparse tensor; the key type of a map
  std::optional<std::vector<DimensionProto>> shape;  // of a tensor or sparse tensor
  std::shared_ptr<const TypeProto> element;          // of a sequence, optional or map (its values); may be null
  std::string_view denotation;
};

struct ValueInfoProto {
  std::string_view name;
  TypeProto type;
};

// The numbers are those of AttributeProto.AttributeType.
enum class AttributeType : int32_t {
  kUndefined = 0,
  kFloat = 1,
  kInt = 2,
  kString = 3,
  kTensor = 4,
  kGraph = 5,
  kFloats = 6,
  kInts = 7,
  kStrings = 8,
  kTensors = 9,
  kGraphs = 10,
  kSparseTensor = 11,
  kSparseTensors = 12,
  kTypeProto = 13,
  kTypeProtos = 14,
};
// "float", "ints", "graph", …
std::string_view attribute_type_name(AttributeType type);

struct AttributeLists;

struct AttributeProto {
  std::string_view name;
  std::string_view ref_attr_name;
  // As the file says; where it says nothing (files before IR version 2), by the field that is set.
  AttributeType type = AttributeType::kUndefined;
  float f = 0;
  int64_t i = 0;
  std::string_view s;

  // Everything but a lone number or string; kept apart because most attributes have none of it.
  const AttributeLists& lists() const;
  AttributeLists& mutable_lists();

 private:
  std::shared_ptr<AttributeLists> lists_;
};

struct AttributeLists {
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings;
  std::vector<TensorProto> tensors;  // t, or tensors
  std::vector<GraphProto> graphs;    // g, or graphs
  std::vector<SparseTensorProto> sparse_tensors;
  std::vector<TypeProto> type_protos;
};

struct NodeProto {
  std::string_view name, op_type, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeProto> attributes;
  std::vector<StringPair> metadata;
};

struct GraphProto {
  std::string_view name;
  std::vector<NodeProto> nodes;
  std::vector<TensorProto> initializers;
  std::vector<SparseTensorProto> sparse_initializers;
  std::vector<ValueInfoProto> inputs, outputs, value_infos;
  std::vector<StringPair> metadata;
};

struct FunctionProto {
  std::string_view name, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<std::string_view> attributes;        // parameters without a default
  std::vector<AttributeProto> default_attributes;  // parameters with one
  std::vector<NodeProto> nodes;
  std::vector<OpsetId> opset_imports;
  std::vector<StringPair> metadata;
};

struct Model {
  int64_t ir_version = 0;
  std::string_view producer_name, producer_version, domain;
  int64_t model_version = 0;
  std::vector<OpsetId> opset_imports;
  std::vector<StringPair> metadata;
  GraphProto graph;
  std::vector<FunctionProto> functions;

  std::string path;                   // of the file, for messages; empty when read from memory
  std::string base_dir;               // where external data is looked for; empty when there is no such place
  std::shared_ptr<const void> owner;  // keeps the bytes alive
};

// Subgraphs in subgraphs, and types in types, nest at most this deep.
inline constexpr int kMaxNesting = 64;

// Maps the file. Fails with kIo when it cannot be read, and with kInvalidModel, naming the byte, when it is damaged;
// a file of another format is named when it is a known one.
Result<Model> read_model(const std::string& path);
// `owner` keeps `bytes` alive; without it the caller keeps them as long as the model and all that is imported from it.
Result<Model> read_model(std::span<const std::byte> bytes, std::string base_dir, std::shared_ptr<const void> owner = nullptr);

// A lone TensorProto, as in the .pb files of ONNX's test data. `bytes` must outlive it.
Result<TensorProto> read_tensor_proto(std::span<const std::byte> bytes);

}  // namespace cameo::onnx
