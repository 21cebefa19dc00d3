#include "onnx/import.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "onnx/attributes.h"
#include "onnx/external_data.h"
#include "onnx/functions.h"
#include "onnx/graph_order.h"
#include "onnx/suggest.h"
#include "onnx/tensor_data.h"
#include "onnx/text.h"
#include "onnx/types.h"
#include "ops/op.h"

namespace cameo::onnx {
namespace {

// Functions and subgraphs inside each other, together. The reader bounds subgraphs alone.
constexpr int kMaxDepth = 128;
// Constants up to this size are copied into the subgraphs that read them, where inference and folding see them as
// they do in the main graph; larger ones are captured.
constexpr size_t kMaxCopiedConstant = 1024;
constexpr int64_t kNewestIrVersion = 14;

using Opsets = std::unordered_map<std::string_view, int64_t>;

}  // namespace

// A graph being built, and those around it.
struct Builder {
  ir::Graph* graph = nullptr;
  Builder* outer = nullptr;
  std::vector<ir::ValueId> captures = {};                      // ids in outer->graph
  std::unordered_map<ir::ValueId, ir::ValueId> captured = {};  // from ids in outer->graph to ids in graph
};

struct OutputName {
  std::string name;
  ir::Type type;
};

// The names that a list of nodes sees: of a graph, or of a function where it is called.
struct Scope {
  const Scope* outer = nullptr;  // also seen; a function sees nothing around it
  Builder* builder = nullptr;
  const Opsets* opsets = nullptr;
  const FunctionProto* function = nullptr;            // that the nodes stand in, also by way of subgraphs
  const std::vector<Attribute>* arguments = nullptr;  // of that function's call
  std::string path = {};
  int depth = 0;
  std::unordered_map<std::string_view, ir::ValueId> names = {};   // kNoValue: an optional input that was not given
  std::unordered_map<std::string_view, ir::Type> types = {};      // that the file declares
  std::unordered_map<std::string_view, OutputName> outputs = {};  // what a function's outputs are called outside
};

namespace {

class Importer {
 public:
  Importer(const Model& model, const ImportOptions& options)
      : model_(model), options_(options), external_(model.base_dir, options.external_data_root) {}

  Result<ImportedModel> run();

 private:
  Status import_graph(const GraphProto& graph, Scope& scope);
  Status add_initializers(const GraphProto& graph, Scope& scope, std::vector<std::string_view>& defined);
  Status add_inputs(const GraphProto& graph, Scope& scope, const std::unordered_set<std::string_view>& initializers);
  Status add_outputs(const GraphProto& graph, Scope& scope);
  Status import_nodes(const std::vector<NodeProto>& nodes, const std::vector<std::string_view>& defined, Scope& scope);
  Status import_node(const NodeProto& node, size_t index, Scope& scope);
  Status import_constant(const NodeProto& node, const std::vector<Attribute>& attributes, Scope& scope);
  Status inline_function(const NodeProto& node, const FunctionProto& function, std::vector<Attribute> arguments, const std::string& path,
                         Scope& scope);
  Result<ir::Subgraph> import_subgraph(const Attribute& attribute, Builder& builder, const std::string& path, int depth);

  Result<std::vector<Attribute>> resolve_attributes(const NodeProto& node, const Scope& scope);
  Result<const Opsets*> function_opsets(const FunctionProto& function);
  Result<ir::Type> declared_type(const TypeProto& proto, std::string_view name);
  Result<Tensor> read_tensor(const TensorProto& proto, bool in_function);

  std::optional<ir::ValueId> lookup(std::string_view name, const Scope& scope, Builder& builder);
  ir::ValueId capture(Builder& builder, const Builder& owner, ir::ValueId id);
  OutputName output_name(std::string_view name, const Scope& scope);
  ir::ValueId make_value(std::string_view name, Scope& scope);

  std::string explain_unknown(std::string_view domain, std::string_view op_type);
  void report(const std::string& path, std::string_view domain, std::string_view op_type, int64_t version, Error why);
  Status check_report() const;

