#include "onnx/write.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <protozero/pbf_writer.hpp>

#include "base/file.h"
#include "onnx/model.h"
#include "ops/op.h"

namespace cameo::onnx {
namespace {

using protozero::pbf_writer;

constexpr int64_t kMaxMessageBytes = (int64_t{1} << 31) - (int64_t{1} << 24);
constexpr int64_t kMinExternalBytes = 1024;
constexpr int64_t kExternalAlignment = 64;

// ---- types and tensors

// protozero leaves out a nested message that is empty, so those that mean something by being there are added as such.
void write_type(pbf_writer& out, const ir::Type& type) {
  if (type.kind == ir::Type::Kind::kUnknown) return;
  if (!type.is_tensor()) {
    const uint32_t field = type.kind == ir::Type::Kind::kSequence ? 4 : 9;
    if (type.element->kind == ir::Type::Kind::kUnknown) return out.add_message(field, std::string());
    pbf_writer body(out, field);
    pbf_writer element(body, 1);
    write_type(element, *type.element);
    return;
  }
  pbf_writer tensor(out, 1);
  tensor.add_int32(1, static_cast<int32_t>(type.dtype));
  if (!type.shape) return;
  std::string shape;
  pbf_writer dims(shape);
  for (const ir::Dim& extent : *type.shape) {
    std::string message;
    pbf_writer dim(message);
    if (extent.is_const())
      dim.add_int64(1, extent.value());
    else if (const auto symbol = extent.symbol_name())
      dim.add_string(2, *symbol);
    dims.add_message(1, message);
  }
  tensor.add_message(2, shape);
}

void write_value_info(pbf_writer& out, uint32_t field, const std::string& name, const ir::Type& type) {
  pbf_writer info(out, field);
  info.add_string(1, name);
  if (type.kind == ir::Type::Kind::kUnknown) return;
  pbf_writer proto(info, 2);
  write_type(proto, type);
}

// The elements as raw_data holds them: those of 4 and 2 bits several to a byte.
std::string pack(const Tensor& tensor) {
  const int bits = dtype_bits(tensor.dtype()), per_byte = 8 / bits;
  const auto count = static_cast<size_t>(tensor.num_elements());
  std::string bytes((count + per_byte - 1) / per_byte, '\0');
  const auto mask = static_cast<uint8_t>((1 << bits) - 1);
  for (size_t i = 0; i < count; ++i) bytes[i / per_byte] |= static_cast<char>((tensor.data<uint8_t>()[i] & mask) << (i % per_byte * bits));
  return bytes;
}

void write_tensor_head(pbf_writer& out, const Tensor& tensor, const std::string& name) {
  out.add_packed_int64(1, tensor.dims().begin(), tensor.dims().end());
  out.add_int32(2, static_cast<int32_t>(tensor.dtype()));
  if (!name.empty()) out.add_string(8, name);
}

void write_tensor(pbf_writer& out, const Tensor& tensor, const std::string& name = {}) {
  write_tensor_head(out, tensor, name);
  if (tensor.dtype() == DType::kString) {
    for (const std::string& text : tensor.span<std::string>()) out.add_bytes(6, text);
  } else if (dtype_bits(tensor.dtype()) < 8) {
    out.add_bytes(9, pack(tensor));
  } else {
    out.add_bytes(9, tensor.num_bytes() > 0 ? static_cast<const char*>(tensor.raw()) : "", tensor.num_bytes());
  }
}

// ---- attributes

// Collects every attribute that is set as the bytes of its AttributeProto.
class AttributeWriter final : public ir::AttrVisitor {
 public:
  explicit AttributeWriter(const ops::OpDef& op) : op_(op) {}
  std::vector<std::pair<std::string, std::string>> attributes;  // name, message

