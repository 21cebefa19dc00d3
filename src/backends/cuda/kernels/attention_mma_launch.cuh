// Chooses and launches a tile of attention_mma.cuh for one element type.
#pragma once

#include "backends/cuda/kernels/attention_dense.cuh"
#include "backends/cuda/kernels/attention_mma.cuh"
#include "backends/cuda/kernels/attention_split.cuh"
#include "backends/cuda/kernels/attention_variants.h"
#include "backends/cuda/kernels/attention_wgmma.cuh"
#include "backends/cuda/kernels/launch.h"

namespace cameo::cuda {

template <typename T, int HD, int MT>
cudaError_t run_attention_mma(const AttentionArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3((a.queries + 64 * MT - 1) / (64 * MT), a.heads, a.batch),
                          .block = dim3(128),
                          .shared = static_cast<size_t>(attention_mma_shared(a, 64 * MT)),
                          .dependent = device.capability >= 90};
  const bool bias = a.bias_type != BiasType::kNone || a.relative;
  return bias ? launch(attention_mma<T, HD, MT, true>, shape, stream, a) : launch(attention_mma<T, HD, MT, false>, shape, stream, a);
}

// Bytes of shared memory; 1023 for the place of the tiles.
inline int64_t attention_wgmma_shared(const AttentionArgs& a) {
  return attention_staged_bytes(a, kWgmmaQueries) + kWgmmaQueries * 128 + 2 * kWgmmaStages * kWgmmaTileBytes + 1023;
}
template <typename T>
cudaError_t run_attention_wgmma(const AttentionArgs& a, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3((a.queries + kWgmmaQueries - 1) / kWgmmaQueries, a.heads, a.batch),
                          .block = dim3(256),
                          .shared = static_cast<size_t>(attention_wgmma_shared(a)),
                          .dependent = true};
  const bool bias = a.bias_type != BiasType::kNone || a.relative;
  return bias ? launch(attention_wgmma<T, true>, shape, stream, a) : launch(attention_wgmma<T, false>, shape, stream, a);
}

template <typename T>
cudaError_t attention_mma_of(const AttentionArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  // Twice the queries a warp where blocks still fill the device twice over.
  const int64_t blocks = static_cast<int64_t>((a.queries + 127) / 128) * a.heads * a.batch;
  const bool wide = a.queries > 64 && blocks >= 2 * device.multiprocessors && attention_mma_shared(a, 128) <= device.shared_memory;
  static const bool wgmma = device.capability == 90 && has_wgmma(attention_wgmma<T, true>);
  cudaError_t e = cudaSuccess;
  if (try_attention_split<T>(a, device, stream, e)) return e;
  if (wgmma && try_attention_dense<T>(a, device, stream, e)) return e;
  if (wgmma && a.size == 64 && a.queries > 64 && 2 * blocks >= device.multiprocessors && attention_wgmma_shared(a) <= device.shared_memory)
    return run_attention_wgmma<T>(a, stream);
  switch (a.size) {
    case 32:
      return run_attention_mma<T, 32, 1>(a, device, stream);
    case 64:
      return wide ? run_attention_mma<T, 64, 2>(a, device, stream) : run_attention_mma<T, 64, 1>(a, device, stream);
    case 80:
      return run_attention_mma<T, 80, 1>(a, device, stream);
    case 96:
      return run_attention_mma<T, 96, 1>(a, device, stream);
    default:
      return run_attention_mma<T, 128, 1>(a, device, stream);
  }
}

}  // namespace cameo::cuda
