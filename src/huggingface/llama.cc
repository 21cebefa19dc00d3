// Llama (Touvron et al., 2023) and its kin Mistral, Qwen2, Qwen3 and SmolLM: RMS norms before each part, rotary positions, query
// heads that share keys and values, gated feed-forward; biases, norms of queries and keys, a sliding window or tied
// embeddings where the model has them.
#include "huggingface/architectures.h"

namespace cameo::huggingface {

void build_llama(ModelBuilder& m) {
  Config& c = m.config();
  LlamaShape s;
  s.vocabulary = c.integer("vocab_size");
  s.width = c.integer("hidden_size");
  s.layers = c.integer("num_hidden_layers", {}, 1, 10000);
  s.heads = c.integer("num_attention_heads");
  s.kv_heads = c.integer("num_key_value_heads", s.heads);
  s.head_size = c.integer("head_dim", std::max<int64_t>(s.width / s.heads, 1));
  s.feed_forward = c.integer("intermediate_size");
  s.positions = c.integer("max_position_embeddings", 2048);
  s.epsilon = static_cast<float>(c.number("rms_norm_eps", 1e-6));
  s.activation = c.text("hidden_act", "silu");
  const bool qwen = c.text("model_type", "").starts_with("qwen");
  if (c.flag("use_sliding_window", !qwen)) s.window = c.integer("sliding_window", 0, 0);
  if (s.window > 0 && qwen && c.integer("max_window_layers", s.layers, 0) < s.layers)
    c.fail(ErrorCode::kUnsupported, "a sliding window in some of the layers only (max_window_layers) is not known");
  s.rotary_size = static_cast<int64_t>(static_cast<double>(s.head_size) * c.number("partial_rotary_factor", 1));
  s.rotary = read_rotary(c, s.rotary_size);
  build_llama(m, s);
}

void build_llama(ModelBuilder& m, const LlamaShape& s) {
  if (m.failed()) return;
  if (s.heads % s.kv_heads != 0)
    return m.fail(error(ErrorCode::kInvalidModel, "{} query heads cannot share {} heads of keys", s.heads, s.kv_heads));
  if (s.rotary_size % 2 != 0 || s.rotary_size < 2 || s.rotary_size > s.head_size ||
      s.rotary.frequencies.size() != static_cast<size_t>(s.rotary_size / 2))
    return m.fail(
        error(ErrorCode::kInvalidModel, "rotary embedding cannot turn {} of the {} elements of a head", s.rotary_size, s.head_size));
  if (s.heads * s.head_size > int64_t{1} << 24 || s.positions * s.rotary_size > int64_t{1} << 27)
    return m.fail(
        error(ErrorCode::kInvalidModel, "{} heads of {} elements at {} positions are too many", s.heads, s.head_size, s.positions));
  auto tables = make_rotary_tables(s.rotary, s.positions);
  if (!tables.ok()) return m.fail(tables.error());
  const std::string prefix = find_prefix(m, {"model.", ""}, "embed_tokens.weight");
  const DecoderInputs in = decoder_inputs(m);
  const ir::ValueId cos = m.constant("rotary.cos", tables->cos), sin = m.constant("rotary.sin", tables->sin);
  const auto turn = [&](ir::ValueId x, int64_t heads) {
    return m.op("RotaryEmbedding", {x, cos, sin, in.positions},
                {{"num_heads", heads},
                 {"rotary_embedding_dim", s.rotary_size == s.head_size ? 0 : s.rotary_size},
                 {"interleaved", int64_t{s.interleaved}}});
  };
  // RMS norm of each head on its own (Qwen3).
  const auto norm_heads = [&](ir::ValueId x, const std::string& norm, int64_t heads) {
    if (!m.weights().has(norm + ".weight")) return x;
    m.scope(norm + ".");
    const ir::ValueId apart = m.op("Reshape", {x, m.ints({0, 0, heads, s.head_size})});
    return m.op("Reshape", {m.rms_norm(apart, norm, s.head_size, s.epsilon), m.ints({0, 0, heads * s.head_size})});
  };
  m.scope(prefix);
  ir::ValueId x = m.lookup(prefix + "embed_tokens.weight", in.ids, s.vocabulary, s.width);
  const int64_t query = s.heads * s.head_size, key = s.kv_heads * s.head_size;
  for (int64_t n = 0; n < s.layers && !m.failed(); ++n) {
    const std::string at = fmt::format("{}layers.{}.", prefix, n), attention = at + "self_attn.", mlp = at + "mlp.";
    const ir::ValueId before = m.rms_norm(x, at + "input_layernorm", s.width, s.epsilon);
    auto qkv = m.linears(before, {attention + "q_proj", attention + "k_proj", attention + "v_proj"}, s.width, {query, key, key});
    m.scope(attention);
    qkv[0] = turn(norm_heads(qkv[0], attention + "q_norm", s.heads), s.heads);
    qkv[1] = turn(norm_heads(qkv[1], attention + "k_norm", s.kv_heads), s.kv_heads);
    const ir::ValueId seen = cached_attention(m, qkv, in.mask, {s.heads, s.kv_heads, s.head_size, s.window}, n);
    x = m.op("Add", {m.linear(seen, attention + "o_proj", query, s.width), x});
    const ir::ValueId after = m.rms_norm(x, at + "post_attention_layernorm", s.width, s.epsilon);
    const auto gate_up = m.linears(after, {mlp + "gate_proj", mlp + "up_proj"}, s.width, {s.feed_forward, s.feed_forward});
    m.scope(mlp);
    const ir::ValueId gated = m.op("Mul", {m.activation(gate_up[0], s.activation), gate_up[1]});
    x = m.op("Add", {m.linear(gated, mlp + "down_proj", s.feed_forward, s.width), x});
  }
  x = m.rms_norm(x, prefix + "norm", s.width, s.epsilon);
  const std::string head = m.weights().has("lm_head.weight") ? "lm_head" : prefix + "embed_tokens";
  decoder_output(m, x, head, s.width, s.vocabulary);
}

}  // namespace cameo::huggingface