  void operator()(const char* name, int64_t& v) override {
    add(name, AttributeType::kInt, [&](pbf_writer& out) { out.add_int64(3, v); });
  }
  void operator()(const char* name, float& v) override {
    add(name, AttributeType::kFloat, [&](pbf_writer& out) { out.add_float(2, v); });
  }
  void operator()(const char* name, std::string& v) override {
    if (op_.name == "Optional" && std::string_view(name) == "type")
      if (const auto type = ir::type_from_string(v); type.ok())
        return add(name, AttributeType::kTypeProto, [&](pbf_writer& out) {
          pbf_writer proto(out, 14);
          write_type(proto, *type);
        });
    add(name, AttributeType::kString, [&](pbf_writer& out) { out.add_bytes(4, v); });
  }
  void operator()(const char* name, std::vector<int64_t>& v) override {
    add(name, AttributeType::kInts, [&](pbf_writer& out) { out.add_packed_int64(8, v.begin(), v.end()); });
  }
  void operator()(const char* name, std::vector<float>& v) override {
    add(name, AttributeType::kFloats, [&](pbf_writer& out) { out.add_packed_float(7, v.begin(), v.end()); });
  }
  void operator()(const char* name, std::vector<std::string>& v) override {
    add(name, AttributeType::kStrings, [&](pbf_writer& out) {
      for (const std::string& s : v) out.add_bytes(9, s);
    });
  }
  void operator()(const char* name, Tensor& v) override {
    if (!v.defined()) return;
    add(name, AttributeType::kTensor, [&](pbf_writer& out) {
      pbf_writer tensor(out, 5);
      write_tensor(tensor, v);
    });
  }
  void operator()(const char* name, std::optional<int64_t>& v) override { optional(name, v); }
  void operator()(const char* name, std::optional<float>& v) override { optional(name, v); }
  void operator()(const char* name, std::optional<std::string>& v) override { optional(name, v); }
  void operator()(const char* name, std::optional<std::vector<int64_t>>& v) override { optional(name, v); }
  void operator()(const char* name, std::optional<std::vector<float>>& v) override { optional(name, v); }
  void operator()(const char* name, std::optional<std::vector<std::string>>& v) override { optional(name, v); }

 private:
  template <class Fn>
  void add(const char* name, AttributeType type, Fn write_value) {
    std::string message;
    pbf_writer out(message);
    out.add_string(1, name);
    out.add_enum(20, static_cast<int32_t>(type));
    write_value(out);
    attributes.emplace_back(name, std::move(message));
  }
  template <class T>
  void optional(const char* name, std::optional<T>& v) {
    if (v) (*this)(name, *v);
  }

  const ops::OpDef& op_;
};

// Required by ONNX although the struct's default is a value of use: written always. Everything else is written only
// where it differs from the default, because an attribute may not exist in every version of the operator.
bool is_required(const ops::OpDef& op, std::string_view attribute) {
  return attribute == "axis" && (op.name == "Concat" || op.name == "ConcatFromSequence");
}

std::vector<std::string> attributes_to_write(const ir::Node& node) {
  AttributeWriter set(*node.op), defaults(*node.op);
  node.attrs->clone()->visit(set);
  node.op->make_attrs()->visit(defaults);
  std::vector<std::string> messages;
  for (auto& attribute : set.attributes)
    if (is_required(*node.op, attribute.first) ||
        std::find(defaults.attributes.begin(), defaults.attributes.end(), attribute) == defaults.attributes.end())
      messages.push_back(std::move(attribute.second));
  return messages;
}

// ---- the model

class ModelWriter {
 public:
  // With a name for it, constants of kMinExternalBytes or more are listed in external().
  ModelWriter(const WriteOptions& options, std::string external_name) : options_(options), external_name_(std::move(external_name)) {}

  struct External {
    Tensor tensor;
    int64_t offset;
  };
  const std::vector<External>& external() const { return external_; }

  Result<std::string> write(const ir::Graph& graph) {
    CAMEO_TRY(survey(graph));
    if (inline_bytes_ > kMaxMessageBytes)
      return error(ErrorCode::kUnsupported, "the model holds {} bytes of constants; an ONNX file of one piece ends at 2 GiB",
                   inline_bytes_);
    std::string bytes;
    {
      pbf_writer model(bytes);
      model.add_int64(1, ir_version_);
      model.add_string(2, "cameo");
      if (!options_.producer_version.empty()) model.add_string(3, options_.producer_version);
      {
        pbf_writer out(model, 7);
        write_graph(out, graph, nullptr, {}, {});
      }
      for (const auto& [domain, version] : opsets_) {
        pbf_writer opset(model, 8);
        opset.add_string(1, domain.data(), domain.size());
        opset.add_int64(2, version);
      }
    }
    if (static_cast<int64_t>(bytes.size()) > kMaxMessageBytes) return error(ErrorCode::kUnsupported, "the model is larger than 2 GiB");
    return bytes;
  }

 private:
  // Values by what they are called in the file, and the constants that a subgraph may name instead of repeating them.
  struct Names {
    std::vector<std::string> of;
    std::vector<bool> from_outside;  // written by a graph around this one
  };

  bool is_external(const Tensor& tensor) const {
    return !external_name_.empty() && tensor.dtype() != DType::kString && dtype_bits(tensor.dtype()) >= 8 &&
           tensor.num_bytes() >= static_cast<size_t>(kMinExternalBytes);
  }

