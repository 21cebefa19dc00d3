// What the encoders share.
#include "huggingface/architectures.h"

namespace cameo::huggingface {

std::string find_prefix(ModelBuilder& m, std::initializer_list<const char*> prefixes, const std::string& parameter) {
  for (const char* prefix : prefixes)
    if (m.weights().has(prefix + parameter)) return prefix;
  m.fail(error(ErrorCode::kInvalidModel, "the files have no tensor '{}'", parameter));
  return "";
}

EncoderInputs encoder_inputs(ModelBuilder& m) {
  const ir::Shape shape = {ir::Dim::symbol("batch_size"), ir::Dim::symbol("sequence_length")};
  EncoderInputs inputs;
  inputs.ids = m.input("input_ids", DType::kInt64, shape);
  const ir::ValueId mask = m.input("attention_mask", DType::kInt64, shape);
  m.scope("attention_mask.");
  inputs.mask = m.op("Unsqueeze", {m.op("Cast", {mask}, {{"to", static_cast<int64_t>(DType::kBool)}}), m.ints({1, 2})});
  return inputs;
}

ir::ValueId positions_after_padding(ModelBuilder& m, ir::ValueId ids, int64_t pad) {
  m.scope("position_ids.");
  const ir::ValueId padding = m.constant("padding", Tensor::of<int64_t>({}, {pad}));
  const ir::ValueId real = m.op("Cast", {m.op("Not", {m.op("Equal", {ids, padding})})}, {{"to", static_cast<int64_t>(DType::kInt64)}});
  const ir::ValueId count = m.op("CumSum", {real, m.constant("axis", Tensor::of<int64_t>({}, {1}))});
  return m.op("Add", {m.op("Mul", {count, real}), padding});
}

ir::ValueId first_positions(ModelBuilder& m, ir::ValueId ids, const std::string& name, int64_t rows, int64_t width) {
  m.scope("position_ids.");
  const ir::ValueId length = m.op("Shape", {ids}, {{"start", int64_t{1}}, {"end", int64_t{2}}});
  return m.op("Slice", {m.parameter(name, {rows, width}), m.ints({0}), length, m.ints({0})});
}

ir::ValueId encoder_layer(ModelBuilder& m, ir::ValueId x, ir::ValueId mask, const EncoderLayer& l) {
  const auto qkv = m.linears(x, {l.query, l.key, l.value}, l.width, {l.width, l.width, l.width});
  m.scope(l.attention_output + ".");
  const ir::ValueId seen = m.op("Attention", {qkv[0], qkv[1], qkv[2], mask}, {{"q_num_heads", l.heads}, {"kv_num_heads", l.heads}});
  const ir::ValueId attended = m.linear(seen, l.attention_output, l.width, l.width);
  x = m.layer_norm(m.op("Add", {attended, x}), l.attention_norm, l.width, l.epsilon);
  const ir::ValueId up = m.activation(m.linear(x, l.up, l.width, l.feed_forward), l.activation);
  const ir::ValueId down = m.linear(up, l.down, l.feed_forward, l.width);
  return m.layer_norm(m.op("Add", {down, x}), l.output_norm, l.width, l.epsilon);
}

}  // namespace cameo::huggingface
