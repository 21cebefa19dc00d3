// The blocks of a cluster have an image: each some of its channels, of some of its pixels. Sums of pixels and partial products go
// between them through shared memory; a block keeps what it read of x in registers until the gates are there.
#include "backends/cuda/kernels/channel_gate.h"

#include <algorithm>

#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/launch.h"

namespace cameo::cuda {
namespace {

constexpr int kThreads = 512, kHeld = 8;  // pieces of 8 channels that a thread keeps
constexpr int kMostChannels = 2048;       // of a block
constexpr int kMostSqueezed = 512;
constexpr size_t kMostStaged = 160 << 10;  // bytes of weights in shared memory
constexpr int kFewestPieces = 8;           // of a row: what blocks read at once

struct Division {
  int across = 1, down = 1;  // blocks that share the channels, and the pixels
  bool staged = true;        // the weights fit shared memory
};

__device__ __forceinline__ float activated(GateActivation activation, float x, float slope, float offset) {
  switch (activation) {
    case GateActivation::kRelu:
      return x < 0.f ? 0.f : x;
    case GateActivation::kSilu:
      return x / (1.f + __expf(-x));
    case GateActivation::kHardSwish:
      return x * fmaxf(0.f, fminf(1.f, x / 6.f + 0.5f));
    case GateActivation::kSigmoid:
      return 1.f / (1.f + __expf(-x));
    case GateActivation::kHardSigmoid:
      return x != x ? x : fminf(fmaxf(x * slope + offset, 0.f), 1.f);
    default:
      return x;
  }
}

__device__ __forceinline__ float load_remote(uint32_t address) {
  float v = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(v) : "r"(address) : "memory");
#endif
  return v;
}

// rows[r][channels] summed over r, for the block's channels; to `sums`. `rows` is overwritten.
__device__ __forceinline__ void sum_rows(float* rows, int count, int channels, float* sums) {
  int shares = 1;  // threads of a channel
  while (shares < 16 && 2 * shares * channels <= kThreads && 2 * shares <= count) shares *= 2;
  for (int c = threadIdx.x; c < channels * shares; c += kThreads) {
    const int share = c / channels, channel = c % channels;
    float s = 0;
#pragma unroll 4
    for (int r = share; r < count; r += shares) s += rows[r * channels + channel];
    if (shares == 1)
      sums[channel] = s;
    else
      rows[share * channels + channel] = s;  // nobody else reads it
  }
  __syncthreads();
  if (shares == 1) return;
  for (int c = threadIdx.x; c < channels; c += kThreads) {
    float s = 0;
    for (int share = 0; share < shares; ++share) s += rows[share * channels + c];
    sums[c] = s;
  }
  __syncthreads();
}

// Grid: blocks of a cluster, images.
template <typename T>
__global__ void __launch_bounds__(kThreads) channel_gate_kernel(const __grid_constant__ ChannelGateArgs a, const Division by) {
  extern __shared__ __align__(16) float memory[];
  const int tid = threadIdx.x, rank = blockIdx.x, part = rank % by.across, rows_part = rank / by.across;
  const int channels = a.channels / by.across, first = part * channels, pieces = channels / 8;
  float* rows = memory;                 // [kThreads / pieces][channels]
  float* sums = memory + 8 * kThreads;  // [channels]
  float* inner = sums + channels;       // [squeezed]
  float* partial = inner + a.squeezed;  // [squeezed]
  float* gates = partial + a.squeezed;  // [channels]; others read `sums`
  const int each = (a.pixels + by.down - 1) / by.down, from = rows_part * each, count = max(0, min(each, a.pixels - from));
  const int groups = min(kThreads / pieces, max(count, 1)), piece = tid % pieces, group = tid / pieces;
  const bool active = group < groups;
  // What is constant is on its way while the kernel before runs.
  const int own_rows = (a.squeezed - rows_part + by.down - 1) / by.down;  // of the first matrix: rows_part, rows_part + down, …
  const T *squeeze = static_cast<const T*>(a.squeeze) + static_cast<int64_t>(rows_part) * a.channels + first,
          *excite = static_cast<const T*>(a.excite) + first;
  int64_t squeeze_pitch = static_cast<int64_t>(by.down) * a.channels, excite_pitch = a.channels;
  if (by.staged) {
    T* to = reinterpret_cast<T*>(gates + (channels + 2 * a.squeezed + 3) / 4 * 4 - 2 * a.squeezed);
    for (int i = tid; i < (own_rows + a.squeezed) * pieces; i += kThreads) {
      const int row = i / pieces, at = i % pieces * 8;
      const T* source = row < own_rows ? squeeze + row * squeeze_pitch : excite + (row - own_rows) * excite_pitch;
      copy_async16(to + i * 8, source + at, true);
    }
    squeeze = to, excite = to + own_rows * channels;
    squeeze_pitch = excite_pitch = channels;
  }
  const float squeeze_bias = a.squeeze_bias && tid < a.squeezed ? a.squeeze_bias[tid] : 0.f;
  const float excite_bias = a.excite_bias && tid < channels ? a.excite_bias[first + tid] : 0.f;
  launch_dependents();
  wait_for_predecessor();
  const int64_t base = (static_cast<int64_t>(blockIdx.y) * a.pixels + from) * a.channels + first + piece * 8;
  const T* x = static_cast<const T*>(a.x) + base;
  uint4 held[kHeld];
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int row = group + i * groups;
    held[i] = uint4{};
    if (active && row < count) held[i] = load_fresh(x + static_cast<int64_t>(row) * a.channels);
  }
  float acc[8] = {};
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    float v[8];
    unpack16<T>(held[i], v);
#pragma unroll
    for (int e = 0; e < 8; ++e) acc[e] += v[e];
  }