  // Collects opset versions, the IR version and sizes.
  Status survey(const ir::Graph& graph) {
    for (const ir::Value& value : graph.values) {
      if (!value.is_constant()) continue;
      ir_version_ = std::max(ir_version_, ir_version_for(value.constant.dtype()));
      if (!is_external(value.constant)) inline_bytes_ += static_cast<int64_t>(value.constant.num_bytes());
    }
    for (const ir::Node& node : graph.nodes) {
      const auto [it, is_new] = opsets_.emplace(node.op->domain, node.version);
      if (!is_new && it->second != node.version)
        return error(ErrorCode::kUnsupported,
                     "{} is of opset {} while others of its domain are of opset {}; ONNX has one version for a model", node.describe(),
                     node.version, it->second);
      for (const ir::Subgraph& subgraph : node.subgraphs) CAMEO_TRY(survey(*subgraph.graph));
    }
    if (opsets_.empty()) opsets_.emplace("", 1);
    return {};
  }

  static int64_t ir_version_for(DType type) {
    switch (type) {
      case DType::kFloat4E2M1:
        return 11;
      case DType::kFloat8E8M0:
        return 12;
      case DType::kUint2:
      case DType::kInt2:
        return 13;
      default:
        return 10;
    }
  }

  std::string unused_name(const std::string& wanted) {
    std::string name = wanted.empty() ? "value" : wanted;
    for (size_t n = 1; used_.contains(name); ++n) name = fmt::format("{}_{}", wanted, n);
    return name;
  }

  Names make_names(const ir::Graph& graph, const Names* outer, const std::vector<ir::ValueId>& captures) {
    Names names{std::vector<std::string>(graph.values.size()), std::vector<bool>(graph.values.size(), false)};
    for (size_t i = 0; i < captures.size(); ++i) {
      const ir::ValueId id = graph.inputs[graph.inputs.size() - captures.size() + i];
      names.of[id] = outer->of[captures[i]];
      names.from_outside[id] = true;
    }
    for (size_t id = 0; id < graph.values.size(); ++id) {
      const ir::Value& value = graph.values[id];
      if (names.from_outside[id]) continue;
      if (const auto same = constants_.find(value.constant.raw());
          outer != nullptr && value.is_constant() && value.constant.raw() != nullptr && same != constants_.end() &&
          same->second.first.dtype() == value.constant.dtype() && same->second.first.dims() == value.constant.dims()) {
        names.of[id] = same->second.second;
        names.from_outside[id] = true;
        continue;
      }
      names.of[id] = unused_name(value.name);
      used_.insert(names.of[id]);
    }
    return names;
  }

  // Nodes that a pass made of one have the same name, which other programs refuse.
  std::string node_name(const std::string& wanted) {
    if (wanted.empty()) return wanted;
    std::string name = wanted;
    size_t& n = node_names_.try_emplace(wanted, 0).first->second;
    while (!used_node_names_.insert(name).second) name = fmt::format("{}_{}", wanted, ++n);
    return name;
  }

  // Names of nodes start with `path`, which the importer puts in front again.
  void write_graph(pbf_writer& out, const ir::Graph& graph, const Names* outer, const std::vector<ir::ValueId>& captures,
                   const std::string& path) {
    const Names names = make_names(graph, outer, captures);
    std::vector<const void*> own_constants;
    for (size_t id = 0; id < graph.values.size(); ++id) {
      const Tensor& constant = graph.values[id].constant;
      if (constant.defined() && !names.from_outside[id] && constants_.try_emplace(constant.raw(), constant, names.of[id]).second)
        own_constants.push_back(constant.raw());
    }

    auto outer_counts = std::exchange(node_names_, {});
    auto outer_names = std::exchange(used_node_names_, {});
    for (const ir::Node& node : graph.nodes) write_node(out, node, names, path);
    node_names_ = std::move(outer_counts);
    used_node_names_ = std::move(outer_names);
    out.add_string(2, graph.name.empty() ? "graph" : graph.name);
    std::unordered_set<ir::ValueId> listed;
    for (size_t id = 0; id < graph.values.size(); ++id)
      if (graph.values[id].is_constant() && !names.from_outside[id]) write_initializer(out, graph.values[id].constant, names.of[id]);
    for (size_t i = 0; i + captures.size() < graph.inputs.size(); ++i) {
      const ir::ValueId id = graph.inputs[i];
      write_value_info(out, 11, names.of[id], graph.value(id).type);
      listed.insert(id);
    }
    // A value from outside cannot be an output itself.
    std::unordered_map<ir::ValueId, std::string> copies;
    for (ir::ValueId id : graph.outputs) {
      std::string name = names.of[id];
      if (names.from_outside[id]) {
        auto [it, is_new] = copies.try_emplace(id);
        if (is_new) {
          it->second = unused_name(name);
          pbf_writer node(out, 1);
          node.add_string(1, name);
          node.add_string(2, it->second);
          node.add_string(4, "Identity");
        }
        name = it->second;
      }
      write_value_info(out, 12, name, graph.value(id).type);
      listed.insert(id);
    }
    for (const ir::Node& node : graph.nodes)
      for (ir::ValueId id : node.outputs)
        if (id != ir::kNoValue && !listed.contains(id) && graph.value(id).type.kind != ir::Type::Kind::kUnknown)
          write_value_info(out, 13, names.of[id], graph.value(id).type);

    for (const void* raw : own_constants) constants_.erase(raw);
    for (size_t id = 0; id < graph.values.size(); ++id)
      if (!names.from_outside[id]) used_.erase(names.of[id]);
  }