  const Model& model_;
  const ImportOptions& options_;
  ExternalFiles external_;
  FunctionTable functions_;
  GraphOrder order_;
  ImportedModel result_;
  std::unordered_map<const FunctionProto*, Opsets> function_opsets_;
  std::unordered_map<const TensorProto*, Tensor> function_tensors_;  // functions are imported again and again
  std::unordered_set<std::string_view> graph_outputs_;               // names that must be kept
  std::map<std::pair<std::string_view, std::string_view>, std::string> unknown_operators_;
  int64_t inlined_nodes_ = 0;
};

Status add_opsets(const std::vector<OpsetId>& imports, Opsets& opsets) {
  for (const OpsetId& opset : imports) {
    if (opset.version < 1 || opset.version > std::numeric_limits<int32_t>::max())
      return error(ErrorCode::kInvalidModel, "opset version {} of domain {} is not a positive number", opset.version, quoted(opset.domain));
    const auto [it, is_new] = opsets.emplace(normal_domain(opset.domain), opset.version);
    if (!is_new && it->second != opset.version)
      return error(ErrorCode::kInvalidModel, "domain {} is imported twice, with opset versions {} and {}", quoted(opset.domain), it->second,
                   opset.version);
  }
  return {};
}

std::string operator_name(std::string_view domain, std::string_view op_type) {
  return domain.empty() ? std::string(op_type) : fmt::format("{}.{}", domain, op_type);
}

Result<ImportedModel> Importer::run() {
  if (model_.ir_version < 1)
    return error(ErrorCode::kInvalidModel, "the model's ir_version is {}, expected 1 to {}", model_.ir_version, kNewestIrVersion);
  if (model_.ir_version > kNewestIrVersion)
    return error(ErrorCode::kUnsupported, "the model's ir_version is {}; this version of Cameo reads up to {}", model_.ir_version,
                 kNewestIrVersion);
  Opsets opsets;
  CAMEO_TRY(add_opsets(model_.opset_imports, opsets));
  if (opsets.empty()) {
    if (model_.ir_version >= 3) return error(ErrorCode::kInvalidModel, "the model imports no opset");
    opsets.emplace("", 1);
  }
  CAMEO_TRY(functions_.build(model_, options_.max_inlined_nodes));

  for (const auto& [domain, version] : opsets) result_.opsets.emplace(domain, version);
  for (const StringPair& entry : model_.metadata) result_.metadata.emplace_back(entry.key, entry.value);
  result_.producer = fmt::format("{}{}{}", model_.producer_name, model_.producer_version.empty() ? "" : " ", model_.producer_version);
  result_.ir_version = model_.ir_version;
  result_.graph.name = model_.graph.name;
  if (model_.graph.outputs.empty()) return error(ErrorCode::kInvalidModel, "the graph has no outputs");
  for (const ValueInfoProto& output : model_.graph.outputs)
    if (!graph_outputs_.insert(output.name).second)
      return error(ErrorCode::kInvalidModel, "the graph has two outputs {}", quoted(output.name));

  Builder builder{&result_.graph};
  Scope scope{.builder = &builder, .opsets = &opsets};
  CAMEO_TRY(import_graph(model_.graph, scope));
  if (!options_.allow_unsupported) CAMEO_TRY(check_report());
  return std::move(result_);
}

std::string Importer::explain_unknown(std::string_view domain, std::string_view op_type) {
  constexpr size_t kMaxExplained = 100;
  if (unknown_operators_.size() >= kMaxExplained && !unknown_operators_.contains({domain, op_type})) return "unknown operator";
  std::string& text = unknown_operators_[{domain, op_type}];
  if (text.empty()) text = explain_unknown_operator(domain, op_type);
  return text;
}

void Importer::report(const std::string& path, std::string_view domain, std::string_view op_type, int64_t version, Error why) {
  result_.unsupported.push_back(
      {path, std::string(domain.substr(0, 100)), std::string(op_type.substr(0, 100)), version, why.message(), why.code()});
}

Status Importer::check_report() const {
  const auto& nodes = result_.unsupported;
  if (nodes.empty()) return {};
  constexpr size_t kMaxShown = 5;
  std::string list;
  for (size_t i = 0; i < nodes.size() && i < kMaxShown; ++i) {
    const UnsupportedNode& node = nodes[i];
    list += fmt::format("{}{} ({}", i == 0 ? "" : "; ", quoted(node.path), operator_name(node.domain, node.op_type));
    list += node.version > 0 ? fmt::format(", opset {}): {}", node.version, node.reason) : fmt::format("): {}", node.reason);
  }
  if (nodes.size() > kMaxShown) list += fmt::format("; and {} more (cameo inspect lists all)", nodes.size() - kMaxShown);
  const bool broken = std::any_of(nodes.begin(), nodes.end(), [](const UnsupportedNode& n) { return n.code != ErrorCode::kUnsupported; });
  return error(broken ? ErrorCode::kInvalidModel : ErrorCode::kUnsupported, "{} node{} cannot be run: {}", nodes.size(),
               nodes.size() == 1 ? "" : "s", list);
}

// ---- names and values

ir::ValueId Importer::capture(Builder& builder, const Builder& owner, ir::ValueId id) {
  if (&builder == &owner) return id;
  const ir::ValueId outer = capture(*builder.outer, owner, id);
  if (const auto it = builder.captured.find(outer); it != builder.captured.end()) return it->second;
  const ir::Value& value = builder.outer->graph->value(outer);
  ir::ValueId inner;
  if (value.is_constant() && value.constant.num_bytes() <= kMaxCopiedConstant) {
    inner = builder.graph->add_constant(value.name, value.constant);
  } else {
    inner = builder.graph->add_value(value.name, value.type);
    builder.graph->inputs.push_back(inner);
    builder.captures.push_back(outer);
  }
  builder.captured.emplace(outer, inner);
  return inner;
}

// The id, in the builder's graph, of the value that the scope knows by that name; nothing when there is none.
std::optional<ir::ValueId> Importer::lookup(std::string_view name, const Scope& scope, Builder& builder) {
  for (const Scope* at = &scope; at != nullptr; at = at->outer)
    if (const auto it = at->names.find(name); it != at->names.end())
      return it->second == ir::kNoValue ? ir::kNoValue : capture(builder, *at->builder, it->second);
  return std::nullopt;
}

// What the value is to be called in the graph.
OutputName Importer::output_name(std::string_view name, const Scope& scope) {
  if (const auto it = scope.outputs.find(name); it != scope.outputs.end()) return it->second;
  ir::Type type;
  if (const auto it = scope.types.find(name); it != scope.types.end()) type = it->second;
  if (scope.function == nullptr || scope.outer != nullptr) return {std::string(name), std::move(type)};
  std::string inner = join_path(scope.path, name);
  while (graph_outputs_.contains(inner)) inner += '_';
  return {std::move(inner), std::move(type)};
}

ir::ValueId Importer::make_value(std::string_view name, Scope& scope) {
  OutputName output = output_name(name, scope);
  const ir::ValueId id = scope.builder->graph->add_value(output.name, std::move(output.type));
  scope.names[name] = id;
  return id;
}

Result<ir::Type> Importer::declared_type(const TypeProto& proto, std::string_view name) {
  auto type = to_type(proto);
  if (!type.ok()) return std::move(type).error().in(fmt::format("type of value {}", quoted(name)));
  return type;
}

Result<Tensor> Importer::read_tensor(const TensorProto& proto, bool in_function) {
  if (in_function)
    if (const auto it = function_tensors_.find(&proto); it != function_tensors_.end()) return it->second;
  bool missing = false;
  CAMEO_ASSIGN(Tensor tensor, to_tensor(proto, {model_.owner, &external_, options_.allow_missing_external_data ? &missing : nullptr}));
  if (missing) result_.missing_external_data.emplace_back(proto.name);
  if (in_function) function_tensors_.emplace(&proto, tensor);
  return tensor;
}

// ---- graphs

Status Importer::import_graph(const GraphProto& graph, Scope& scope) {
  std::unordered_set<std::string_view> initializers;
  for (const TensorProto& tensor : graph.initializers) {
    if (tensor.name.empty()) return error(ErrorCode::kInvalidModel, "graph {} has an initializer without a name", quoted(graph.name));
    if (!initializers.insert(tensor.name).second)
      return error(ErrorCode::kInvalidModel, "two initializers are called {}", quoted(tensor.name));
  }
  for (const SparseTensorProto& tensor : graph.sparse_initializers) {
    if (tensor.values.name.empty())
      return error(ErrorCode::kInvalidModel, "graph {} has a sparse initializer without a name", quoted(graph.name));
    if (!initializers.insert(tensor.values.name).second)
      return error(ErrorCode::kInvalidModel, "two initializers are called {}", quoted(tensor.values.name));
  }
  for (const auto* infos : {&graph.outputs, &graph.value_infos})
    for (const ValueInfoProto& info : *infos) {
      auto type = declared_type(info.type, info.name);
      if (type.ok())
        scope.types.emplace(info.name, std::move(*type));
      else if (type.error().code() != ErrorCode::kUnsupported)
        return std::move(type).error();
    }
  std::vector<std::string_view> defined;
  CAMEO_TRY(add_inputs(graph, scope, initializers));
  CAMEO_TRY(add_initializers(graph, scope, defined));
  for (const ValueInfoProto& input : graph.inputs) defined.push_back(input.name);
  CAMEO_TRY(import_nodes(graph.nodes, defined, scope));
  return add_outputs(graph, scope);
}

Status Importer::add_inputs(const GraphProto& graph, Scope& scope, const std::unordered_set<std::string_view>& initializers) {
  const bool is_main = scope.builder->outer == nullptr;
  std::unordered_set<std::string_view> seen;
  for (const ValueInfoProto& input : graph.inputs) {
    if (!seen.insert(input.name).second)
      return error(ErrorCode::kInvalidModel, "graph {} has two inputs {}", quoted(graph.name), quoted(input.name));
    auto type = declared_type(input.type, input.name);
    if (!type.ok() && type.error().code() != ErrorCode::kUnsupported) return std::move(type).error();
    const bool is_constant = initializers.contains(input.name) && !(is_main && options_.keep_initializer_inputs);
    if (is_constant && is_main) continue;
    if (is_constant)
      return error(ErrorCode::kInvalidModel, "graph {}: {} is both an input and an initializer, which only the main graph may have",
                   quoted(graph.name), quoted(input.name));
    if (!type.ok())
      report(join_path(scope.path, input.name), "", "input", 0, std::move(type).error());
    else if (is_main && type->kind == ir::Type::Kind::kUnknown)
      return error(ErrorCode::kInvalidModel, "input {} has no type", quoted(input.name));
    const ir::ValueId id = scope.builder->graph->add_value(std::string(input.name), type.ok() ? std::move(*type) : ir::Type{});
    scope.builder->graph->inputs.push_back(id);
    scope.names.emplace(input.name, id);
  }
  return {};
}

Status Importer::add_initializers(const GraphProto& graph, Scope& scope, std::vector<std::string_view>& defined) {
  const auto add = [&](std::string_view name, Tensor tensor) {
    if (scope.names.contains(name)) {  // an input that keeps its default
      result_.input_defaults.emplace(name, std::move(tensor));
      return;
    }
    scope.names.emplace(name, scope.builder->graph->add_constant(std::string(name), std::move(tensor)));
    defined.push_back(name);
  };
  const bool in_function = scope.function != nullptr;
  for (const TensorProto& proto : graph.initializers) {
    CAMEO_ASSIGN(Tensor tensor, read_tensor(proto, in_function));
    add(proto.name, std::move(tensor));
  }
  for (const SparseTensorProto& proto : graph.sparse_initializers) {
    CAMEO_ASSIGN(Tensor tensor, to_tensor(proto, {model_.owner, &external_, nullptr}));
    add(proto.values.name, std::move(tensor));
  }
  return {};
}

Status Importer::add_outputs(const GraphProto& graph, Scope& scope) {
  ir::Graph& target = *scope.builder->graph;
  const bool is_main = scope.builder->outer == nullptr;
  for (const ValueInfoProto& output : graph.outputs) {
    const auto id = lookup(output.name, scope, *scope.builder);
    if (!id || *id == ir::kNoValue)
      return error(ErrorCode::kInvalidModel, "{}output {} of graph {} is made by no node", scope.path.empty() ? "" : scope.path + ": ",
                   quoted(output.name), quoted(graph.name));
    ir::ValueId result = *id;
    if (is_main && target.value(result).name != output.name) {
      // A function gave back its input: the output gets its own name from an Identity.
      ir::Node node;
      node.op = ops::find_op("", "Identity");
      if (node.op == nullptr) return error(ErrorCode::kInternal, "the operator Identity is missing");
      const auto version = scope.opsets->find("");
      node.version = static_cast<int>(version == scope.opsets->end() ? node.op->max_version : version->second);
      node.name = std::string(output.name);
      node.inputs = {result};
      node.attrs = node.op->make_attrs();
      result = target.add_value(std::string(output.name), target.value(result).type);
      node.outputs = {result};
      target.nodes.push_back(std::move(node));
    }
    target.outputs.push_back(result);
  }
  return {};
}

Status Importer::import_nodes(const std::vector<NodeProto>& nodes, const std::vector<std::string_view>& defined, Scope& scope) {
  if (scope.depth > kMaxDepth)
    return error(ErrorCode::kInvalidModel, "functions and subgraphs nest deeper than {} at '{}'", kMaxDepth, scope.path);
  auto order = order_.order(nodes, defined);
  if (!order.ok()) return scope.path.empty() ? std::move(order).error() : std::move(order).error().in(scope.path);
  if (scope.function != nullptr && (inlined_nodes_ += static_cast<int64_t>(nodes.size())) > options_.max_inlined_nodes)
    return error(ErrorCode::kInvalidModel, "the model's functions, written out where they are called, come to more than {} nodes",
                 options_.max_inlined_nodes);
  for (uint32_t index : **order) CAMEO_TRY(import_node(nodes[index], index, scope));
  return {};
}

// ---- nodes

Result<std::vector<Attribute>> Importer::resolve_attributes(const NodeProto& node, const Scope& scope) {
  std::vector<Attribute> attributes;
  std::unordered_set<std::string_view> seen;
  for (const AttributeProto& attribute : node.attributes) {
    if (!seen.insert(attribute.name).second) return error(ErrorCode::kInvalidModel, "attribute {} is given twice", quoted(attribute.name));
    if (attribute.ref_attr_name.empty()) {
      attributes.push_back({attribute.name, &attribute, &scope});
      continue;
    }
    const std::string_view wanted = attribute.ref_attr_name;
    if (scope.function == nullptr)
      return error(ErrorCode::kInvalidModel, "attribute {} refers to attribute {} of a function, but stands in none",
                   quoted(attribute.name), quoted(wanted));
    const auto argument =
        std::find_if(scope.arguments->begin(), scope.arguments->end(), [&](const Attribute& a) { return a.name == wanted; });
    if (argument != scope.arguments->end()) {
      if (attribute.type != AttributeType::kUndefined && attribute.type != argument->value->type)
        return error(ErrorCode::kInvalidModel, "attribute {} refers to attribute {}, which is of type {}, expected {}",
                     quoted(attribute.name), quoted(wanted), attribute_type_name(argument->value->type),
                     attribute_type_name(attribute.type));
      attributes.push_back({attribute.name, argument->value, argument->scope});
    } else {
      const auto& declared = scope.function->attributes;
      if (std::find(declared.begin(), declared.end(), wanted) == declared.end())
        return error(ErrorCode::kInvalidModel, "attribute {} refers to attribute {}, which function {} does not have",
                     quoted(attribute.name), quoted(wanted), quoted(scope.function->name));
    }
  }
  return attributes;
}

Status Importer::import_node(const NodeProto& node, size_t index, Scope& scope) {
  const std::string path =
      join_path(scope.path, node.name.empty() ? fmt::format("#{}:{}", index, node.op_type.substr(0, 64)) : std::string(node.name));
  const std::string_view domain = normal_domain(node.domain);
  const auto in_node = [&](Error why) {
    return std::move(why).in(fmt::format("node {} ({})", quoted(path), operator_name(domain, node.op_type.substr(0, 64))));
  };
  auto attributes = resolve_attributes(node, scope);
  if (!attributes.ok()) return in_node(std::move(attributes).error());

  if (const FunctionProto* function = functions_.find(node)) return inline_function(node, *function, std::move(*attributes), path, scope);
  ++result_.operator_counts[operator_name(domain, node.op_type)];
  if (domain.empty() && node.op_type == "Constant") {
    if (auto made = import_constant(node, *attributes, scope); !made.ok()) return in_node(std::move(made).error());
    return {};
  }

  ir::Node made;
  made.name = path;
  made.sources = {path};
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i].empty()) {
      made.inputs.push_back(ir::kNoValue);
      continue;
    }
    const auto id = lookup(node.inputs[i], scope, *scope.builder);
    if (!id)
      return in_node(
          error(ErrorCode::kInvalidModel, "input {}, {}, is made by no node and is no input or initializer", i, quoted(node.inputs[i])));
    made.inputs.push_back(*id);
  }

  const ops::OpDef* op = ops::find_op(domain, node.op_type);
  const auto opset = scope.opsets->find(domain);
  const int64_t version = opset == scope.opsets->end() ? 0 : opset->second;
  std::optional<Error> problem;
  const auto refuse = [&](Error why) {
    if (!problem) problem = std::move(why);
  };
  if (op == nullptr)
    refuse({ErrorCode::kUnsupported, explain_unknown(domain, node.op_type)});
  else if (version == 0)
    refuse(error(ErrorCode::kInvalidModel, "{} imports no opset of domain '{}'", scope.function ? "the function" : "the model",
                 domain.empty() ? "ai.onnx" : domain));
  else if (version < op->min_version || version > op->max_version)
    refuse(
        error(ErrorCode::kUnsupported, "opset {} is outside of {} to {}, which Cameo covers", version, op->min_version, op->max_version));

  // Absent inputs and outputs at the end need not be written.
  while (op != nullptr && made.inputs.size() > static_cast<size_t>(op->min_inputs) && made.inputs.back() == ir::kNoValue)
    made.inputs.pop_back();
  size_t num_outputs = node.outputs.size();
  while (op != nullptr && num_outputs > static_cast<size_t>(op->min_outputs) && node.outputs[num_outputs - 1].empty()) --num_outputs;
  if (op != nullptr) {
    const auto arity = [&](const char* what, size_t count, int low, int high) {
      if (count >= static_cast<size_t>(low) && count <= static_cast<size_t>(high)) return;
      const std::string range = low == high              ? std::to_string(low)
                                : high >= ops::kVariadic ? fmt::format("at least {}", low)
                                                         : fmt::format("{} to {}", low, high);
      refuse(error(ErrorCode::kInvalidModel, "it has {} {}, expected {}", count, what, range));
    };
    arity("inputs", made.inputs.size(), op->min_inputs, op->max_inputs);
    arity("outputs", num_outputs, op->min_outputs, op->max_outputs);
    auto attrs = read_attributes(*op, *attributes, [&](const TensorProto& proto) { return read_tensor(proto, scope.function != nullptr); });
    if (attrs.ok())
      made.attrs = std::move(*attrs);
    else
      refuse(std::move(attrs).error());
  }

  // Subgraphs in the operator's order; those of an unknown operator are imported too, for what they report.
  for (std::string_view name : op != nullptr && !op->optional_subgraphs ? op->subgraphs : ops::SubgraphNames())
    if (std::none_of(attributes->begin(), attributes->end(), [&](const Attribute& a) { return a.name == name; }))
      refuse(error(ErrorCode::kInvalidModel, "the subgraph {} is missing", quoted(name)));
  for (const Attribute& attribute : *attributes) {
    if (attribute.value->type != AttributeType::kGraph) continue;
    CAMEO_ASSIGN(ir::Subgraph subgraph,
                 import_subgraph(attribute, *scope.builder, fmt::format("{}.{}", path, attribute.name.substr(0, 64)), scope.depth + 1));
    made.subgraphs.push_back(std::move(subgraph));
  }
  if (op != nullptr && made.subgraphs.size() > 1) {
    const auto rank = [&](const ir::Subgraph& s) {
      return std::find(op->subgraphs.begin(), op->subgraphs.end(), s.attribute) - op->subgraphs.begin();
    };
    std::stable_sort(made.subgraphs.begin(), made.subgraphs.end(),
                     [&](const ir::Subgraph& a, const ir::Subgraph& b) { return rank(a) < rank(b); });
  }

  for (size_t i = 0; i < num_outputs; ++i)
    made.outputs.push_back(node.outputs[i].empty() ? ir::kNoValue : make_value(node.outputs[i], scope));
  if (problem) {
    report(path, domain, node.op_type, version, std::move(*problem));
    return {};
  }
  made.op = op;
  made.version = static_cast<int>(version);
  scope.builder->graph->nodes.push_back(std::move(made));
  return {};
}

