// A decoder's step as a chain of kernels with programmatic dependent launch. Up to 8 sequences a layer is two kernels of clusters,
// where that is covered (decoder_fused.h); else five:
//   norm + queries, keys, values | attention + append | output + residual | norm + up + activation | down + residual
// The embedding is part of the first, the final norm and the choice of the token are part of the head's product. Each kernel
// has its weights (attention: its cached keys and values) on the way before it waits for the one before it, so that a step
// costs about what reading the weights costs, and some 2 us of latency a kernel where they are small.
// Above 4 sequences products go by step_product.h on Hopper and leave each other what norms need. What that does not cover goes
// by tiles (tile_gemm.h) above 16 sequences, where it can, and norms are then kernels of their own (also where x does not fit), for
// blocks have many rows to normalise.
//
// The step's first kernel lets others start only when all before it is done; so whatever later kernels read before they wait
// (lengths, caches, weights) is not being written by the step before.
#include "backends/cuda/kernels/decoder_step.h"

#include <cmath>
#include <utility>

#include "backends/cuda/kernels/attention_few.cuh"
#include "backends/cuda/kernels/decoder_fused.h"
#include "backends/cuda/kernels/decoder_prompt.h"
#include "backends/cuda/kernels/skinny_gemm.cuh"
#include "backends/cuda/kernels/skinny_variants.h"
#include "backends/cuda/kernels/step_product.h"
#include "backends/cuda/kernels/tile_gemm.h"

namespace cameo::cuda {
namespace {

// Products of more rows go by step_product.h, where it covers them (of the head behind two kernels a layer: more than the second); of
// more than the last by tiles, where those do.
constexpr int kSkinnyRows = 4, kSkinnyRowsTwo = 8, kSkinnyRowsElse = 16;
// Shorter rows: latencies count for more than what is read.
constexpr int kShortRow = 768;

struct StepAttention {
  const void* qkv;  // [batch, (heads + 2 kv_heads) * size]
  void* out;        // [batch, heads * size]
  void* k_cache;    // [batch, kv_heads, capacity, size]
  void* v_cache;
  const int32_t* lengths;
  const float* rope_cos;  // [capacity, size / 2] or null
  const float* rope_sin;
  int32_t heads, kv_heads, capacity, splits;
  float scale;  // times log2(e)
};

// One new query a head: rotates it and the new key, appends key and value to the caches, attends over all keys.
template <typename T, int HD, int R, int WARPS>
__global__ void __launch_bounds__(32 * WARPS) step_attention(const __grid_constant__ StepAttention a) {
  using Queries = FewQueries<T, HD, R, WARPS>;
  using L = FewLayout<T, HD>;
  constexpr int U = Queries::kUnroll, V = L::kVector;
  extern __shared__ __align__(16) float shared[];  // Queries::kShared
  launch_dependents();
  if (a.splits > 1) cluster_arrive();
  Queries state;
  const int group = a.heads / a.kv_heads, split = a.splits > 1 ? cluster_rank() : 0;
  const int unit = blockIdx.x / a.splits, b = unit / a.kv_heads, kv_head = unit % a.kv_heads;
  const int position = min(max(a.lengths[b], 0), a.capacity);  // the keys cached so far; at capacity nothing is added
  const int64_t cache = (static_cast<int64_t>(b) * a.kv_heads + kv_head) * a.capacity * HD;
  T* k = static_cast<T*>(a.k_cache) + cache;
  T* v = static_cast<T*>(a.v_cache) + cache;
  const int share = (position + a.splits - 1) / a.splits, first = split * share, last = min(first + share, position);
  int j0 = first + state.warp * L::kGroups * U;
  uint4 kp[U][L::kChunks], vp[U][L::kChunks];
  state.template load<U>(kp, k, HD, j0, last);
  state.template load<U>(vp, v, HD, j0, last);

  wait_for_predecessor();
  const T* row = static_cast<const T*>(a.qkv) + static_cast<int64_t>(b) * (a.heads + 2 * a.kv_heads) * HD;
  // 16 bytes of a head that begins at `from`, rotated by halves where there is a table.
  const auto rotated = [&](const T* from, int c, float* f) {
    if (!state.has_piece(c)) {
#pragma unroll
      for (int e = 0; e < V; ++e) f[e] = 0.f;
      return;
    }
    unpack16<T>(load_fresh(from + state.piece(c)), f);
    if (!a.rope_cos) return;
    const bool upper = state.piece(c) >= HD / 2;
    const int pair = upper ? state.piece(c) - HD / 2 : state.piece(c) + HD / 2;
    const int64_t at = static_cast<int64_t>(min(position, a.capacity - 1)) * (HD / 2) + (upper ? pair : state.piece(c));
    float g[V];
    unpack16<T>(load_fresh(from + pair), g);
#pragma unroll
    for (int e = 0; e < V; ++e) f[e] = f[e] * a.rope_cos[at + e] + (upper ? g[e] : -g[e]) * a.rope_sin[at + e];
  };
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) {
      rotated(row + (kv_head * group + min(r, group - 1)) * HD, c, state.q[r] + c * V);
#pragma unroll
      for (int e = 0; e < V; ++e) state.q[r][c * V + e] *= a.scale;
    }
  if (split == 0 && state.warp == WARPS - 1 && position < a.capacity) {
    uint4 kn[1][L::kChunks], vn[1][L::kChunks];
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) {
      float f[V];
      rotated(row + (a.heads + kv_head) * HD, c, f);
      kn[0][c] = pack16<T>(f);
      vn[0][c] = state.has_piece(c) ? load_fresh(row + (a.heads + a.kv_heads + kv_head) * HD + state.piece(c)) : uint4{};
      if (state.which == 0 && state.has_piece(c)) {
        *reinterpret_cast<uint4*>(k + static_cast<int64_t>(position) * HD + state.piece(c)) = kn[0][c];
        *reinterpret_cast<uint4*>(v + static_cast<int64_t>(position) * HD + state.piece(c)) = vn[0][c];
      }
    }
    state.template add<1>(kn, vn, [&](int, int, float product) { return state.which == 0 ? product : -INFINITY; });
  }
  while (j0 < last) {
    state.template add<U>(kp, vp,
                          [&](int, int u, float product) { return j0 + u * L::kGroups + state.which < last ? product : -INFINITY; });
    j0 += WARPS * L::kGroups * U;
    state.template load<U>(kp, k, HD, j0, last);
    state.template load<U>(vp, v, HD, j0, last);
  }
  T* out = static_cast<T*>(a.out) + static_cast<int64_t>(b) * a.heads * HD + kv_head * group * HD;
  state.finish(shared, a.splits, split, [&](int r, int d, float value) {
    if (r < group) out[r * HD + d] = from_float<T>(value);
  });
}

