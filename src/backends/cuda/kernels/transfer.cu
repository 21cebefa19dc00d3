#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/transfer.h"

namespace cameo::cuda {
namespace {

constexpr int kThreads = 256, kMostBlocks = 128;

__global__ void __launch_bounds__(kThreads) transfer_kernel(TransferArgs args) {
  const auto* from = static_cast<const unsigned char*>(args.from[blockIdx.y]);
  auto* to = static_cast<unsigned char*>(args.to[blockIdx.y]);
  const uint32_t bytes = args.bytes[blockIdx.y], stride = gridDim.x * kThreads;
  const bool aligned = (reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to)) % 16 == 0;
  const uint32_t vectors = aligned ? bytes / 16 : 0;
  const uint32_t me = blockIdx.x * kThreads + threadIdx.x;
  for (uint32_t i = me; i < vectors; i += stride) reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(from)[i];
  for (uint32_t i = vectors * 16 + me; i < bytes; i += stride) to[i] = from[i];
}

}  // namespace

cudaError_t transfer(const TransferArgs& args, cudaStream_t stream) {
  uint32_t most = 0;
  for (int i = 0; i < args.count; ++i) most = args.bytes[i] > most ? args.bytes[i] : most;
  if (most == 0) return cudaSuccess;
  const uint32_t blocks = (most / 16 + kThreads - 1) / kThreads;
  LaunchShape shape;
  shape.grid = dim3(blocks < 1 ? 1 : blocks > kMostBlocks ? kMostBlocks : blocks, static_cast<unsigned>(args.count));
  shape.block = dim3(kThreads);
  return launch(transfer_kernel, shape, stream, args);
}

}  // namespace cameo::cuda