  void write_node(pbf_writer& out, const ir::Node& node, const Names& names, const std::string& path) {
    pbf_writer proto(out, 1);
    for (ir::ValueId id : node.inputs) proto.add_string(1, id == ir::kNoValue ? std::string() : names.of[id]);
    for (ir::ValueId id : node.outputs) proto.add_string(2, id == ir::kNoValue ? std::string() : names.of[id]);
    proto.add_string(3, node_name(node.name.starts_with(path) ? node.name.substr(path.size()) : node.name));
    proto.add_string(4, node.op->name.data(), node.op->name.size());
    for (const std::string& message : attributes_to_write(node)) proto.add_message(5, message);
    for (const ir::Subgraph& subgraph : node.subgraphs) {
      pbf_writer attribute(proto, 5);
      attribute.add_string(1, subgraph.attribute);
      attribute.add_enum(20, static_cast<int32_t>(AttributeType::kGraph));
      pbf_writer graph(attribute, 6);
      write_graph(graph, *subgraph.graph, &names, subgraph.captures, fmt::format("{}.{}/", node.name, subgraph.attribute));
    }
    if (!node.op->domain.empty()) proto.add_string(7, node.op->domain.data(), node.op->domain.size());
  }

  void write_initializer(pbf_writer& out, const Tensor& tensor, const std::string& name) {
    pbf_writer proto(out, 5);
    if (!is_external(tensor)) return write_tensor(proto, tensor, name);
    write_tensor_head(proto, tensor, name);
    const auto size = static_cast<int64_t>(tensor.num_bytes());
    external_size_ = (external_size_ + kExternalAlignment - 1) / kExternalAlignment * kExternalAlignment;
    const std::pair<std::string, std::string> entries[] = {
        {"location", external_name_}, {"offset", std::to_string(external_size_)}, {"length", std::to_string(size)}};
    for (const auto& [key, value] : entries) {
      pbf_writer entry(proto, 13);
      entry.add_string(1, key);
      entry.add_string(2, value);
    }
    proto.add_enum(14, 1);
    external_.push_back({tensor, external_size_});
    external_size_ += size;
  }

  const WriteOptions& options_;
  std::string external_name_;
  std::vector<External> external_;
  int64_t external_size_ = 0;
  std::map<std::string_view, int64_t> opsets_;
  int64_t ir_version_ = 10;
  int64_t inline_bytes_ = 0;
  std::unordered_map<std::string, size_t> node_names_;  // of the graph being written: how many more nodes have that name
  std::unordered_set<std::string> used_node_names_;
  std::unordered_set<std::string> used_;                                       // by the graph being written and those around it
  std::unordered_map<const void*, std::pair<Tensor, std::string>> constants_;  // of the same, by their memory
};

int64_t constant_bytes(const ir::Graph& graph) {
  int64_t total = 0;
  for (const ir::Value& value : graph.values)
    if (value.is_constant()) total += static_cast<int64_t>(value.constant.num_bytes());
  for (const ir::Node& node : graph.nodes)
    for (const ir::Subgraph& subgraph : node.subgraphs) total += constant_bytes(*subgraph.graph);
  return total;
}

}  // namespace

Result<std::string> serialize_model(const ir::Graph& graph, const WriteOptions& options) { return ModelWriter(options, {}).write(graph); }

Status write_model(const ir::Graph& graph, const std::string& path, const WriteOptions& options) {
  const bool split = constant_bytes(graph) > options.max_inline_bytes;
  const std::string data_path = path + ".data";
  ModelWriter writer(options, split ? data_path.substr(data_path.rfind('/') + 1) : std::string());
  auto bytes = writer.write(graph);
  if (!bytes.ok()) return std::move(bytes).error().in(path);

  if (!writer.external().empty()) {
    static constexpr std::byte kZeros[kExternalAlignment] = {};
    std::vector<std::span<const std::byte>> pieces;
    int64_t at = 0;
    for (const ModelWriter::External& part : writer.external()) {
      pieces.emplace_back(kZeros, static_cast<size_t>(part.offset - at));
      pieces.emplace_back(static_cast<const std::byte*>(part.tensor.raw()), part.tensor.num_bytes());
      at = part.offset + static_cast<int64_t>(part.tensor.num_bytes());
    }
    CAMEO_TRY(write_file(data_path, pieces));
  }
  return write_file(path, std::as_bytes(std::span(*bytes)));
}

}  // namespace cameo::onnx