Status Importer::import_constant(const NodeProto& node, const std::vector<Attribute>& attributes, Scope& scope) {
  if (!node.inputs.empty() || node.outputs.size() != 1 || node.outputs[0].empty())
    return error(ErrorCode::kInvalidModel, "it has {} inputs and {} outputs, expected none and one", node.inputs.size(),
                 node.outputs.size());
  if (attributes.size() != 1)
    return error(ErrorCode::kInvalidModel, "it has {} attributes, expected one that holds the value", attributes.size());
  const Attribute& attribute = attributes.front();
  const AttributeProto& value = *attribute.value;
  const AttributeLists& lists = value.lists();
  struct Form {
    std::string_view name;
    AttributeType type;
  };
  using enum AttributeType;
  constexpr Form kForms[] = {{"value", kTensor},  {"sparse_value", kSparseTensor}, {"value_float", kFloat},   {"value_floats", kFloats},
                             {"value_int", kInt}, {"value_ints", kInts},           {"value_string", kString}, {"value_strings", kStrings}};
  const auto form = std::find_if(std::begin(kForms), std::end(kForms), [&](const Form& f) { return f.name == attribute.name; });
  if (form == std::end(kForms))
    return error(ErrorCode::kInvalidModel,
                 "Constant has no attribute {}; it has value, sparse_value, value_float(s), value_int(s), value_string(s)",
                 quoted(attribute.name));
  if (form->type != value.type)
    return error(ErrorCode::kInvalidModel, "attribute {} is of type {}, expected {}", quoted(attribute.name),
                 attribute_type_name(value.type), attribute_type_name(form->type));
  const auto list = [](size_t size) { return Dims{static_cast<int64_t>(size)}; };
  Tensor tensor;
  switch (form->type) {
    case kTensor: {
      CAMEO_ASSIGN(tensor, read_tensor(lists.tensors.front(), scope.function != nullptr));
      break;
    }
    case kSparseTensor: {
      CAMEO_ASSIGN(tensor, to_tensor(lists.sparse_tensors.front(), {model_.owner, &external_, nullptr}));
      break;
    }
    case kFloat:
      tensor = Tensor::of<float>({}, {value.f});
      break;
    case kInt:
      tensor = Tensor::of<int64_t>({}, {value.i});
      break;
    case kString:
      tensor = Tensor::of<std::string>({}, {std::string(value.s)});
      break;
    case kFloats:
      tensor = Tensor::of<float>(list(lists.floats.size()), lists.floats);
      break;
    case kInts:
      tensor = Tensor::of<int64_t>(list(lists.ints.size()), lists.ints);
      break;
    default: {
      const std::vector<std::string> strings(lists.strings.begin(), lists.strings.end());
      tensor = Tensor::of<std::string>(list(strings.size()), strings);
    }
  }
  const OutputName output = output_name(node.outputs[0], scope);
  scope.names[node.outputs[0]] = scope.builder->graph->add_constant(output.name, std::move(tensor));
  return {};
}

