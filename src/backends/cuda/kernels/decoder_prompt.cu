// A prompt's tokens as rows of one step of a decoder: its products take rows of any kind (decoder_step.cu); what is here tells the rows
// where they are, and lets them attend to each other.
#include "backends/cuda/kernels/decoder_prompt.h"

#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/launch.h"

namespace cameo::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32, kMostSize = 128, kMostRows = 64;

__global__ void __launch_bounds__(64)
    begin_kernel(const __grid_constant__ DecoderState s, int batch, int capacity, const __grid_constant__ PromptRows rows) {
  wait_for_predecessor();
  const int b = threadIdx.x, at = s.queue ? *s.queue_at : 0;
  __syncthreads();
  if (b < batch) {
    int token = s.tokens[b], length = s.lengths[b];
    bool still = s.done && s.done[b];
    for (int i = 0; i < rows.count; ++i) {
      const bool on = !still && length >= 0 && length < capacity;
      rows.tokens[i * batch + b] = token, rows.positions[i * batch + b] = on ? length : -1;
      if (i + 1 == rows.count) break;
      length += on;
      if (!s.queue) continue;
      token = s.queue[2 * (at + i) * s.queue_stride + b];
      if (s.done) still = s.queue[(2 * (at + i) + 1) * s.queue_stride + b];
    }
    s.tokens[b] = token, s.lengths[b] = length;
    if (s.done) s.done[b] = still;
  }
  if (b == 0 && s.queue) *s.queue_at = at + rows.count - 1;
}

