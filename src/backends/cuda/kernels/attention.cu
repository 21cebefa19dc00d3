// Attention in one pass over the keys with a softmax that is corrected as it goes (Milakov and Gimelshein, 2018; Dao et al.,
// 2022): no matrix of scores in memory. Sums and softmax are float32, scores are kept in units of log2.
//
// Variants:
//   mma   float16 and bfloat16: tiles of 64 or 128 queries x 64 keys on the tensor cores (mma.m16n8k16), keys and values
//         brought by asynchronous copies one tile ahead. 32 queries a warp where there are enough: each fragment of keys
//         read from shared memory then serves twice, and shared memory is what bounds it.
//   wgmma the same on Hopper where heads have 64 numbers and there are many: 128 queries x 64 keys, with the asynchronous products
//         of a warpgroup.
//   dense as wgmma where every query sees every key, but for masks of keys, and there are 256 to 1024 of them and enough blocks: tiles
//         by the tensor copy engine, the next scores beside these values, sums corrected where they must be.
//   split as mma where sequences are short and blocks would be few: 16 queries a block, whose warps have a quarter of the keys each.
//   f32   float32, exact: 64 x 64 tiles, multiply-adds in registers.
//   few   up to 8 queries that share keys (decoding, also of grouped heads): keys and values go from memory into registers
//         once, each warp has its own keys; where sequences and heads are few, up to 8 blocks of a cluster share the keys and
//         add up through distributed shared memory.
// mma, wgmma and dense stage biases that are the same for all queries, and relative biases, in shared memory.
#include "backends/cuda/kernels/attention.h"

#include "backends/cuda/kernels/attention_f32.cuh"
#include "backends/cuda/kernels/attention_few.cuh"
#include "backends/cuda/kernels/attention_variants.h"
#include "backends/cuda/kernels/launch.h"