// ---- functions and subgraphs

Result<const Opsets*> Importer::function_opsets(const FunctionProto& function) {
  const auto [it, is_new] = function_opsets_.try_emplace(&function);
  if (is_new)
    if (auto added = add_opsets(function.opset_imports, it->second); !added.ok())
      return std::move(added).error().in(fmt::format("function {}", quoted(function.name)));
  return &it->second;
}

Status Importer::inline_function(const NodeProto& node, const FunctionProto& function, std::vector<Attribute> arguments,
                                 const std::string& path, Scope& scope) {
  const auto fail = [&](const std::string& why) {
    return error(ErrorCode::kInvalidModel, "node {} (function {}): {}", quoted(path), quoted(operator_name(function.domain, function.name)),
                 why);
  };
  if (node.inputs.size() > function.inputs.size())
    return fail(fmt::format("it passes {} inputs, the function takes {}", node.inputs.size(), function.inputs.size()));
  if (node.outputs.size() > function.outputs.size())
    return fail(fmt::format("it reads {} outputs, the function gives {}", node.outputs.size(), function.outputs.size()));

  CAMEO_ASSIGN(const Opsets* opsets, function_opsets(function));
  Scope inner{
      .builder = scope.builder, .opsets = opsets, .function = &function, .arguments = &arguments, .path = path, .depth = scope.depth + 1};
  std::unordered_set<std::string_view> given;
  for (const Attribute& argument : arguments) given.insert(argument.name);
  std::unordered_set<std::string_view> declared(function.attributes.begin(), function.attributes.end());
  for (const AttributeProto& attribute : function.default_attributes) {
    declared.insert(attribute.name);
    if (!given.contains(attribute.name)) arguments.push_back({attribute.name, &attribute, &inner});
  }
  for (std::string_view name : given)
    if (!declared.contains(name)) return fail(fmt::format("the function has no attribute {}", quoted(name)));

  for (size_t i = 0; i < function.inputs.size(); ++i) {
    ir::ValueId id = ir::kNoValue;
    if (i < node.inputs.size() && !node.inputs[i].empty()) {
      const auto found = lookup(node.inputs[i], scope, *scope.builder);
      if (!found) return fail(fmt::format("input {}, {}, is made by no node and is no input or initializer", i, quoted(node.inputs[i])));
      id = *found;
    }
    inner.names.emplace(function.inputs[i], id);
  }
  for (size_t i = 0; i < node.outputs.size(); ++i)
    if (!node.outputs[i].empty()) inner.outputs.emplace(function.outputs[i], output_name(node.outputs[i], scope));

  CAMEO_TRY(import_nodes(function.nodes, function.inputs, inner));
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i].empty()) continue;
    const auto made = inner.names.find(function.outputs[i]);
    if (made == inner.names.end()) return fail(fmt::format("the function's output {} is made by no node", quoted(function.outputs[i])));
    scope.names[node.outputs[i]] = made->second;
  }
  return {};
}

Result<ir::Subgraph> Importer::import_subgraph(const Attribute& attribute, Builder& builder, const std::string& path, int depth) {
  const GraphProto& graph = attribute.value->lists().graphs.front();
  ir::Subgraph subgraph;
  subgraph.attribute = attribute.name;
  subgraph.graph = std::make_unique<ir::Graph>();
  subgraph.graph->name = graph.name;
  Builder inner{subgraph.graph.get(), &builder};
  Scope scope{.outer = attribute.scope,
              .builder = &inner,
              .opsets = attribute.scope->opsets,
              .function = attribute.scope->function,
              .arguments = attribute.scope->arguments,
              .path = path,
              .depth = depth};
  CAMEO_TRY(import_graph(graph, scope));
  subgraph.captures = std::move(inner.captures);
  return subgraph;
}

}  // namespace

Result<ImportedModel> import_model(const Model& model, const ImportOptions& options) {
  auto imported = Importer(model, options).run();
  if (!imported.ok() && !model.path.empty()) return std::move(imported).error().in(model.path);
  return imported;
}

}  // namespace cameo::onnx
