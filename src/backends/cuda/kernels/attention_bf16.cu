#include "backends/cuda/kernels/attention_mma_launch.cuh"

namespace cameo::cuda {

cudaError_t attention_mma_bf16(const AttentionArgs& args, const DeviceTraits& device, cudaStream_t stream) {
  return attention_mma_of<__nv_bfloat16>(args, device, stream);
}

}  // namespace cameo::cuda
