#include <map>

#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

using Key = std::pair<std::string_view, std::string_view>;

std::map<Key, DeviceOp> make_registry() {
  std::map<Key, DeviceOp> registry;
  for (const auto family : {pointwise_ops, layout_ops, gather_ops, generator_ops, reduce_ops, norm_ops, matmul_ops, einsum_ops, conv_ops,
                            pool_ops, image_ops, attention_ops, recurrent_ops, sort_ops, quantize_ops})
    for (const DeviceOp& op : family()) registry.emplace(Key(op.domain, op.name), op);
  return registry;
}

bool has_type(DType t) { return is_float(t) || is_integer(t) || t == DType::kBool; }

}  // namespace

const DeviceOp* find_device_op(const ir::Node& node) {
  static const std::map<Key, DeviceOp> registry = make_registry();
  const auto it = registry.find(Key(node.op->domain, node.op->name));
  return it == registry.end() ? nullptr : &it->second;
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
