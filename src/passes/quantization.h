// What passes ask of QuantizeLinear and DequantizeLinear nodes.
#pragma once

#include <optional>

#include "passes/view.h"

namespace cameo::passes {

// One scale and zero point for a whole tensor of uint8 or int8.
struct TensorQuantization {
  float scale = 1;
  int64_t zero = 0;
  DType type = DType::kUint8;
  friend bool operator==(const TensorQuantization&, const TensorQuantization&) = default;
};

// What a QuantizeLinear or DequantizeLinear node does, when it has one positive constant scale and zero point, and its float side is
// float32; nothing for other nodes.
std::optional<TensorQuantization> tensor_quantization(const GraphView& view, const ir::Node& node);

// A constant weight that a DequantizeLinear gives to a product or convolution: int8 codes w and a scale for each output channel,
// in place of float32 w * scale.
struct Int8Weight {
  Tensor codes;               // int8, the extents of the float weight
  std::vector<float> scales;  // one a channel
};
// `id` as such a weight whose channels are `axis`, or why it is none. uint8 codes with zero points of 128 become int8.
Result<Int8Weight> int8_weight(const GraphView& view, ir::ValueId id, int64_t axis);

// Whether the value is the output of a DequantizeLinear whose codes are constant, or of a Transpose of one.
bool is_dequantized_constant(const GraphView& view, ir::ValueId id);

}  // namespace cameo::passes