struct StepNorm {
  SkinnyEmbedding embedding;  // or x
  const void* x;
  void* y;  // [batch, size]
  const void* weight;
  const void* bias;
  int32_t size;
  NormKind kind;
  float epsilon;
  bool trigger_late;
};

// A block normalises a row, after embedding it where tokens are given.
template <typename T>
__global__ void __launch_bounds__(256) step_norm(const __grid_constant__ StepNorm a) {
  extern __shared__ float held[];  // [size]
  __shared__ float partial[2][8];
  const int m = blockIdx.x, tid = threadIdx.x;
  if (!a.trigger_late) launch_dependents();
  wait_for_predecessor();
  if (a.trigger_late) launch_dependents();
  const SkinnyEmbedding& e = a.embedding;
  const int token = e.tokens ? min(max(e.tokens[m], 0), e.vocabulary - 1) : 0,
            position = e.tokens ? min(max(e.lengths[m], 0), e.capacity - 1) : 0;
  const auto block_sum = [&](float x, int which) {
    x = warp_sum(x);
    if (tid % 32 == 0) partial[which][tid / 32] = x;
    __syncthreads();
    float sum = 0.f;
    for (int w = 0; w < 8; ++w) sum += partial[which][w];
    return sum;
  };
  float sum = 0.f, squares = 0.f;
  for (int i = tid; i < a.size; i += 256) {
    float v;
    if (e.tokens) {
      v = to_float(static_cast<const T*>(e.table)[static_cast<int64_t>(token) * a.size + i]) * e.scale;
      if (e.positions) v += to_float(static_cast<const T*>(e.positions)[static_cast<int64_t>(position) * a.size + i]);
      const T rounded = from_float<T>(v);
      static_cast<T*>(e.x_out)[static_cast<int64_t>(m) * a.size + i] = rounded;
      v = to_float(rounded);
    } else {
      v = to_float(static_cast<const T*>(a.x)[static_cast<int64_t>(m) * a.size + i]);
    }
    held[i] = v;
    sum += v;
  }
  const float mean = a.kind == NormKind::kLayer ? block_sum(sum, 0) / a.size : 0.f;
  for (int i = tid; i < a.size; i += 256) squares += (held[i] - mean) * (held[i] - mean);
  const float inverse = 1.f / sqrtf(block_sum(squares, 1) / a.size + a.epsilon);
  for (int i = tid; i < a.size; i += 256) {
    float v = held[i];
    if (a.kind != NormKind::kNone) {
      v = (v - mean) * inverse * to_float(static_cast<const T*>(a.weight)[i]);
      if (a.bias) v += to_float(static_cast<const T*>(a.bias)[i]);
    }
    static_cast<T*>(a.y)[static_cast<int64_t>(m) * a.size + i] = from_float<T>(v);
  }
}

