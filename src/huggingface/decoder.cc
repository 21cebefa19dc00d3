// What the causal language models share.
#include "huggingface/architectures.h"

namespace cameo::huggingface {

DecoderInputs decoder_inputs(ModelBuilder& m) {
  const ir::Dim batch = ir::Dim::symbol("batch_size"), sequence = ir::Dim::symbol("sequence_length");
  DecoderInputs inputs;
  inputs.ids = m.input("input_ids", DType::kInt64, {batch, sequence});
  const ir::Dim seen = m.hidden_states() ? sequence : ir::Dim::symbol("total_sequence_length");
  const ir::ValueId mask = m.input("attention_mask", DType::kInt64, {batch, seen});
  if (m.hidden_states()) {
    // The number of tokens before it; padding on the left has the first token's.
    m.scope("position_ids.");
    const ir::ValueId count = m.op("CumSum", {mask, m.constant("axis", Tensor::of<int64_t>({}, {1}))});
    inputs.positions = m.op("Max", {m.op("Sub", {count, m.ints({1})}), m.ints({0})});
  } else {
    inputs.positions = m.input("position_ids", DType::kInt64, {batch, sequence});
  }
  m.scope("attention_mask.");
  inputs.mask = m.op("Unsqueeze", {m.op("Cast", {mask}, {{"to", static_cast<int64_t>(DType::kBool)}}), m.ints({1, 2})});
  return inputs;
}

ir::ValueId cached_attention(ModelBuilder& m, std::vector<ir::ValueId> qkv, ir::ValueId mask, const CausalAttention& shape, int64_t n) {
  passes::AttrList attrs = {{"q_num_heads", shape.heads}, {"kv_num_heads", shape.kv_heads}, {"is_causal", int64_t{1}}};
  // The window counts the query itself.
  if (shape.window > 0) attrs.push_back({"left_window_size", shape.window - 1});
  if (m.hidden_states()) return m.op("Attention", {qkv[0], qkv[1], qkv[2], mask}, attrs);
  const ir::Shape past = {ir::Dim::symbol("batch_size"), shape.kv_heads, ir::Dim::symbol("past_sequence_length"), shape.head_size};
  const ir::ValueId past_key = m.input(fmt::format("past_key_values.{}.key", n), DType::kFloat32, past);
  const ir::ValueId past_value = m.input(fmt::format("past_key_values.{}.value", n), DType::kFloat32, past);
  const auto results = m.op("Attention", {qkv[0], qkv[1], qkv[2], mask, past_key, past_value}, 3, attrs);
  m.output(fmt::format("present.{}.key", n), results[1]);
  m.output(fmt::format("present.{}.value", n), results[2]);
  return results[0];
}

void decoder_output(ModelBuilder& m, ir::ValueId x, const std::string& head, int64_t width, int64_t vocabulary) {
  if (m.hidden_states())
    m.output("last_hidden_state", x);
  else
    m.output("logits", m.linear(x, head, width, vocabulary));
}

}  // namespace cameo::huggingface
