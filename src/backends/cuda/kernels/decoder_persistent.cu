// What the persistent kernel of a decoder's step covers, and how its work is cut.
#include "backends/cuda/kernels/decoder_persistent.h"

#include <algorithm>
#include <cmath>

namespace cameo::cuda {
namespace {

constexpr int kMostBlocks = 256;
constexpr float kLog2e = 1.4426950408889634f;

int64_t rounded(int64_t bytes) { return (bytes + 255) / 256 * 256; }

// Cuts a product's k into stages; kc = 0 where that cannot be done.
ProductShape shape_of(int n, int k, int pair, int chunks, int blocks) {
  ProductShape s;
  s.n = n, s.k = k, s.pair = pair, s.dealing = dealing((n + (8 << pair) - 1) / (8 << pair), chunks, blocks);
  if (k % (32 * chunks)) return s;
  const int local = k / chunks;
  for (s.parts = (local + kMostPart - 1) / kMostPart; s.parts <= local / 32; ++s.parts)
    if (local % (32 * s.parts) == 0) {
      s.kc = local / s.parts;
      return s;
    }
  return s;
}

struct Plan {
  PersistentParams p{};
  const char* why = nullptr;

  Plan(const DecoderConfig& c, const DeviceTraits& device) {
    const int attended = c.heads * c.head_size, rows = (c.heads + 2 * c.kv_heads) * c.head_size;
    const bool glu = c.activation == Activation::kSwiGlu;
    p.batch = c.batch, p.hidden = c.hidden, p.heads = c.heads, p.kv_heads = c.kv_heads, p.group = c.heads / c.kv_heads;
    p.vocabulary = c.vocabulary, p.capacity = c.capacity, p.layer_count = c.layers;
    p.row_words = rows / 2;
    auto& [qkv, out, up, down, head] = p.shapes;
    const int up_units = c.ffn / 8;
    p.blocks = std::min({device.multiprocessors, kMostBlocks, up_units});
    if (c.ffn % 8 || p.blocks < 4) {
      why = "the feed-forward part is too small";
      return;
    }
    if (c.hidden > 4 * 256) {  // four numbers a thread
      why = "a row is longer than 1024";
      return;
    }
    const auto shape = [&](int n, int k, int pair = 0, int chunks = 1) { return shape_of(n, k, pair, chunks, p.blocks); };
    qkv = shape(rows, c.hidden), out = shape(c.hidden, attended), up = shape(glu ? 2 * c.ffn : c.ffn, c.hidden, glu ? 1 : 0);
    head = shape(c.vocabulary, c.hidden);
    p.split_bits = c.batch * c.heads * kPersistentSplits <= p.blocks ? 2 : 0;
    static_assert(kPersistentSplits == 1 << 2);
    p.attention = dealing(c.batch * c.heads << p.split_bits, 1, p.blocks);
    // Parts of k of `down`: by the cycles that reading x and parts takes (16 bytes a cycle and row) and that the tiles take.
    double least = INFINITY;
    for (int chunks : {1, 2, 4}) {
      const ProductShape s = shape(c.hidden, c.ffn, 0, chunks);
      if (!s.kc || !place(s)) continue;
      const double tiles = s.dealing.rounds + (s.dealing.units % s.dealing.group ? 1 : 0);
      const double cost = c.batch * (s.local() + chunks * c.hidden) / 16. + tiles * s.local() / 3.;
      if (cost < least) least = cost, down = s;
    }
    if (!qkv.kc || !out.kc || !up.kc || !head.kc)
      why = "an extent of a sum is not a multiple of 32";
    else if (!down.kc || !place(down))
      why = "the vectors leave too little shared memory for weights";
  }