// Chooses a token from a row of float32 logits; the float32 step only.
__global__ void __launch_bounds__(1024) step_choose(const float* logits, int n, SkinnySampling q) {
  __shared__ unsigned long long best[32];
  const int m = blockIdx.x;
  launch_dependents();
  wait_for_predecessor();
  unsigned long long key = 0;
  for (int i = threadIdx.x; i < n; i += 1024) {
    float v = logits[static_cast<int64_t>(m) * n + i];
    if (q.inverse_temperature != 0.f) v = v * q.inverse_temperature + gumbel(q.seed, q.lengths[m], m, i);
    key = max(key, sampling_key(v, i));
  }
  for (int x = 16; x > 0; x >>= 1) key = max(key, __shfl_xor_sync(~0u, key, x));
  if (threadIdx.x % 32 == 0) best[threadIdx.x / 32] = key;
  __syncthreads();
  if (threadIdx.x) return;
  for (int w = 1; w < 32; ++w) key = max(key, best[w]);
  choose_token(q, m, static_cast<int>(~static_cast<uint32_t>(key)));
}

// The step's end where no token is chosen.
__global__ void __launch_bounds__(64) step_advance(const __grid_constant__ DecoderState s, int batch, int capacity) {
  launch_dependents();
  wait_for_predecessor();
  const int m = threadIdx.x, i = s.queue ? *s.queue_at : 0;
  __syncthreads();
  if (m < batch && s.lengths[m] < capacity && !(s.done && s.done[m])) ++s.lengths[m];
  if (!s.queue) return;
  if (m < batch) s.tokens[m] = s.queue[2 * i * s.queue_stride + m];
  if (m < batch && s.done) s.done[m] = s.queue[(2 * i + 1) * s.queue_stride + m];
  if (m == 0) *s.queue_at = i + 1;
}

template <typename T, int HD>
cudaError_t run_attention(StepAttention a, int batch, const DeviceTraits& device, cudaStream_t stream) {
  const int units = batch * a.kv_heads, group = a.heads / a.kv_heads;
  // One pass over a few hundred keys by the warps of a block has the least latency; clusters where there are many.
  const int warps = units <= device.multiprocessors ? 16 : units <= 2 * device.multiprocessors ? 8 : 4;
  a.splits = 1;
  while (a.splits < 8 && units * a.splits * 2 <= 2 * device.multiprocessors && a.capacity / a.splits > 512) a.splits *= 2;
  LaunchShape shape{.grid = dim3(units * a.splits), .block = dim3(32 * warps)};
  shape.cluster = a.splits, shape.dependent = true;
  if (group > 4) {
    shape.block = dim3(128);
    shape.shared = sizeof(float) * FewQueries<T, HD, 8, 4>::kShared;
    return launch(step_attention<T, HD, 8, 4>, shape, stream, a);
  }
  const auto with_rows = [&](auto warps) {
    shape.shared = sizeof(float) * (group == 1 ? FewQueries<T, HD, 1, warps()>::kShared : FewQueries<T, HD, 4, warps()>::kShared);
    return group == 1 ? launch(step_attention<T, HD, 1, warps()>, shape, stream, a)
                      : launch(step_attention<T, HD, 4, warps()>, shape, stream, a);
  };
  if (warps == 16) return with_rows(std::integral_constant<int, 16>{});
  if (warps == 8) return with_rows(std::integral_constant<int, 8>{});
  return with_rows(std::integral_constant<int, 4>{});
}

