// DistilBERT (Sanh et al., 2019): BERT without segments.
#include "huggingface/architectures.h"

namespace cameo::huggingface {

void build_distilbert(ModelBuilder& m) {
  Config& c = m.config();
  const int64_t vocabulary = c.integer("vocab_size"), width = c.integer("dim"), layers = c.integer("n_layers", {}, 1, 10000);
  const int64_t positions = c.integer("max_position_embeddings", 512);
  EncoderLayer l = {.width = width,
                    .heads = c.integer("n_heads"),
                    .feed_forward = c.integer("hidden_dim"),
                    .epsilon = 1e-12f,
                    .activation = c.text("activation", "gelu")};
  if (width % l.heads != 0) c.fail(ErrorCode::kInvalidModel, "n_heads does not divide dim");
  const std::string prefix = find_prefix(m, {"", "distilbert."}, "embeddings.word_embeddings.weight");
  const std::string embeddings = prefix + "embeddings.";
  const EncoderInputs in = encoder_inputs(m);
  m.scope(embeddings);
  const ir::ValueId words = m.lookup(embeddings + "word_embeddings.weight", in.ids, vocabulary, width);
  const ir::ValueId places = first_positions(m, in.ids, embeddings + "position_embeddings.weight", positions, width);
  ir::ValueId x = m.layer_norm(m.op("Add", {words, places}), embeddings + "LayerNorm", width, l.epsilon);
  for (int64_t n = 0; n < layers && !m.failed(); ++n) {
    const std::string at = fmt::format("{}transformer.layer.{}.", prefix, n);
    l.query = at + "attention.q_lin", l.key = at + "attention.k_lin", l.value = at + "attention.v_lin";
    l.attention_output = at + "attention.out_lin", l.attention_norm = at + "sa_layer_norm";
    l.up = at + "ffn.lin1", l.down = at + "ffn.lin2", l.output_norm = at + "output_layer_norm";
    x = encoder_layer(m, x, in.mask, l);
  }
  m.output("last_hidden_state", x);
}

}  // namespace cameo::huggingface