namespace cameo::cuda {
namespace {

bool is_few(const AttentionArgs& a) { return static_cast<int64_t>(a.queries) * (a.heads / a.kv_heads) <= kFewRows; }

template <typename F>
auto with_size(int size, F&& f) {
  switch (size) {
    case 32:
      return f(std::integral_constant<int, 32>{});
    case 64:
      return f(std::integral_constant<int, 64>{});
    case 80:
      return f(std::integral_constant<int, 80>{});
    case 96:
      return f(std::integral_constant<int, 96>{});
    default:
      return f(std::integral_constant<int, 128>{});
  }
}

template <typename T, int HD>
cudaError_t run_few(const AttentionArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  const int64_t units = static_cast<int64_t>(a.batch) * a.kv_heads;
  int splits = 1;
  if (device.capability >= 90)
    while (splits < 8 && ((units * splits < device.multiprocessors && a.keys / splits > 64) ||
                          (units * splits < 3 * device.multiprocessors && a.keys / splits > 256)))
      splits *= 2;
  const int rows = a.queries * (a.heads / a.kv_heads);
  LaunchShape shape{.grid = dim3(static_cast<unsigned>(units * splits)), .block = dim3(256)};
  shape.cluster = static_cast<unsigned>(splits);
  const auto with_rows = [&](auto r) {
    shape.shared = sizeof(float) * FewQueries<T, HD, r(), 8>::kShared;
    return launch(attention_few<T, HD, r()>, shape, stream, a, splits);
  };
  if (rows == 1) return with_rows(std::integral_constant<int, 1>{});
  if (rows <= 4) return with_rows(std::integral_constant<int, 4>{});
  return with_rows(std::integral_constant<int, 8>{});
}

}  // namespace

cudaError_t attention_few_of(const AttentionArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  return with_size(a.size, [&](auto hd) {
    switch (a.type) {
      case Scalar::kFloat16:
        return run_few<__half, hd()>(a, device, stream);
      case Scalar::kBFloat16:
        return run_few<__nv_bfloat16, hd()>(a, device, stream);
      default:
        return run_few<float, hd()>(a, device, stream);
    }
  });
}

const char* attention_refusal(const AttentionArgs& a, const DeviceTraits& device) {
  if (a.batch < 0 || a.queries < 0 || a.keys < 0) return "an extent is negative";
  if (a.heads <= 0 || a.kv_heads <= 0 || a.heads % a.kv_heads) return "the heads of queries are no multiple of those of keys";
  if (a.size != 32 && a.size != 64 && a.size != 80 && a.size != 96 && a.size != 128) return "the head's size is not 32, 64, 80, 96 or 128";
  if (a.batch > 65535 || a.heads > 65535) return "more than 65535 sequences or heads";
  const int64_t vector = 16 / bytes_of(a.type);
  for (const HeadStrides* s : {&a.q_strides, &a.k_strides, &a.v_strides, &a.out_strides})
    if (s->batch % vector || s->head % vector || s->row % vector) return "a stride is no multiple of 16 bytes";
  for (const void* p : {a.q, a.k, a.v, static_cast<const void*>(a.out), static_cast<const void*>(a.rounded)})
    if (reinterpret_cast<uintptr_t>(p) % 16) return "an address is no multiple of 16 bytes";
  if (a.from_end && !a.key_lengths) return "positions from the end need lengths of keys";
  if (!(a.bias_type == BiasType::kNone) != !!a.bias) return "a bias and its type are given only together";
  if (a.rounded && !attention_rounds(a, device)) return "its variant does not round";
  if (is_few(a)) return device.capability >= 75 ? nullptr : "needs compute capability 7.5";
  if (a.type != Scalar::kFloat32) {
    if (device.capability < 80) return "needs compute capability 8.0";
    if (attention_mma_shared(a, 64) > device.shared_memory) return "too many keys for a bias in shared memory";
  } else if (attention_f32_shared(a.size) > device.shared_memory) {
    return "needs more shared memory than the device has";
  }
  return nullptr;
}

bool attention_rounds(const AttentionArgs& a, const DeviceTraits& device) {
  return a.type != Scalar::kFloat32 && !is_few(a) && device.capability >= 89;
}

cudaError_t attention(const AttentionArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  if (a.batch == 0 || a.queries == 0) return cudaSuccess;
  if (is_few(a)) return attention_few_of(a, device, stream);
  if (a.type == Scalar::kFloat16) return attention_mma_f16(a, device, stream);
  if (a.type == Scalar::kBFloat16) return attention_mma_bf16(a, device, stream);
  return with_size(a.size, [&](auto hd) {
    const LaunchShape shape{
        .grid = dim3((a.queries + 63) / 64, a.heads, a.batch), .block = dim3(256), .shared = attention_f32_shared(hd())};
    return launch(attention_f32<hd()>, shape, stream, a);
  });
}

namespace {

template <typename T>
__global__ void kv_append_kernel(const __grid_constant__ KvAppendArgs a) {
  constexpr int VECTOR = 16 / sizeof(T);
  const int pieces = a.size / VECTOR;
  const int64_t total = static_cast<int64_t>(a.batch) * a.kv_heads * a.count * pieces;
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < total;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const int piece = i % pieces, h = i / pieces % a.kv_heads;
    const int64_t row = i / pieces / a.kv_heads % a.count, b = i / pieces / a.kv_heads / a.count;
    const int64_t to = row + (a.past ? a.past[b] : a.position);
    if (to < 0 || to >= a.capacity) continue;
    const auto copy = [&](const void* from, const HeadStrides& s, void* cache, const HeadStrides& c) {
      const T* x = static_cast<const T*>(from) + b * s.batch + h * s.head + row * s.row + piece * VECTOR;
      T* y = static_cast<T*>(cache) + b * c.batch + h * c.head + to * c.row + piece * VECTOR;
      *reinterpret_cast<uint4*>(y) = *reinterpret_cast<const uint4*>(x);
    };
    copy(a.k, a.k_strides, a.k_cache, a.k_cache_strides);
    copy(a.v, a.v_strides, a.v_cache, a.v_cache_strides);
  }
}

}  // namespace

cudaError_t kv_append(const KvAppendArgs& a, cudaStream_t stream) {
  const int64_t total = static_cast<int64_t>(a.batch) * a.kv_heads * a.count * a.size * bytes_of(a.type) / 16;
  if (total == 0) return cudaSuccess;
  const int64_t blocks = (total + 255) / 256;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(blocks < 2048 ? blocks : 2048)), .block = dim3(256)};
  return bytes_of(a.type) == 2 ? launch(kv_append_kernel<__half>, shape, stream, a) : launch(kv_append_kernel<float>, shape, stream, a);
}

}  // namespace cameo::cuda