// A block has the queries that share a sequence's keys.
template <typename T>
__global__ void __launch_bounds__(kThreads) attention_kernel(const __grid_constant__ PromptAttention a) {
  extern __shared__ __align__(16) unsigned char prompt_shared[];  // prompt_attention_shared()
  auto* const positions = reinterpret_cast<int32_t*>(prompt_shared);
  T* const held = reinterpret_cast<T*>(prompt_shared + kMostRows * sizeof(int32_t));  // [count][group + 2][size]: queries, key, value
  launch_dependents();
  wait_for_predecessor();
  const int tid = threadIdx.x, lane = tid % 32, warp = tid / 32, size = a.size, half = size / 2;
  const int b = blockIdx.x / a.kv_heads, kv_head = blockIdx.x % a.kv_heads, group = a.heads / a.kv_heads, held_row = (group + 2) * size;
  const int count = a.rows.count, pieces = size * static_cast<int>(sizeof(T)) / 16;
  if (tid < count) positions[tid] = static_cast<const volatile int32_t*>(a.rows.positions)[tid * a.batch + b];
  const auto head_of = [&](int i) { return i < group ? kv_head * group + i : a.heads + (i - group) * a.kv_heads + kv_head; };
  for (int n = tid; n < count * (group + 2) * pieces; n += kThreads) {
    const int piece = n % pieces, of = n / pieces, i = of / (group + 2), head = head_of(of % (group + 2));
    const T* from = static_cast<const T*>(a.qkv) + (static_cast<int64_t>(i * a.batch + b) * (a.heads + 2 * a.kv_heads) + head) * size;
    reinterpret_cast<uint4*>(held + of * size)[piece] = load_fresh(from + piece * (16 / sizeof(T)));
  }
  __syncthreads();
  // Element d of a head at x, rotated by halves where there is a table.
  const auto rotated = [&](const T* x, int d, int at) {
    const float v = to_float(x[d]);
    if (!a.rope_cos) return v;
    const int pair = d < half ? d : d - half;
    const float cosine = a.rope_cos[static_cast<int64_t>(at) * half + pair], sine = a.rope_sin[static_cast<int64_t>(at) * half + pair];
    return v * cosine + (d < half ? -to_float(x[d + half]) : to_float(x[d - half])) * sine;
  };
  for (int n = tid; n < count * half; n += kThreads) {
    const int i = n / half, d = n % half, at = positions[i];
    T* const key = held + i * held_row + group * size;
    if (at < 0) continue;
    const float low = rotated(key, d, at), high = rotated(key, d + half, at);
    key[d] = from_float<T>(low), key[d + half] = from_float<T>(high);
  }
  __syncthreads();
  const int64_t cache = (static_cast<int64_t>(b) * a.kv_heads + kv_head) * a.capacity * size;
  T* const keys = static_cast<T*>(a.k_cache) + cache;
  T* const values = static_cast<T*>(a.v_cache) + cache;
  for (int n = tid; n < count * 2 * pieces; n += kThreads) {
    const int i = n / (2 * pieces), which = n / pieces % 2, piece = n % pieces, at = positions[i];
    if (at < 0) continue;
    reinterpret_cast<uint4*>((which ? values : keys) + static_cast<int64_t>(at) * size)[piece] =
        reinterpret_cast<const uint4*>(held + i * held_row + (group + which) * size)[piece];
  }
  constexpr int kEach = kMostSize / 32;
#pragma unroll 1
  for (int n = warp; n < count * group; n += kWarps) {
    const int i = n / group, query = n % group, at = positions[i];
    float q[kEach] = {}, o[kEach] = {}, most = -INFINITY, total = 0.f;
    const auto add = [&](const T* key, const T* value) {
      float s = 0.f;
#pragma unroll
      for (int e = 0; e < kEach; ++e)
        if (lane + 32 * e < size) s += q[e] * to_float(key[lane + 32 * e]);
      s = warp_sum(s);
      const float now = fmaxf(most, s), shrink = exp2f(most - now), weight = exp2f(s - now);
      most = now, total = total * shrink + weight;
#pragma unroll
      for (int e = 0; e < kEach; ++e)
        if (lane + 32 * e < size) o[e] = o[e] * shrink + weight * to_float(value[lane + 32 * e]);
    };
    if (at >= 0) {
#pragma unroll
      for (int e = 0; e < kEach; ++e)
        if (lane + 32 * e < size) q[e] = rotated(held + i * held_row + query * size, lane + 32 * e, at) * a.scale;
      // Rows that are not still go on by one each: those before this one begin behind what was cached.
      int behind = 0;
      for (int j = 0; j < i; ++j) behind += positions[j] >= 0;
      for (int j = 0; j < at - behind; ++j) add(keys + static_cast<int64_t>(j) * size, values + static_cast<int64_t>(j) * size);
      for (int j = 0; j <= i; ++j)
        if (positions[j] >= 0) add(held + j * held_row + group * size, held + j * held_row + (group + 1) * size);
    }
    T* const out = static_cast<T*>(a.out) + (static_cast<int64_t>(i * a.batch + b) * a.heads + kv_head * group + query) * size;
#pragma unroll
    for (int e = 0; e < kEach; ++e)
      if (lane + 32 * e < size) out[lane + 32 * e] = from_float<T>(total > 0.f ? o[e] / total : 0.f);
  }
}

template <typename T>
cudaError_t run(const PromptAttention& a, size_t shared, cudaStream_t stream) {
  LaunchShape shape{.grid = dim3(a.batch * a.kv_heads), .block = dim3(kThreads), .shared = shared};
  shape.dependent = true;
  return launch(attention_kernel<T>, shape, stream, a);
}

}  // namespace

cudaError_t prompt_begin(const DecoderState& state, int32_t batch, int32_t capacity, const PromptRows& rows, cudaStream_t stream) {
  LaunchShape shape{.grid = dim3(1), .block = dim3(64)};
  shape.dependent = true;
  return launch(begin_kernel, shape, stream, state, int{batch}, int{capacity}, rows);
}

int64_t prompt_attention_shared(Scalar type, const PromptAttention& a) {
  return kMostRows * int64_t{sizeof(int32_t)} + int64_t{a.rows.count} * (a.heads / a.kv_heads + 2) * a.size * bytes_of(type);
}

cudaError_t prompt_attention(Scalar type, const PromptAttention& a, cudaStream_t stream) {
  const auto shared = static_cast<size_t>(prompt_attention_shared(type, a));
  if (type == Scalar::kFloat16) return run<__half>(a, shared, stream);
  return type == Scalar::kBFloat16 ? run<__nv_bfloat16>(a, shared, stream) : run<float>(a, shared, stream);
}

}  // namespace cameo::cuda