template <typename T>
cudaError_t run_attention_of(int size, const StepAttention& a, int batch, const DeviceTraits& device, cudaStream_t stream) {
  switch (size) {
    case 32:
      return run_attention<T, 32>(a, batch, device, stream);
    case 64:
      return run_attention<T, 64>(a, batch, device, stream);
    case 80:
      return run_attention<T, 80>(a, batch, device, stream);
    case 96:
      return run_attention<T, 96>(a, batch, device, stream);
    default:
      return run_attention<T, 128>(a, batch, device, stream);
  }
}

// Where things lie in the workspace, in bytes.
struct Layout {
  int64_t x, normed, parts, qkv, attended, ffn, logits, best, blocks_done, prompt, fused, total;
  explicit Layout(const DecoderConfig& c) {
    int64_t at = 0;
    const auto place = [&](int64_t bytes) {
      const int64_t here = at;
      at += (bytes + 255) / 256 * 256;
      return here;
    };
    const int64_t row = c.batch * bytes_of(c.type);
    best = place(64 * 8), blocks_done = place(4);  // the same for all batches: they are zero between steps
    prompt = place(2 * 64 * 4);
    x = place(row * c.hidden), normed = place(row * c.hidden);
    parts = place(c.batch * ((c.hidden + 63) / 64) * static_cast<int64_t>(sizeof(RowPart)));
    qkv = place(row * (c.heads + 2 * c.kv_heads) * c.head_size), attended = place(row * c.heads * c.head_size);
    ffn = place(row * c.ffn);
    logits = place(c.type == Scalar::kFloat32 ? row * c.vocabulary : 0);
    fused = place(decoder_fused_workspace(c));
    total = at;
  }
};

class Step {
 public:
  Step(const DecoderConfig& config, const DecoderWeights& weights, const DecoderState& state, void* workspace, const DeviceTraits& device,
       cudaStream_t stream)
      : c_(config),
        w_(weights),
        s_(state),
        at_(config),
        base_(static_cast<uint8_t*>(workspace)),
        device_(device),
        stream_(stream),
        sequences_(config.batch),
        embedded_(state.tokens),
        places_(state.lengths) {}

  // Rows are `count` tokens of each sequence, of which the last is chosen behind.
  cudaError_t run_prompt(int count) {
    rows_.count = count, rows_.tokens = reinterpret_cast<int32_t*>(base_ + at_.prompt), rows_.positions = rows_.tokens + 64;
    sequences_ = c_.batch / count, embedded_ = rows_.tokens, places_ = rows_.positions;
    keep(prompt_begin(s_, sequences_, c_.capacity, rows_, stream_));
    run_layers();
    return choose(false);
  }

  cudaError_t run() {
    const bool two = c_.two_kernels && w_.constants && decoder_fused_refusal(c_, w_, device_) == nullptr;
    if (two)
      keep(decoder_fused_layers(c_, w_, s_, base_ + at_.fused, base_ + at_.normed, stream_));
    else
      run_layers();
    if (!s_.choose) {
      LaunchShape shape{.grid = dim3(1), .block = dim3(64)};
      shape.dependent = true;
      if (ok()) keep(launch(step_advance, shape, stream_, s_, int{c_.batch}, int{c_.capacity}));
      return status_;
    }
    return choose(two);
  }

 private:
  cudaError_t choose(bool two) {
    // Two kernels a layer leave normalised rows.
    const void* x = base_ + (two ? at_.normed : at_.x);
    Around around;
    around.head = true;
    if (!two) around.weight = w_.final_norm_weight, around.bias = w_.final_norm_bias;
    if (s_.choose_behind) {
      product(w_.head, x, c_.hidden, s_.logits, c_.vocabulary, c_.vocabulary, around);
      return status_;
    }
    const bool exact = c_.type == Scalar::kFloat32;
    void* logits = exact && !s_.logits ? base_ + at_.logits : s_.logits;
    around.sample = true;
    product(w_.head, x, c_.hidden, logits, c_.vocabulary, c_.vocabulary, around);
    if (exact && ok()) {
      LaunchShape shape{.grid = dim3(sequences_), .block = dim3(1024)};
      shape.dependent = true;
      keep(launch(step_choose, shape, stream_, static_cast<const float*>(logits), int{c_.vocabulary}, sampling()));
    }
    return status_;
  }

  struct Around {
    const void* weight = nullptr;  // of the norm before the product; null: none
    const void* bias = nullptr;
    bool embed = false, residual = false, head = false, sample = false;
    Activation activation = Activation::kNone;
    const void* next = nullptr;  // weight of the norm behind the product, if it is to leave what step_product.h wants
  };