#pragma unroll 4
  for (int row = group + kHeld * groups; active && row < count; row += groups) {
    float v[8];
    unpack16<T>(load_fresh(x + static_cast<int64_t>(row) * a.channels), v);
#pragma unroll
    for (int e = 0; e < 8; ++e) acc[e] += v[e];
  }
  if (active) {
    float4* to = reinterpret_cast<float4*>(rows + group * channels + piece * 8);
    to[0] = make_float4(acc[0], acc[1], acc[2], acc[3]);
    to[1] = make_float4(acc[4], acc[5], acc[6], acc[7]);
  }
  copy_async_wait_all();
  __syncthreads();
  sum_rows(rows, groups, channels, sums);
  // The means of the block's channels, from the blocks that have the other pixels.
  const float share = 1.f / static_cast<float>(a.pixels);
  float* means = rows;
  if (by.down > 1) {
    cluster_arrive();
    cluster_wait();
  }
  for (int c = tid; c < channels; c += kThreads) {
    float s = 0;
    if (by.down > 1) {
#pragma unroll 8
      for (int r = 0; r < by.down; ++r) s += load_remote(remote_address(sums + c, r * by.across + part));
    } else {
      s = sums[c];
    }
    means[c] = s * share;
  }
  __syncthreads();
  // Eight lanes to a row of the first matrix, whose rows the blocks that have the same channels share.
  const int lane = tid & 7;
  for (int k = tid >> 3; k < (own_rows + 3) / 4 * 4; k += kThreads / 8) {
    float sum = 0;
    if (k < own_rows) {
      const uint4* w = reinterpret_cast<const uint4*>(squeeze + k * squeeze_pitch);
#pragma unroll 4
      for (int p = lane; p < pieces; p += 8) {
        float v[8];
        unpack16<T>(w[p], v);
#pragma unroll
        for (int e = 0; e < 8; ++e) sum += v[e] * means[p * 8 + e];
      }
    }
#pragma unroll
    for (int i = 4; i > 0; i >>= 1) sum += __shfl_xor_sync(~0u, sum, i);
    if (lane == 0 && k < own_rows) partial[k] = sum;
  }
  if (by.across > 1 || by.down > 1) {
    cluster_arrive();
    cluster_wait();
  } else {
    __syncthreads();
  }
  if (tid < a.squeezed) {
    float sum = squeeze_bias;
    if (by.across > 1 || by.down > 1) {
#pragma unroll 8
      for (int p = 0; p < by.across; ++p) sum += load_remote(remote_address(partial + tid / by.down, tid % by.down * by.across + p));
    } else {
      sum += partial[tid];
    }
    inner[tid] = activated(a.inner, sum, a.slope, a.offset);
  }
  __syncthreads();
  if (by.across > 1 || by.down > 1) cluster_arrive();  // nothing of other blocks is read any more
  // The second matrix: some threads a pair of channels, which share the sum.
  const int pairs = channels / 2;
  int shares = 1;
  while (shares < 16 && 2 * shares * pairs <= kThreads && 2 * shares <= a.squeezed) shares *= 2;
  for (int p = tid; p < pairs * shares; p += kThreads) {
    const int own = p / pairs, pair = p % pairs;
    const T* w = excite + 2 * pair;
    float low = 0, high = 0;
#pragma unroll 4
    for (int s = own; s < a.squeezed; s += shares) {
      const float2 v = unpack2<T>(*reinterpret_cast<const uint32_t*>(w + s * excite_pitch));
      low += v.x * inner[s], high += v.y * inner[s];
    }
    rows[own * channels + 2 * pair] = low;
    rows[own * channels + 2 * pair + 1] = high;
  }
  __syncthreads();
  for (int c = tid; c < channels; c += kThreads) {
    float sum = c == tid ? excite_bias : a.excite_bias ? a.excite_bias[first + c] : 0.f;
    for (int s = 0; s < shares; ++s) sum += rows[s * channels + c];
    gates[c] = activated(a.outer, sum, a.slope, a.offset);
  }
  __syncthreads();
  if (active) {
    float gate[8];
#pragma unroll
    for (int e = 0; e < 8; ++e) gate[e] = gates[piece * 8 + e];
    T* y = static_cast<T*>(a.y) + base;
    const auto store = [&](const uint4& piece_of_x, int row) {
      float v[8];
      unpack16<T>(piece_of_x, v);
#pragma unroll
      for (int e = 0; e < 8; ++e) v[e] *= gate[e];
      *reinterpret_cast<uint4*>(y + static_cast<int64_t>(row) * a.channels) = pack16<T>(v);
    };
#pragma unroll
    for (int i = 0; i < kHeld; ++i)
      if (const int row = group + i * groups; row < count) store(held[i], row);
#pragma unroll 4
    for (int row = group + kHeld * groups; row < count; row += groups) store(load_fresh(x + static_cast<int64_t>(row) * a.channels), row);
  }
  if (by.across > 1 || by.down > 1) cluster_wait();
}

