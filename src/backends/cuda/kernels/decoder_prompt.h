// What a prompt's tokens as rows of one step need beside the step's products: see decoder_prompt.cu.
#pragma once

#include "backends/cuda/kernels/decoder_step.h"

namespace cameo::cuda {

// Rows of a step: token i of each of `batch` sequences, then token i + 1, ...
struct PromptRows {
  int32_t count = 1;             // tokens of a sequence
  int32_t* tokens = nullptr;     // [count, batch]
  int32_t* positions = nullptr;  // [count, batch]; -1: the sequence stands still
};

// Fills in `rows` as count - 1 steps without a choice would go on, and leaves the state as it is before the last row's choice.
cudaError_t prompt_begin(const DecoderState& state, int32_t batch, int32_t capacity, const PromptRows& rows, cudaStream_t stream);

struct PromptAttention {
  const void* qkv;  // [count, batch, (heads + 2 kv_heads) * size]
  void* out;        // [count, batch, heads * size]
  void* k_cache;    // [batch, kv_heads, capacity, size]
  void* v_cache;
  const float* rope_cos;  // [capacity, size / 2] or null
  const float* rope_sin;
  PromptRows rows;
  int32_t batch, heads, kv_heads, size, capacity;
  float scale;  // times log2(e)
};

// Rotates queries and keys, appends keys and values to the caches; each row attends to what was cached and to rows up to its own.
cudaError_t prompt_attention(Scalar type, const PromptAttention& args, cudaStream_t stream);
// Bytes of shared memory that a block needs.
int64_t prompt_attention_shared(Scalar type, const PromptAttention& args);

}  // namespace cameo::cuda
