// MPNet (Song et al., 2020): RoBERTa's positions, and a bias of each head by the distance of two tokens, in buckets as T5 has
// them (Raffel et al., 2019).
#include <algorithm>
#include <cmath>

#include "huggingface/architectures.h"

namespace cameo::huggingface {
namespace {

constexpr int64_t kFarthest = 128;  // distances from here on are one bucket

// The bucket of a key that stands `distance` after the query. Half of the buckets are for each direction; of those half are
// for one distance each, the others widen with its logarithm.
int64_t bucket_of(int64_t distance, int64_t buckets) {
  const int64_t half = buckets / 2, exact = std::max<int64_t>(half / 2, 1), steps = std::abs(distance), first = distance > 0 ? half : 0;
  if (steps < exact) return first + steps;
  const float share =
      std::log(static_cast<float>(steps) / static_cast<float>(exact)) / std::log(static_cast<float>(kFarthest) / static_cast<float>(exact));
  const auto wide = exact + static_cast<int64_t>(share * static_cast<float>(half - exact));
  return first + std::min(wide, half - 1);
}

// Bias of each head by distance, float32 [heads, 2 positions - 1]; distance 0 stands in the middle.
Result<Tensor> bias_by_distance(const Tensor& by_bucket, int64_t positions) {
  const int64_t buckets = by_bucket.dim(0), heads = by_bucket.dim(1), distances = 2 * positions - 1;
  CAMEO_ASSIGN(Tensor table, Tensor::allocate(DType::kFloat32, {heads, distances}));
  for (int64_t d = 0; d < distances; ++d)
    for (int64_t h = 0; h < heads; ++h)
      table.data<float>()[h * distances + d] = by_bucket.data<float>()[bucket_of(d - positions + 1, buckets) * heads + h];
  return table;
}

// float32 [1, heads, sequence, sequence]
ir::ValueId position_bias(ModelBuilder& m, const std::string& name, ir::ValueId ids, int64_t buckets, int64_t heads, int64_t positions) {
  auto by_bucket = m.weights().floats(name, {buckets, heads});
  if (!by_bucket.ok()) return m.fail(by_bucket.error()), 0;
  auto table = bias_by_distance(*by_bucket, positions);
  if (!table.ok()) return m.fail(table.error()), 0;
  m.scope("relative_attention_bias.");
  const auto number = [&](int64_t v) { return m.constant("number", Tensor::of<int64_t>({}, {v})); };
  const ir::ValueId length = m.op("Squeeze", {m.op("Shape", {ids}, {{"start", int64_t{1}}, {"end", int64_t{2}}}), m.ints({0})});
  const ir::ValueId steps = m.op("Range", {number(0), length, number(1)});
  const ir::ValueId distance = m.op("Sub", {m.op("Unsqueeze", {steps, m.ints({0})}), m.op("Unsqueeze", {steps, m.ints({1})})});
  const ir::ValueId place = m.op("Add", {distance, number(positions - 1)});
  return m.op("Unsqueeze", {m.op("Gather", {m.constant(name, *table), place}, {{"axis", int64_t{1}}}), m.ints({0})});
}

}  // namespace

void build_mpnet(ModelBuilder& m) {
  Config& c = m.config();
  const int64_t vocabulary = c.integer("vocab_size"), width = c.integer("hidden_size"),
                layers = c.integer("num_hidden_layers", {}, 1, 10000);
  const int64_t positions = c.integer("max_position_embeddings", {}, 1, 1 << 20),
                buckets = c.integer("relative_attention_num_buckets", 32, 4, 4096);
  const int64_t pad = c.integer("pad_token_id", 1, 0);
  EncoderLayer l = {.width = width,
                    .heads = c.integer("num_attention_heads"),
                    .feed_forward = c.integer("intermediate_size"),
                    .epsilon = static_cast<float>(c.number("layer_norm_eps", 1e-12)),
                    .activation = c.text("hidden_act", "gelu")};
  if (width % l.heads != 0) c.fail(ErrorCode::kInvalidModel, "num_attention_heads does not divide hidden_size");
  const std::string prefix = find_prefix(m, {"", "mpnet."}, "embeddings.word_embeddings.weight"), embeddings = prefix + "embeddings.";
  const EncoderInputs in = encoder_inputs(m);
  const ir::ValueId numbers = positions_after_padding(m, in.ids, pad);
  m.scope(embeddings);
  const ir::ValueId words = m.lookup(embeddings + "word_embeddings.weight", in.ids, vocabulary, width);
  const ir::ValueId places = m.lookup(embeddings + "position_embeddings.weight", numbers, positions, width);
  ir::ValueId x = m.layer_norm(m.op("Add", {words, places}), embeddings + "LayerNorm", width, l.epsilon);
  if (m.failed()) return;
  const ir::ValueId bias = position_bias(m, prefix + "encoder.relative_attention_bias.weight", in.ids, buckets, l.heads, positions);
  const ir::ValueId mask = m.op("Where", {in.mask, bias, m.scalar(-3.4028235e38f)});
  for (int64_t n = 0; n < layers && !m.failed(); ++n) {
    const std::string at = fmt::format("{}encoder.layer.{}.", prefix, n);
    l.query = at + "attention.attn.q", l.key = at + "attention.attn.k", l.value = at + "attention.attn.v";
    l.attention_output = at + "attention.attn.o", l.attention_norm = at + "attention.LayerNorm";
    l.up = at + "intermediate.dense", l.down = at + "output.dense", l.output_norm = at + "output.LayerNorm";
    x = encoder_layer(m, x, mask, l);
  }
  m.output("last_hidden_state", x);
}

}  // namespace cameo::huggingface