  // Five kernels a layer.
  void run_layers() {
    for (int i = 0; i < c_.layers && ok(); ++i) {
      const DecoderLayer& layer = w_.layers[i];
      const int qkv = (c_.heads + 2 * c_.kv_heads) * c_.head_size;
      product(layer.qkv, base_ + at_.x, c_.hidden, base_ + at_.qkv, qkv, qkv,
              {.weight = layer.norm1_weight, .bias = layer.norm1_bias, .embed = i == 0});
      attend(layer);
      const bool glu = c_.activation == Activation::kSwiGlu;
      const DecoderLayer* behind = i + 1 < c_.layers ? &layer + 1 : nullptr;
      product(layer.out, base_ + at_.attended, c_.heads * c_.head_size, base_ + at_.x, c_.hidden, c_.hidden,
              {.residual = true, .next = norm_before(layer.up, glu ? 2 * c_.ffn : c_.ffn, layer.norm2_weight)});
      product(layer.up, base_ + at_.x, c_.hidden, base_ + at_.ffn, glu ? 2 * c_.ffn : c_.ffn, c_.ffn,
              {.weight = layer.norm2_weight, .bias = layer.norm2_bias, .activation = c_.activation});
      product(layer.down, base_ + at_.ffn, c_.ffn, base_ + at_.x, c_.hidden, c_.hidden,
              {.residual = true, .next = behind ? norm_before(behind->qkv, qkv, behind->norm1_weight) : norm_before_head()});
    }
  }

  bool ok() const { return status_ == cudaSuccess; }
  void keep(cudaError_t e) {
    if (ok()) status_ = e;
  }
  SkinnySampling sampling() const {
    SkinnySampling q;
    q.best = reinterpret_cast<unsigned long long*>(base_ + at_.best),
    q.blocks_done = reinterpret_cast<unsigned int*>(base_ + at_.blocks_done);
    q.tokens = s_.tokens, q.lengths = s_.lengths, q.done = s_.done, q.history = s_.history, q.history_stride = s_.history_stride;
    q.capacity = c_.capacity, q.end_token = s_.end_token, q.seed = s_.seed;
    q.inverse_temperature = s_.temperature > 0.f ? 1.f / s_.temperature : 0.f;
    return q;
  }
  SkinnyEmbedding embedding() const {
    SkinnyEmbedding e;
    e.tokens = embedded_, e.lengths = places_, e.table = w_.token_embedding, e.positions = w_.position_embedding;
    e.x_out = base_ + at_.x, e.vocabulary = c_.vocabulary, e.capacity = c_.capacity, e.scale = c_.embedding_scale;
    return e;
  }

  void product(const DecoderMatrix& matrix, const void* x, int k, void* y, int n, int64_t y_stride, const Around& around) {
    if (!ok()) return;
    SkinnyParams p;
    SkinnyGemmArgs& a = p.a;
    // The head has the last tokens of a prompt alone.
    const int64_t first = around.head ? c_.batch - sequences_ : 0;
    const auto* normed_x = base_ + at_.normed + first * k * bytes_of(c_.type);
    a.type = c_.type, a.format = matrix.format, a.m = c_.batch - static_cast<int32_t>(first), a.n = n, a.k = k, a.x_stride = k,
    a.w = matrix.w;
    a.x = static_cast<const uint8_t*>(x) + first * k * bytes_of(c_.type);
    a.scales = matrix.scales, a.zeros = matrix.zeros, a.group = matrix.group, a.bias = matrix.bias, a.y = y, a.y_stride = y_stride;
    if (around.residual) a.residual = y, a.residual_stride = y_stride;
    a.activation = around.activation, a.dependent = true;
    const bool exact = c_.type == Scalar::kFloat32;
    if (std::exchange(left_parts_, false)) {
      a.x = normed_x;
      const auto normed = [&](auto args) {
        args.parts = parts() + first * ((k + 63) / 64), args.norm = c_.norm, args.norm_sums = matrix.norm_sums, args.epsilon = c_.epsilon;
        return args;
      };
      around.head ? run_head(normed(head_args(a)), around.sample) : run_step_product(normed(step_args(a, nullptr)));
      return;
    }
    const bool wide = is_wide(a, around);
    if (around.weight) {
      a.norm = c_.norm, a.norm_weight = around.weight, a.norm_bias = around.bias, a.epsilon = c_.epsilon;
      const SkinnyShape shape = skinny_shape(a, around.sample, device_);
      const bool fused = !exact && !wide && a.m <= kSkinnyRowsElse &&
                         shape.shared <= static_cast<size_t>(device_.shared_memory / 2 - 1024) &&
                         (!around.embed || skinny_embeds(shape, a));
      if (fused) {
        if (around.embed) p.embedding = embedding(), p.trigger_late = true;
      } else {
        normalise(around);
        a.norm = NormKind::kNone, a.x = normed_x;
      }
    }
    if (exact) {
      keep(skinny_f32(a, device_, stream_));
      return;
    }
    if (wide) {
      around.head ? run_head(head_args(a), around.sample) : run_step_product(step_args(a, around.next));
      left_parts_ = around.next != nullptr;
      return;
    }
    if (a.m > kSkinnyRowsElse && !around.sample && by_tiles(a)) return;
    if (around.sample) p.sampling = sampling();
    keep(c_.type == Scalar::kFloat16 ? skinny_f16(p, device_, stream_) : skinny_bf16(p, device_, stream_));
  }

