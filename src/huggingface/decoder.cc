// What the causal language models share.
#include "huggingface/architectures.h"

namespace cameo::huggingface {

DecoderInputs decoder_inputs(ModelBuilder& m) {
  const ir::Dim batch = ir::Dim::symbol("batch_size"), sequence = ir::Dim::symbol("sequence_length");
  DecoderInputs inputs;
  inputs.ids = m.input("input_ids", DType::kInt64, {batch, sequence});
  const ir::ValueId mask = m.input("attention_mask", DType::kInt64, {batch, ir::Dim::symbol("total_sequence_length")});
  inputs.positions = m.input("position_ids", DType::kInt64, {batch, sequence});
  m.scope("attention_mask.");
  inputs.mask = m.op("Unsqueeze", {m.op("Cast", {mask}, {{"to", static_cast<int64_t>(DType::kBool)}}), m.ints({1, 2})});
  return inputs;
}

ir::ValueId cached_attention(ModelBuilder& m, std::vector<ir::ValueId> qkv, ir::ValueId mask, const CausalAttention& shape, int64_t n) {
  const ir::Shape past = {ir::Dim::symbol("batch_size"), shape.kv_heads, ir::Dim::symbol("past_sequence_length"), shape.head_size};
  const ir::ValueId past_key = m.input(fmt::format("past_key_values.{}.key", n), DType::kFloat32, past);
  const ir::ValueId past_value = m.input(fmt::format("past_key_values.{}.value", n), DType::kFloat32, past);
  passes::AttrList attrs = {{"q_num_heads", shape.heads}, {"kv_num_heads", shape.kv_heads}, {"is_causal", int64_t{1}}};
  // The window counts the query itself.
  if (shape.window > 0) attrs.push_back({"left_window_size", shape.window - 1});
  const auto results = m.op("Attention", {qkv[0], qkv[1], qkv[2], mask, past_key, past_value}, 3, attrs);
  m.output(fmt::format("present.{}.key", n), results[1]);
  m.output(fmt::format("present.{}.value", n), results[2]);
  return results[0];
}

}  // namespace cameo::huggingface
