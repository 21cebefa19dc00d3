// Attention of a block of queries over all keys in one pass: softmax(scale Q K^T + mask) V without a matrix of scores.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

inline constexpr int64_t kAttentionRows = 48;    // the most queries of a block
inline constexpr int64_t kAttentionKeys = 64;    // keys are taken so many at a time
inline constexpr int64_t kAttentionFewRows = 6;  // up to so many queries, keys are read where they lie
// For them, keys are taken in parts of so many, each by itself, and the parts added up: threads may share one head's.
inline constexpr int64_t kAttentionPart = 256;

// One query: where its elements lie, and which keys it may see.
struct AttentionQuery {
  const float* query;
  float* output;
  const void* mask;     // its row of the mask, or null
  int64_t first, last;  // the keys [first, last) may be seen, beside what the mask says
};

struct AttentionBlock {
  const AttentionQuery* queries;
  int64_t rows;         // at most kAttentionRows
  int64_t size;         // of a head of queries and keys
  int64_t value_size;   // of a head of values
  const float* packed;  // keys and values as pack() puts them, in blocks of packed_block(); or null:
  const float* keys;    // then at most kAttentionFewRows rows, and keys and values in rows of these strides.
  int64_t key_stride;
  const float* values;  // value_size must then be a multiple of 16
  int64_t value_stride;
  float scale, softcap;    // softcap 0: none
  bool mask_is_bool;       // bytes, not 0 where a key may be seen; else floats that are added
  int64_t mask_length;     // keys from here on are hidden by the mask
  float* parts = nullptr;  // null, or where the state of this part goes: attention_part() floats; outputs are not written then
};

// Floats of a packed block of kAttentionKeys keys and values: size x 64, then 64 rows of values, padded to whole vectors.
constexpr int64_t attention_padded(int64_t size) { return (size + 15) / 16 * 16; }
constexpr int64_t attention_packed_block(int64_t size, int64_t value_size) {
  return kAttentionKeys * (size + attention_padded(value_size));
}
// Floats of scratch for run(), aligned to 64 bytes.
constexpr int64_t attention_scratch(int64_t size, int64_t value_size) {
  return kAttentionRows * (attention_padded(size) + attention_padded(value_size) + 16 + 16) + kAttentionFewRows * kAttentionKeys;
}

// Floats that run() leaves for each row of a part: values times weights, 16 lanes of weights, the bound that they are relative to.
constexpr int64_t attention_part(int64_t value_size) { return attention_padded(value_size) + 32; }

struct AttentionKernels {
  // One block of `count` keys and values, at most kAttentionKeys.
  void (*pack)(const float* keys, int64_t key_stride, const float* values, int64_t value_stride, int64_t count, int64_t size,
               int64_t value_size, float* packed);
  void (*run)(const AttentionBlock& block, float* scratch);
  // Adds up `count` parts of block.rows rows each, in order, and writes the outputs. Changes the parts.
  void (*merge)(const AttentionBlock& block, float* parts, int64_t count);
};
CAMEO_ISA_TABLE(AttentionKernels, attention_kernels)

}  // namespace cameo::cpu
