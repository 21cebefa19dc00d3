// A decoder's step for one sequence as one persistent kernel, with plain float16 weights and heads of 64.
#pragma once

#include "backends/cuda/kernels/decoder_step.h"
#include "backends/cuda/kernels/persistent_shape.h"

namespace cameo::cuda {

constexpr int kPersistentLayers = 48;
// The parts that a sequence's keys are cut into, where there are blocks enough; else they are not cut.
constexpr int kPersistentSplits = 4;

struct PersistentLayer {
  const void *weight[4], *bias[4];  // queries, keys, values; output; up; down
  const void *norm_weight[2], *norm_bias[2];
  void *k_cache, *v_cache;
};

// What a launch needs; sizes and places in shared memory are chosen by persistent_plan().
struct PersistentParams {
  int32_t batch, hidden, heads, kv_heads, group, vocabulary, capacity, layer_count;
  int32_t split_bits;  // logarithm of the parts of a sequence's keys
  int32_t blocks, stages, stage_bytes, ring_at, x_at, xs_at, sums_at, shared;
  float epsilon;
  int32_t row_words;  // of queries, keys, values
  Dealing attention;
  ProductShape shapes[5];  // of a layer's weights, and of the head's
  NormKind norm;
  Activation activation;
  float inverse_hidden, scale, embedding_scale, inverse_temperature;
  const float *rope_cos, *rope_sin;
  const void *token_embedding, *position_embedding, *final_norm_weight, *final_norm_bias, *head_weight, *head_bias;
  DecoderState state;
  // The workspace: an epoch a block, and words.
  uint32_t* epochs;
  unsigned long long *words_qkv, *words_attended, *words_out, *words_up, *words_down, *words_best;
  PersistentLayer layers[kPersistentLayers];
};

// Null where the persistent kernel covers the step.
const char* decoder_persistent_refusal(const DecoderConfig& config, const DecoderWeights& weights, const DeviceTraits& device);
// Bytes at the workspace's begin, zeroed once; the same whatever the batch.
int64_t decoder_persistent_workspace(const DecoderConfig& config);
cudaError_t decoder_persistent(const DecoderConfig& config, const DecoderWeights& weights, const DecoderState& state, void* workspace,
                               const DeviceTraits& device, cudaStream_t stream);

cudaError_t decoder_persistent_f16(const PersistentParams& params, cudaStream_t stream);

}  // namespace cameo::cuda
