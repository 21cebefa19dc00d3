// One step of a decoder-only transformer for a batch of sequences, from token to token, as a chain of kernels that start before their
// predecessor ends. Capture launches in a CUDA graph: a step is then one launch.
//
// GPT-2-like models: learned positions, LayerNorm, GELU. Llama-like ones: rotary positions, RMS norm, SwiGLU, grouped heads.
#pragma once

#include "backends/cuda/kernels/skinny_gemm.h"

namespace cameo::cuda {

// A weight matrix [n, k], K contiguous, in a format of skinny_gemm.h; bias [n] or null.
struct DecoderMatrix {
  WeightFormat format = WeightFormat::kPlain;
  const void* w = nullptr;
  const void* scales = nullptr;
  const uint8_t* zeros = nullptr;
  int32_t group = 0;
  const void* bias = nullptr;
  const float* norm_sums = nullptr;  // of step_product.h with the norm before, or null: norms of many rows are then kernels
};

struct DecoderLayer {
  const void* norm1_weight = nullptr;
  const void* norm1_bias = nullptr;
  DecoderMatrix qkv;  // [(heads + 2 kv_heads) * head_size, hidden]: queries, keys, values
  DecoderMatrix out;  // [hidden, heads * head_size]
  const void* norm2_weight = nullptr;
  const void* norm2_bias = nullptr;
  DecoderMatrix up;    // [ffn, hidden]; SwiGLU: [2 ffn, hidden] in the order of swiglu_row()
  DecoderMatrix down;  // [hidden, ffn]
  // Caches [batch, kv_heads, capacity, head_size].
  void* k_cache = nullptr;
  void* v_cache = nullptr;
};

struct DecoderConfig {
  Scalar type = Scalar::kFloat16;
  int32_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_size = 0, ffn = 0, vocabulary = 0;
  int32_t batch = 0;     // 1..64
  int32_t capacity = 0;  // positions of a cache
  NormKind norm = NormKind::kLayer;
  Activation activation = Activation::kGeluTanh;
  float epsilon = 1e-5f;
  float attention_scale = 0.f;  // 0: 1 / sqrt(head_size)
  // Rotary positions: halves rotated (x[i], x[i + head_size / 2]) by tables [capacity, head_size / 2] float32; null: none.
  const float* rope_cos = nullptr;
  const float* rope_sin = nullptr;
  float embedding_scale = 1.f;
  // A layer is two kernels (decoder_fused.h) where DecoderWeights::constants are given and that is covered; else, or if
  // false, five.
  bool two_kernels = true;
};

struct DecoderWeights {
  const void* token_embedding = nullptr;     // [vocabulary, hidden]
  const void* position_embedding = nullptr;  // [capacity, hidden] or null
  const DecoderLayer* layers = nullptr;      // host memory; read at launch
  const void* final_norm_weight = nullptr;
  const void* final_norm_bias = nullptr;
  DecoderMatrix head;               // [vocabulary, hidden]
  const void* constants = nullptr;  // of decoder_fused_prepare(), or null
};

// State on the device. A step embeds tokens[b] at lengths[b], appends its keys and values there, writes the next token to
// tokens[b] and to history[b * history_stride + lengths[b]] (where history is given), and adds 1 to lengths[b]. A sequence
// that is done (done[b] != 0, or lengths[b] == capacity) stands still. Its token equal to end_token sets done[b].
struct DecoderState {
  int32_t* tokens = nullptr;   // [batch]
  int32_t* lengths = nullptr;  // [batch]
  int32_t* done = nullptr;     // [batch] or null
  int32_t end_token = -1;
  int32_t* history = nullptr;
  int64_t history_stride = 0;
  void* logits = nullptr;  // [batch, vocabulary] of `type`, or null: not kept
  // false: no logits and no choice; keys, values and lengths go on. For a prompt's tokens but the last: the next token of b is
  // queue[2 * i * queue_stride + b], and whether b stands still done[b] = queue[(2 * i + 1) * queue_stride + b], at i = (*queue_at)++.
  bool choose = true;
  // true, with `choose`: a kernel behind the step chooses (sampling.h). The step writes logits, which are given, and leaves tokens,
  // lengths, done and history to that kernel.
  bool choose_behind = false;
  const int32_t* queue = nullptr;
  int32_t* queue_at = nullptr;
  int64_t queue_stride = 0;
  // Sampling by the Gumbel trick from softmax(logits / temperature); 0: the first of the largest. The same seed, length and
  // logits give the same token.
  float temperature = 0.f;
  uint64_t seed = 0;
};

// Bytes of scratch that a step needs, 256-byte aligned; zeroed once before the first step.
int64_t decoder_workspace(const DecoderConfig& config);
const char* decoder_refusal(const DecoderConfig& config, const DecoderWeights& weights, const DeviceTraits& device);
cudaError_t decoder_step(const DecoderConfig& config, const DecoderWeights& weights, const DecoderState& state, void* workspace,
                         const DeviceTraits& device, cudaStream_t stream);
// Several steps: `fed` as with choose = false, then `chosen` ones as with choose = true. What a kernel behind a step would choose is
// not there for the next: with choose_behind at most one is chosen.
cudaError_t decoder_steps(const DecoderConfig& config, const DecoderWeights& weights, const DecoderState& state, int32_t fed,
                          int32_t chosen, void* workspace, const DeviceTraits& device, cudaStream_t stream);
// As `fed` steps without a choice and one with it, of which all tokens are rows of one step: for a prompt's tokens, from state.queue.
const char* decoder_prompt_refusal(const DecoderConfig& config, const DecoderWeights& weights, int32_t fed, const DeviceTraits& device);
cudaError_t decoder_prompt(const DecoderConfig& config, const DecoderWeights& weights, const DecoderState& state, int32_t fed,
                           void* workspace, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
