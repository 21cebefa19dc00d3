// softmax(scale Q K^T + bias) V in one pass over the keys, on the GPU.
#pragma once

#include "backends/cuda/kernels/kernel.h"

namespace cameo::cuda {

// Element (b, h, i, d) lies at data + b * batch + h * head + i * row + d; all strides in elements.
struct HeadStrides {
  int64_t batch = 0, head = 0, row = 0;
};

enum class BiasType : uint8_t { kNone, kFloat32, kFloat16, kBFloat16, kBool };  // kBool: bytes, not 0 where a key may be seen

struct AttentionArgs {
  Scalar type = Scalar::kFloat16;  // of q, k, v and out; sums and softmax are float32
  const void* q = nullptr;         // [batch, heads, queries, size]
  const void* k = nullptr;         // [batch, kv_heads, keys, size]; a cache is read where it lies, by its strides
  const void* v = nullptr;         // as k
  void* out = nullptr;             // as q; may be null where `rounded` is not
  void* rounded = nullptr;         // out * rounded_factor as float8e4m3fn too, saturated, laid out as out; or null
  float rounded_factor = 1.f;
  HeadStrides q_strides, k_strides, v_strides, out_strides;
  int32_t batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0, size = 0;
  float scale = 1.f;
  float softcap = 0.f;  // s -> softcap tanh(s / softcap) before bias and masks; 0: none

  // Keys a query may see. Query i stands at position p = i + offset among the keys; offset is key_lengths[b] - queries where
  // from_end, else `past`. A query that sees no key gives zeros.
  bool causal = false;    // keys up to p
  bool from_end = false;  // needs key_lengths
  int32_t past = 0;
  int32_t window = -1;                   // not before p - window; negative: no limit
  const int32_t* key_lengths = nullptr;  // [batch], each clamped to 0..keys; null: all keys

  // Added to the scaled products: element (b, h, i, j) at b * batch + h * head + i * row + j; a stride of 0 broadcasts.
  BiasType bias_type = BiasType::kNone;
  const void* bias = nullptr;
  HeadStrides bias_strides;
  int32_t bias_keys = INT32_MAX;  // the row's extent: keys from here on are hidden

  // Relative bias, the same along diagonals, which no kernel that may still run writes: adds relative[h * relative_stride + relative_origin
  // + j - i].
  const float* relative = nullptr;  // [heads, relative_stride]
  int32_t relative_stride = 0, relative_origin = 0;
};

const char* attention_refusal(const AttentionArgs& args, const DeviceTraits& device);
// Whether `rounded` is written.
bool attention_rounds(const AttentionArgs& args, const DeviceTraits& device);
cudaError_t attention(const AttentionArgs& args, const DeviceTraits& device, cudaStream_t stream);

// Copies `count` new rows of keys and values, [batch, kv_heads, count, size], into caches at positions past[b] (or `position`
// where past is null). Rows that would fall behind `capacity` are left out.
struct KvAppendArgs {
  Scalar type = Scalar::kFloat16;
  const void* k = nullptr;
  const void* v = nullptr;
  void* k_cache = nullptr;
  void* v_cache = nullptr;
  HeadStrides k_strides, v_strides, k_cache_strides, v_cache_strides;
  int32_t batch = 0, kv_heads = 0, count = 0, size = 0, capacity = 0, position = 0;
  const int32_t* past = nullptr;
};
cudaError_t kv_append(const KvAppendArgs& args, cudaStream_t stream);

}  // namespace cameo::cuda
