// GPT-2 (Radford et al., 2019): learned positions, layers normalised before each part, the output tied to the embeddings.
// Its matrices are stored [in, out].
#include "huggingface/architectures.h"

namespace cameo::huggingface {
namespace {

ir::ValueId product(ModelBuilder& m, ir::ValueId x, const std::string& prefix, int64_t in, int64_t out) {
  m.scope(prefix + ".");
  return m.op("Add", {m.op("MatMul", {x, m.parameter(prefix + ".weight", {in, out})}), m.parameter(prefix + ".bias", {out})});
}

}  // namespace

void build_gpt2(ModelBuilder& m) {
  Config& c = m.config();
  const int64_t vocabulary = c.integer("vocab_size"), width = c.integer("n_embd"), layers = c.integer("n_layer", {}, 1, 10000);
  const int64_t heads = c.integer("n_head"), positions = c.integer("n_positions", c.integer("n_ctx", 1024)),
                wide = c.integer("n_inner", 4 * width);
  const auto epsilon = static_cast<float>(c.number("layer_norm_epsilon", 1e-5));
  const std::string activation = c.text("activation_function", "gelu_new");
  if (width % heads != 0) c.fail(ErrorCode::kInvalidModel, "n_head does not divide n_embd");
  if (!c.flag("scale_attn_weights", true) || c.flag("scale_attn_by_inverse_layer_idx", false))
    c.fail(ErrorCode::kUnsupported,
           "only attention scaled by the head's size is known (scale_attn_weights, scale_attn_by_inverse_layer_idx)");
  const std::string prefix = find_prefix(m, {"", "transformer."}, "wte.weight");
  const DecoderInputs in = decoder_inputs(m);
  m.scope(prefix);
  ir::ValueId x = m.op(
      "Add", {m.lookup(prefix + "wte.weight", in.ids, vocabulary, width), m.lookup(prefix + "wpe.weight", in.positions, positions, width)});
  for (int64_t n = 0; n < layers && !m.failed(); ++n) {
    const std::string at = fmt::format("{}h.{}.", prefix, n);
    const ir::ValueId before = m.layer_norm(x, at + "ln_1", width, epsilon);
    const ir::ValueId packed = product(m, before, at + "attn.c_attn", width, 3 * width);
    const auto qkv = m.op("Split", {packed}, 3, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{3}}});
    const ir::ValueId seen = cached_attention(m, qkv, in.mask, {heads, heads, width / heads}, n);
    x = m.op("Add", {product(m, seen, at + "attn.c_proj", width, width), x});
    const ir::ValueId up = product(m, m.layer_norm(x, at + "ln_2", width, epsilon), at + "mlp.c_fc", width, wide);
    x = m.op("Add", {product(m, m.activation(up, activation), at + "mlp.c_proj", wide, width), x});
  }
  x = m.layer_norm(x, prefix + "ln_f", width, epsilon);
  const bool own_head = m.weights().has("lm_head.weight") && !c.flag("tie_word_embeddings", true);
  decoder_output(m, x, own_head ? "lm_head" : prefix + "wte", width, vocabulary);
}

}  // namespace cameo::huggingface
