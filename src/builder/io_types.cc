#include "builder/io_types.h"

#include <iterator>
#include <optional>
#include <vector>

#include "base/error.h"
#include "ops/op.h"
#include "passes/attributes.h"

namespace cameo::builder {
namespace {

constexpr ops::TypeSet kTypes = ops::kNumericTypes | ops::kBoolType;

// What a value of the list is to become; nothing where it stays.
std::optional<DType> wanted(const ir::Value& value, const std::map<std::string, DType>& types) {
  auto it = types.find(value.name);
  if (it == types.end() && value.type.is_tensor() && ops::kFloatTypes.contains(value.type.dtype)) it = types.find("*");
  if (it == types.end() || (value.type.is_tensor() && value.type.dtype == it->second)) return std::nullopt;
  return it->second;
}

Status check(const ir::Graph& graph, const std::vector<ir::ValueId>& values, const std::map<std::string, DType>& types,
             std::string_view kind) {
  for (const auto& [name, type] : types) {
    std::string names;
    const ir::Value* found = nullptr;
    for (ir::ValueId id : values) {
      names += (names.empty() ? "'" : ", '") + graph.value(id).name + "'";
      if (graph.value(id).name == name) found = &graph.value(id);
    }
    if (!kTypes.contains(type))
      return error(ErrorCode::kInvalidArgument,
                   "{} '{}' cannot be {}: types are float32, float16, bfloat16, float64, bool and integers of "
                   "8 to 64 bits",
                   kind, name, dtype_name(type));
    if (name == "*") continue;
    if (!found)
      return error(ErrorCode::kInvalidArgument, "the model has no {} '{}' to give a type to; it has {}", kind, name,
                   names.empty() ? "none" : names);
    if (!found->type.is_tensor() || !kTypes.contains(found->type.dtype))
      return error(ErrorCode::kInvalidArgument, "{} '{}' is {}; only tensors of numbers can have another type", kind, name,
                   found->type.to_string());
  }
  return {};
}

Result<ir::Node> cast(ir::ValueId from, ir::ValueId to, DType type, const std::string& name) {
  ir::Node node;
  node.op = ops::find_op("", "Cast");
  node.version = node.op->max_version;
  CAMEO_ASSIGN(node.attrs, passes::make_attrs(*node.op, {{"to", static_cast<int64_t>(type)}}));
  node.name = name;
  node.inputs = {from};
  node.outputs = {to};
  return node;
}

}  // namespace

Status set_io_types(ir::Graph& graph, const std::map<std::string, DType>& inputs, const std::map<std::string, DType>& outputs) {
  CAMEO_TRY(check(graph, graph.inputs, inputs, "input"));
  CAMEO_TRY(check(graph, graph.outputs, outputs, "output"));
  std::vector<ir::Node> first;
  for (const ir::ValueId id : graph.inputs) {
    const auto type = wanted(graph.value(id), inputs);
    if (!type) continue;
    const ir::Type inside = graph.value(id).type;
    const ir::ValueId converted = graph.add_value(graph.value(id).name + "_" + std::string(dtype_name(inside.dtype)), inside);
    graph.replace_uses(id, converted);
    graph.value(id).type.dtype = *type;
    CAMEO_ASSIGN(first.emplace_back(), cast(id, converted, inside.dtype, "cast_of_" + graph.value(id).name));
  }
  graph.nodes.insert(graph.nodes.begin(), std::make_move_iterator(first.begin()), std::make_move_iterator(first.end()));
  const std::vector<int32_t> producers = graph.producers();
  const std::vector<ir::ValueId> results = graph.outputs;
  for (const ir::ValueId id : results) {
    const auto type = wanted(graph.value(id), outputs);
    if (!type) continue;  // also the second time that an output is listed
    if (producers[id] < 0)
      return error(ErrorCode::kUnsupported, "output '{}' is an input or a constant of the model, so it has that one's type",
                   graph.value(id).name);
    const ir::ValueId made =
        graph.add_value(graph.value(id).name + "_" + std::string(dtype_name(graph.value(id).type.dtype)), graph.value(id).type);
    graph.replace_uses(id, made);
    for (ir::ValueId& output : graph.nodes[static_cast<size_t>(producers[id])].outputs)
      if (output == id) output = made;
    graph.value(id).type.dtype = *type;
    CAMEO_ASSIGN(graph.nodes.emplace_back(), cast(made, id, *type, "cast_to_" + graph.value(id).name));
  }
  graph.outputs = results;
  return ir::infer_types(graph);
}

}  // namespace cameo::builder