  RowPart* parts() const { return reinterpret_cast<RowPart*>(base_ + at_.parts); }
  StepProductArgs step_args(const SkinnyGemmArgs& a, const void* next) const {
    StepProductArgs t;
    t.type = a.type, t.m = a.m, t.n = a.n, t.k = a.k, t.x = a.x, t.w = a.w, t.bias = a.bias, t.residual = a.residual, t.y = a.y;
    t.activation = a.activation;
    if (next) t.parts_out = parts(), t.next_weight = next, t.scaled_out = base_ + at_.normed;
    return t;
  }
  static StepHeadArgs head_args(const SkinnyGemmArgs& a) {
    StepHeadArgs t;
    t.type = a.type, t.m = a.m, t.n = a.n, t.k = a.k, t.x = a.x, t.w = a.w, t.bias = a.bias, t.logits = a.y;
    return t;
  }
  void run_step_product(const StepProductArgs& t) { keep(step_product(t, device_, stream_)); }
  void run_head(const StepHeadArgs& t, bool sample) { keep(step_head(t, sample ? sampling() : SkinnySampling{}, device_, stream_)); }
  bool is_wide(const SkinnyGemmArgs& a, const Around& around) const {
    int few = kSkinnyRows;
    // Behind two kernels a layer the head has no norm before it, and where rows are long it then wins for few of them too.
    if (around.head && !around.weight) few = around.sample && a.k >= kShortRow ? 0 : kSkinnyRowsTwo;
    if (a.m <= few || a.format != WeightFormat::kPlain) return false;
    return (around.head ? step_head_refusal(head_args(a), device_) : step_product_refusal(step_args(a, around.next), device_)) == nullptr;
  }
  // The norm's weight, where the product behind it takes its norm from parts of rows.
  const void* norm_before(const DecoderMatrix& matrix, int n, const void* weight) const {
    StepProductArgs t;
    t.type = c_.type, t.m = c_.batch, t.n = n, t.k = c_.hidden, t.w = matrix.w, t.parts = parts(), t.norm_sums = matrix.norm_sums;
    return c_.batch > kSkinnyRows && matrix.format == WeightFormat::kPlain && !step_product_refusal(t, device_) ? weight : nullptr;
  }
  const void* norm_before_head() const {
    StepHeadArgs t;
    t.type = c_.type, t.m = sequences_, t.n = c_.vocabulary, t.k = c_.hidden, t.w = w_.head.w, t.parts = parts();
    t.norm_sums = w_.head.norm_sums;
    return s_.choose && sequences_ > kSkinnyRows && w_.head.format == WeightFormat::kPlain && !step_head_refusal(t, device_)
               ? w_.final_norm_weight
               : nullptr;
  }

