#include <algorithm>
#include <map>

#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

using Key = std::pair<std::string_view, std::string_view>;

std::map<Key, DeviceOp> make_registry() {
  std::map<Key, DeviceOp> registry;
  for (const auto family : {pointwise_ops, layout_ops,
                            gather_ops,    generator_ops,
                            reduce_ops,    norm_ops,
                            matmul_ops,    einsum_ops,
                            conv_ops,      pool_ops,
                            image_ops,     attention_ops,
                            recurrent_ops, sort_ops,
                            select_ops,    grid_ops,
                            region_ops,    fourier_ops,
                            state_ops,     loss_ops,
                            det_ops,       quantize_ops,
                            quantized_ops, quantized_weight_ops,
                            float8_ops,    float8_convolutions,
                            integer_ops})
    for (const DeviceOp& op : family()) registry.emplace(Key(op.domain, op.name), op);
  return registry;
}

bool has_type(DType t) { return is_float(t) || is_integer(t) || t == DType::kBool; }

const std::map<Key, DeviceOp>& registry() {
  static const std::map<Key, DeviceOp> made = make_registry();
  return made;
}

}  // namespace

const DeviceOp* find_device_op(const ir::Node& node) {
  const auto it = registry().find(Key(node.op->domain, node.op->name));
  return it == registry().end() ? nullptr : &it->second;
}

std::vector<std::string> device_operators() {
  std::vector<std::string> names;
  for (const auto& [key, op] : registry())
    names.push_back(key.first.empty() ? std::string(key.second) : fmt::format("{}.{}", key.first, key.second));
  return names;
}

bool only_numbers(const ir::Node& node, const ir::Graph& graph) {
  const auto number = [&](ir::ValueId id) {
    if (id == ir::kNoValue) return true;
    const ir::Type& type = graph.value(id).type;
    return type.kind == ir::Type::Kind::kUnknown || (type.is_tensor() && type.dtype != DType::kString);
  };
  return std::all_of(node.inputs.begin(), node.inputs.end(), number) && std::all_of(node.outputs.begin(), node.outputs.end(), number);
}

Status supports_types(const ir::Node& node, const ir::Graph& graph) {
  const auto check = [&](ir::ValueId id, const char* what, size_t i) -> Status {
    if (id == ir::kNoValue) return {};
    const ir::Type& type = graph.value(id).type;
    if (type.kind == ir::Type::Kind::kUnknown || (type.is_tensor() && (type.dtype == DType::kUndefined || has_type(type.dtype)))) return {};
    return error(ErrorCode::kUnsupported, "{} {} is a {}, which the device does not have", what, i, type.to_string());
  };
  for (size_t i = 0; i < node.inputs.size(); ++i) CAMEO_TRY(check(node.inputs[i], "input", i));
  for (size_t i = 0; i < node.outputs.size(); ++i) CAMEO_TRY(check(node.outputs[i], "output", i));
  return {};
}

}  // namespace cameo::cuda