 private:
  // Lays out shared memory of 227 KB with this `down`; whether enough stages remain.
  bool place(const ProductShape& down) {
    int most = 0, stage = 8192;
    for (int i = 0; i < 5; ++i) {
      const ProductShape& s = i == 3 ? down : p.shapes[i];
      most = std::max(most, pair_stride(s.local()));
      stage = std::max(stage, 8 * row_stride(s.kc));
    }
    p.stage_bytes = stage;
    p.x_at = 7168;
    p.xs_at = p.x_at + static_cast<int>(rounded(int64_t{p.batch} * p.hidden * 4));
    p.sums_at = p.xs_at + static_cast<int>(rounded(int64_t{p.batch} * most));
    p.ring_at = p.sums_at + 2 * 8 * 4 * 32 * 8;
    constexpr int kShared = 227 * 1024;
    p.stages = std::min((kShared - p.ring_at) / stage, kMostStages);
    p.shared = p.ring_at + p.stages * stage;
    return p.stages >= 4;
  }
};

// Places in the workspace.
struct Words {
  int64_t epochs = 0, qkv, attended, out, up, down, best, total;
  explicit Words(const DecoderConfig& c) {
    int64_t at = rounded(kMostBlocks * 4);
    const auto place = [&](int64_t words) {
      const int64_t here = at;
      at += rounded(words * 8);
      return here;
    };
    qkv = place((c.heads + 2 * c.kv_heads) * c.head_size / 2);
    attended = place(c.heads * 4 * (c.head_size / 2 + 2));
    out = place(c.hidden / 2), up = place(c.ffn / 2);
    down = place(int64_t{2} * 4 * c.hidden / 2), best = place(int64_t{2} * kMostBlocks);
    total = at;
  }
};

}  // namespace

int64_t decoder_persistent_workspace(const DecoderConfig& config) { return config.type == Scalar::kFloat16 ? Words(config).total : 0; }

const char* decoder_persistent_refusal(const DecoderConfig& c, const DecoderWeights& w, const DeviceTraits& device) {
  if (device.capability < 90) return "needs compute capability 9.0";
  if (device.shared_memory < 227 * 1024) return "needs 227 KB of shared memory a block";
  if (c.type != Scalar::kFloat16) return "needs float16";
  if (c.batch != 1) return "the batch is not 1";
  if (c.layers > kPersistentLayers) return "there are too many layers";
  if (c.head_size != 64) return "the head's size is not 64";
  const auto lies = [](const void* p, uintptr_t on) { return reinterpret_cast<uintptr_t>(p) % on == 0; };
  const auto covered = [&](const DecoderMatrix& m) { return m.format == WeightFormat::kPlain && lies(m.w, 16) && lies(m.bias, 4); };
  bool all = covered(w.head) && lies(w.token_embedding, 8) && lies(w.position_embedding, 8) && lies(w.final_norm_weight, 8) &&
             lies(w.final_norm_bias, 8) && lies(c.rope_cos, 16) && lies(c.rope_sin, 16);
  for (int i = 0; i < c.layers; ++i) {
    const DecoderLayer& l = w.layers[i];
    all = all && covered(l.qkv) && covered(l.out) && covered(l.up) && covered(l.down) && lies(l.norm1_weight, 8) && lies(l.norm1_bias, 8) &&
          lies(l.norm2_weight, 8) && lies(l.norm2_bias, 8) && lies(l.k_cache, 16) && lies(l.v_cache, 16);
  }
  if (!all) return "needs plain weights that lie on multiples of 16 bytes";
  return Plan(c, device).why;
}

cudaError_t decoder_persistent(const DecoderConfig& c, const DecoderWeights& w, const DecoderState& state, void* workspace,
                               const DeviceTraits& device, cudaStream_t stream) {
  PersistentParams p = Plan(c, device).p;
  p.norm = c.norm, p.activation = c.activation, p.epsilon = c.epsilon, p.inverse_hidden = 1.f / c.hidden,
  p.embedding_scale = c.embedding_scale;
  p.scale = (c.attention_scale != 0.f ? c.attention_scale : 1.f / std::sqrt(static_cast<float>(c.head_size))) * kLog2e;
  p.rope_cos = c.rope_cos, p.rope_sin = c.rope_sin;
  p.token_embedding = w.token_embedding, p.position_embedding = w.position_embedding;
  p.final_norm_weight = w.final_norm_weight, p.final_norm_bias = w.final_norm_bias;
  p.head_weight = w.head.w, p.head_bias = w.head.bias;
  p.state = state, p.inverse_temperature = state.temperature > 0.f ? 1.f / state.temperature : 0.f;
  auto* base = static_cast<uint8_t*>(workspace);
  const Words words(c);
  const auto at = [&](int64_t place) { return reinterpret_cast<unsigned long long*>(base + place); };
  p.epochs = reinterpret_cast<uint32_t*>(base + words.epochs);
  p.words_qkv = at(words.qkv), p.words_attended = at(words.attended), p.words_out = at(words.out), p.words_up = at(words.up);
  p.words_down = at(words.down), p.words_best = at(words.best);
  for (int i = 0; i < c.layers; ++i) {
    const DecoderLayer& l = w.layers[i];
    p.layers[i] = {{l.qkv.w, l.out.w, l.up.w, l.down.w},
                   {l.qkv.bias, l.out.bias, l.up.bias, l.down.bias},
                   {l.norm1_weight, l.norm2_weight},
                   {l.norm1_bias, l.norm2_bias},
                   l.k_cache,
                   l.v_cache};
  }
  return decoder_persistent_f16(p, stream);
}

}  // namespace cameo::cuda