  // A product of many rows by tiles of them, where that is covered.
  bool by_tiles(const SkinnyGemmArgs& a) {
    if (a.format != WeightFormat::kPlain || a.norm != NormKind::kNone || a.activation == Activation::kSwiGlu || a.x_stride != a.k ||
        a.y_stride != a.n)
      return false;
    TileGemmArgs t;
    t.type = a.type, t.m = a.m, t.n = a.n, t.k = a.k, t.x = a.x, t.w = a.w, t.bias = a.bias, t.addend = a.residual, t.y = a.y;
    t.activation = a.activation == Activation::kRelu       ? TileActivation::kRelu
                   : a.activation == Activation::kGelu     ? TileActivation::kGelu
                   : a.activation == Activation::kGeluTanh ? TileActivation::kGeluTanh
                   : a.activation == Activation::kSilu     ? TileActivation::kSilu
                                                           : TileActivation::kNone;
    t.dependent = true;
    // Choices are 4 * size + log2(parts of k); sizes 32 x 64 and 64 x 64. About as many blocks as multiprocessors.
    const int size = a.m > 32 ? 1 : 0, tiles = (a.n + 63) / 64;
    int parts = 0;
    while (parts < 3 && tiles << parts < device_.multiprocessors && a.k >> (parts + 1) >= 128) ++parts;
    if (tile_gemm_refusal(t, 4 * size + parts, device_) != nullptr) return false;
    keep(tile_gemm(t, 4 * size + parts, device_, stream_));
    return true;
  }

  void normalise(const Around& around) {
    StepNorm a{};
    if (around.embed) a.embedding = embedding(), a.trigger_late = true;
    a.x = base_ + at_.x, a.y = base_ + at_.normed, a.weight = around.weight, a.bias = around.bias, a.size = c_.hidden, a.kind = c_.norm;
    a.epsilon = c_.epsilon;
    LaunchShape shape{.grid = dim3(c_.batch), .block = dim3(256), .shared = static_cast<size_t>(c_.hidden) * 4};
    shape.dependent = true;
    switch (c_.type) {
      case Scalar::kFloat16:
        keep(launch(step_norm<__half>, shape, stream_, a));
        break;
      case Scalar::kBFloat16:
        keep(launch(step_norm<__nv_bfloat16>, shape, stream_, a));
        break;
      default:
        keep(launch(step_norm<float>, shape, stream_, a));
        break;
    }
  }

  PromptAttention prompt_attention_args(const DecoderLayer& layer) const {
    PromptAttention a{};
    a.qkv = base_ + at_.qkv, a.out = base_ + at_.attended, a.k_cache = layer.k_cache, a.v_cache = layer.v_cache, a.rows = rows_;
    a.rope_cos = c_.rope_cos, a.rope_sin = c_.rope_sin, a.batch = sequences_, a.heads = c_.heads, a.kv_heads = c_.kv_heads;
    a.size = c_.head_size, a.capacity = c_.capacity, a.scale = attention_scale();
    return a;
  }
  float attention_scale() const {
    return (c_.attention_scale != 0.f ? c_.attention_scale : 1.f / std::sqrt(static_cast<float>(c_.head_size))) * kLog2e;
  }

  void attend(const DecoderLayer& layer) {
    if (!ok()) return;
    if (rows_.count > 1) {
      keep(prompt_attention(c_.type, prompt_attention_args(layer), stream_));
      return;
    }
    StepAttention a{};
    a.qkv = base_ + at_.qkv, a.out = base_ + at_.attended, a.k_cache = layer.k_cache, a.v_cache = layer.v_cache, a.lengths = s_.lengths;
    a.rope_cos = c_.rope_cos, a.rope_sin = c_.rope_sin, a.heads = c_.heads, a.kv_heads = c_.kv_heads, a.capacity = c_.capacity;
    a.scale = attention_scale();
    switch (c_.type) {
      case Scalar::kFloat16:
        keep(run_attention_of<__half>(c_.head_size, a, c_.batch, device_, stream_));
        break;
      case Scalar::kBFloat16:
        keep(run_attention_of<__nv_bfloat16>(c_.head_size, a, c_.batch, device_, stream_));
        break;
      default:
        keep(run_attention_of<float>(c_.head_size, a, c_.batch, device_, stream_));
        break;
    }
  }

  const DecoderConfig& c_;
  const DecoderWeights& w_;
  const DecoderState& s_;
  Layout at_;
  uint8_t* base_;
  const DeviceTraits& device_;
  cudaStream_t stream_;
  cudaError_t status_ = cudaSuccess;
  PromptRows rows_;
  int32_t sequences_;        // rows of the head
  const int32_t* embedded_;  // the rows' tokens, and where they stand
  const int32_t* places_;
  bool left_parts_ = false;  // the product before left parts of its rows and them times the norm's weight
};

}  // namespace

int64_t decoder_workspace(const DecoderConfig& config) { return Layout(config).total; }