// Bytes of shared memory, without the weights.
size_t shared_bytes(const ChannelGateArgs& a, const Division& d) {
  return (size_t{8} * kThreads + static_cast<size_t>(a.channels / d.across) + (a.channels / d.across + 2 * a.squeezed + 3) / 4 * 4) *
         sizeof(float);
}
// Those of the weights, at most.
size_t weight_bytes(const ChannelGateArgs& a, const Division& d) {
  return static_cast<size_t>((a.squeezed + d.down - 1) / d.down + a.squeezed) * static_cast<size_t>(a.channels / d.across) * 2;
}

Division divided(const ChannelGateArgs& a, const DeviceTraits& device) {
  // More than 8 blocks of a cluster are for Hopper alone.
  const int blocks = a.images <= 8 && device.capability == 90 ? 16 : a.images <= 32 ? 8 : 4;
  const int pieces = a.channels / 8;
  Division d;
  while (d.across < blocks && pieces % (2 * d.across) == 0 && pieces / (2 * d.across) >= kFewestPieces) d.across *= 2;
  while (d.across * d.down < blocks && 2 * d.down <= a.pixels) d.down *= 2;
  const size_t weights = weight_bytes(a, d);
  d.staged = weights <= kMostStaged && weights + shared_bytes(a, d) <= static_cast<size_t>(device.shared_memory);
  return d;
}

template <typename T>
cudaError_t run(const ChannelGateArgs& a, const Division& by, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(by.across * by.down), static_cast<unsigned>(a.images)),
                          .block = dim3(kThreads),
                          .shared = shared_bytes(a, by) + (by.staged ? weight_bytes(a, by) : 0),
                          .cluster = static_cast<unsigned>(by.across * by.down),
                          .dependent = true};
  return launch(channel_gate_kernel<T>, shape, stream, a, by);
}

}  // namespace

const char* channel_gate_refusal(const ChannelGateArgs& a, const DeviceTraits& device) {
  if (a.type == Scalar::kFloat32) return "elements have 32 bits";
  if (device.capability < 90) return "the device has no clusters";
  if (a.images < 1 || a.pixels < 1 || a.squeezed < 1 || a.channels < 8) return "an extent is too small";
  if (a.channels % 8) return "channels are not a multiple of 8";
  if (a.images > 65535) return "there are too many images";
  if (a.squeezed > kMostSqueezed || a.channels / divided(a, device).across > kMostChannels) return "there are too many channels";
  for (const void* p : {a.x, a.squeeze, a.excite, static_cast<const void*>(a.y)})
    if (reinterpret_cast<uintptr_t>(p) % 16) return "an operand is not aligned to 16 bytes";
  return nullptr;
}

cudaError_t channel_gate(const ChannelGateArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  const Division by = divided(a, device);
  return a.type == Scalar::kFloat16 ? run<__half>(a, by, stream) : run<__nv_bfloat16>(a, by, stream);
}

}  // namespace cameo::cuda
