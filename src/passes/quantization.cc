#include "passes/quantization.h"

#include <algorithm>
#include <cmath>

#include "passes/attributes.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

bool is_byte(DType type) { return type == DType::kUint8 || type == DType::kInt8; }

int64_t code_at(const Tensor& t, int64_t i) { return t.dtype() == DType::kUint8 ? t.data<uint8_t>()[i] : t.data<int8_t>()[i]; }

}  // namespace

std::optional<TensorQuantization> tensor_quantization(const GraphView& view, const ir::Node& node) {
  const bool quantizes = node.op->name == "QuantizeLinear";
  if (!node.op->domain.empty() || (!quantizes && node.op->name != "DequantizeLinear")) return std::nullopt;
  const Tensor* scale = view.constant(GraphView::input(node, 1));
  const ir::ValueId zero_id = GraphView::input(node, 2);
  const Tensor* zero = view.constant(zero_id);
  if (scale == nullptr || scale->dtype() != DType::kFloat32 || scale->num_elements() != 1 || (zero_id != ir::kNoValue && zero == nullptr))
    return std::nullopt;
  TensorQuantization q;
  q.scale = scale->data<float>()[0];
  q.type = view.dtype(quantizes ? node.outputs[0] : node.inputs[0]);
  if (view.dtype(quantizes ? node.inputs[0] : node.outputs[0]) != DType::kFloat32 || !is_byte(q.type)) return std::nullopt;
  if (!std::isfinite(q.scale) || q.scale <= 0) return std::nullopt;
  if (zero != nullptr) {
    if (zero->dtype() != q.type || zero->num_elements() != 1) return std::nullopt;
    q.zero = code_at(*zero, 0);
  }
  return q;
}

Result<Int8Weight> int8_weight(const GraphView& view, ir::ValueId id, int64_t axis) {
  const ir::Node* node = made_by(view, id, "DequantizeLinear");
  const Tensor* codes = node == nullptr ? nullptr : view.constant(node->inputs[0]);
  if (codes == nullptr || !is_byte(codes->dtype())) return error(ErrorCode::kUnsupported, "its weight is no constant of 8 bits");
  const Tensor *scale = view.constant(node->inputs[1]), *zero = view.constant(GraphView::input(*node, 2));
  const auto rank = static_cast<int64_t>(codes->rank());
  if (scale == nullptr || scale->dtype() != DType::kFloat32 || (GraphView::input(*node, 2) != ir::kNoValue && zero == nullptr))
    return error(ErrorCode::kUnsupported, "the scale of its weight is no float32 constant");
  const int64_t channels = codes->dim(static_cast<size_t>(axis));
  int64_t own_axis = attr<int64_t>(*node, "axis").value_or(1);
  if (own_axis < 0) own_axis += rank;
  if (attr<int64_t>(*node, "block_size").value_or(0) != 0 ||
      (scale->num_elements() != 1 && (own_axis != axis || scale->num_elements() != channels)))
    return error(ErrorCode::kUnsupported, "the scales of its weight are not those of its output channels");
  const int64_t middle = codes->dtype() == DType::kUint8 ? 128 : 0;
  for (int64_t i = 0; i < (zero == nullptr ? 1 : zero->num_elements()); ++i)
    if ((zero == nullptr ? 0 : code_at(*zero, i)) != middle)
      return error(ErrorCode::kUnsupported, "the zero points of its weight are not in the middle of their range");
  Int8Weight weight;
  for (int64_t i = 0; i < channels; ++i) weight.scales.push_back(scale->data<float>()[scale->num_elements() == 1 ? 0 : i]);
  if (!std::ranges::all_of(weight.scales, [](float s) { return std::isfinite(s); }))
    return error(ErrorCode::kUnsupported, "a scale of its weight is not finite");
  weight.codes = *codes;
  if (middle != 0) {
    CAMEO_ASSIGN(weight.codes, Tensor::allocate(DType::kInt8, codes->dims()));
    for (int64_t i = 0; i < codes->num_elements(); ++i)
      weight.codes.data<int8_t>()[i] = static_cast<int8_t>(static_cast<int>(codes->data<uint8_t>()[i]) - 128);
  }
  return weight;
}

bool is_dequantized_constant(const GraphView& view, ir::ValueId id) {
  while (const ir::Node* transpose = made_by(view, id, "Transpose")) id = transpose->inputs[0];
  const ir::Node* node = made_by(view, id, "DequantizeLinear");
  return node != nullptr && view.constant(node->inputs[0]) != nullptr;
}

}  // namespace cameo::passes
