// BERT (Devlin et al., 2018): learned positions and segments, layers normalised after each part.
#include "huggingface/architectures.h"

namespace cameo::huggingface {
namespace {

struct BertShape {
  int64_t vocabulary, width, layers, positions, types;
  EncoderLayer layer;
};

BertShape read_shape(Config& c) {
  BertShape s;
  s.vocabulary = c.integer("vocab_size");
  s.width = c.integer("hidden_size");
  s.layers = c.integer("num_hidden_layers", {}, 1, 10000);
  s.positions = c.integer("max_position_embeddings");
  s.types = c.integer("type_vocab_size", 2);
  s.layer.width = s.width;
  s.layer.heads = c.integer("num_attention_heads");
  s.layer.feed_forward = c.integer("intermediate_size");
  s.layer.epsilon = static_cast<float>(c.number("layer_norm_eps", 1e-12));
  s.layer.activation = c.text("hidden_act", "gelu");
  if (s.width % s.layer.heads != 0) c.fail(ErrorCode::kInvalidModel, "num_attention_heads does not divide hidden_size");
  if (const std::string kind = c.text("position_embedding_type", "absolute"); kind != "absolute")
    c.fail(ErrorCode::kUnsupported, fmt::format("position_embedding_type '{}' is not known; known is absolute", kind.substr(0, 60)));
  return s;
}

ir::ValueId run_layers(ModelBuilder& m, const std::string& prefix, ir::ValueId x, ir::ValueId mask, BertShape& s) {
  for (int64_t n = 0; n < s.layers && !m.failed(); ++n) {
    const std::string at = fmt::format("{}encoder.layer.{}.", prefix, n);
    EncoderLayer& l = s.layer;
    l.query = at + "attention.self.query", l.key = at + "attention.self.key", l.value = at + "attention.self.value";
    l.attention_output = at + "attention.output.dense", l.attention_norm = at + "attention.output.LayerNorm";
    l.up = at + "intermediate.dense", l.down = at + "output.dense", l.output_norm = at + "output.LayerNorm";
    x = encoder_layer(m, x, mask, l);
  }
  return x;
}

}  // namespace

void build_bert(ModelBuilder& m) {
  BertShape s = read_shape(m.config());
  const std::string prefix = find_prefix(m, {"", "bert."}, "embeddings.word_embeddings.weight"), at = prefix + "embeddings.";
  const EncoderInputs in = encoder_inputs(m);
  const ir::ValueId types = m.input("token_type_ids", DType::kInt64, {ir::Dim::symbol("batch_size"), ir::Dim::symbol("sequence_length")});
  m.scope(at);
  const ir::ValueId words = m.lookup(at + "word_embeddings.weight", in.ids, s.vocabulary, s.width);
  const ir::ValueId segments = m.lookup(at + "token_type_embeddings.weight", types, s.types, s.width);
  const ir::ValueId positions = first_positions(m, in.ids, at + "position_embeddings.weight", s.positions, s.width);
  m.scope(at);
  const ir::ValueId sum = m.op("Add", {m.op("Add", {words, segments}), positions});
  const ir::ValueId x = m.layer_norm(sum, at + "LayerNorm", s.width, s.layer.epsilon);
  m.output("last_hidden_state", run_layers(m, prefix, x, in.mask, s));
}

// RoBERTa (Liu et al., 2019) and XLM-RoBERTa: positions count from after the padding's number, one segment.
void build_roberta(ModelBuilder& m) {
  BertShape s = read_shape(m.config());
  const int64_t pad = m.config().integer("pad_token_id", 1, 0);
  const std::string prefix = find_prefix(m, {"", "roberta."}, "embeddings.word_embeddings.weight"), at = prefix + "embeddings.";
  const EncoderInputs in = encoder_inputs(m);
  const ir::ValueId numbers = positions_after_padding(m, in.ids, pad);
  m.scope(at);
  const ir::ValueId words = m.lookup(at + "word_embeddings.weight", in.ids, s.vocabulary, s.width);
  const ir::ValueId positions = m.lookup(at + "position_embeddings.weight", numbers, s.positions, s.width);
  const ir::ValueId segment = m.op("Gather", {m.parameter(at + "token_type_embeddings.weight", {s.types, s.width}), m.ints({0})});
  const ir::ValueId sum = m.op("Add", {m.op("Add", {words, segment}), positions});
  const ir::ValueId x = m.layer_norm(sum, at + "LayerNorm", s.width, s.layer.epsilon);
  m.output("last_hidden_state", run_layers(m, prefix, x, in.mask, s));
}

}  // namespace cameo::huggingface