const char* decoder_refusal(const DecoderConfig& c, const DecoderWeights& w, const DeviceTraits& device) {
  if (device.capability < 90) return "needs compute capability 9.0";
  if (c.layers < 1 || c.hidden < 1 || c.ffn < 1 || c.vocabulary < 1 || c.capacity < 1) return "an extent is not positive";
  if (c.batch < 1 || c.batch > (c.type == Scalar::kFloat32 ? 16 : 64)) return "the batch is not 1 to 64 (float32: 16)";
  if (c.heads < 1 || c.kv_heads < 1 || c.heads % c.kv_heads || c.heads / c.kv_heads > kFewRows)
    return "more than 8 queries would share keys";
  if (c.head_size != 32 && c.head_size != 64 && c.head_size != 80 && c.head_size != 96 && c.head_size != 128)
    return "the head's size is not covered";
  if (c.norm == NormKind::kNone) return "a norm is needed";
  if (!c.rope_cos != !c.rope_sin) return "rotary positions need both tables";
  if (c.hidden * int64_t{4} > 48 * 1024) return "the hidden size is above 12288";
  const auto check = [&](const DecoderMatrix& matrix, int n, int k, Activation activation) {
    SkinnyGemmArgs a;
    a.type = c.type, a.format = matrix.format, a.m = c.batch, a.n = n, a.k = k, a.x_stride = k, a.w = matrix.w, a.scales = matrix.scales;
    a.group = matrix.group, a.activation = activation;
    return matrix.w ? skinny_gemm_refusal(a, device) : "a weight is missing";
  };
  const bool glu = c.activation == Activation::kSwiGlu;
  for (int i = 0; i < c.layers; ++i) {
    const DecoderLayer& l = w.layers[i];
    if (!l.norm1_weight || !l.norm2_weight || !l.k_cache || !l.v_cache) return "a norm's weight or a cache is missing";
    for (const char* why :
         {check(l.qkv, (c.heads + 2 * c.kv_heads) * c.head_size, c.hidden, Activation::kNone),
          check(l.out, c.hidden, c.heads * c.head_size, Activation::kNone), check(l.up, glu ? 2 * c.ffn : c.ffn, c.hidden, c.activation),
          check(l.down, c.hidden, c.ffn, Activation::kNone)})
      if (why) return why;
  }
  if (!w.token_embedding || !w.final_norm_weight) return "a weight is missing";
  return check(w.head, c.vocabulary, c.hidden, Activation::kNone);
}

const char* decoder_prompt_refusal(const DecoderConfig& config, const DecoderWeights& weights, int32_t fed, const DeviceTraits& device) {
  if (fed < 1 || fed >= 64 || config.batch * (fed + 1) > 64) return "there are not 2 to 64 rows";
  DecoderConfig wide = config;
  wide.batch = config.batch * (fed + 1);
  PromptAttention a{};
  a.rows.count = fed + 1, a.heads = config.heads, a.kv_heads = config.kv_heads, a.size = config.head_size;
  if (const char* why = decoder_refusal(wide, weights, device)) return why;
  return prompt_attention_shared(config.type, a) > device.shared_memory ? "queries, keys and values take too much shared memory" : nullptr;
}

cudaError_t decoder_prompt(const DecoderConfig& config, const DecoderWeights& weights, const DecoderState& state, int32_t fed,
                           void* workspace, const DeviceTraits& device, cudaStream_t stream) {
  DecoderConfig wide = config;
  wide.batch = config.batch * (fed + 1);
  return Step(wide, weights, state, workspace, device, stream).run_prompt(fed + 1);
}

cudaError_t decoder_step(const DecoderConfig& config, const DecoderWeights& weights, const DecoderState& state, void* workspace,
                         const DeviceTraits& device, cudaStream_t stream) {
  return Step(config, weights, state, workspace, device, stream).run();
}

cudaError_t decoder_steps(const DecoderConfig& config, const DecoderWeights& weights, const DecoderState& state, int32_t fed,
                          int32_t chosen, void* workspace, const DeviceTraits& device, cudaStream_t stream) {
  DecoderState now = state;
  for (int32_t i = 0; i < fed + chosen; ++i) {
    now.choose = i >= fed, now.choose_behind = now.choose && state.choose_behind;
    if (const cudaError_t e = decoder_step(config, weights, now, workspace, device, stream); e != cudaSuccess) return e;
  }
  return cudaSuccess;
}

}  // namespace cameo::cuda
