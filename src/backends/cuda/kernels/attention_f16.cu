#include "backends/cuda/kernels/attention_mma_launch.cuh"

namespace cameo::cuda {

int64_t attention_mma_shared(const AttentionArgs& a, int rows) {
  const int64_t staged =
      (a.bias_type != BiasType::kNone && a.bias_strides.row == 0 ? a.keys : 0) + (a.relative ? int64_t{a.keys} + rows : 0);
  return (rows + 4 * kAttentionTile) * (a.size + 8) * int64_t{2} + staged * 4;
}

cudaError_t attention_mma_f16(const AttentionArgs& args, const DeviceTraits& device, cudaStream_t stream) {
  return attention_mma_of<__half>(args, device, stream);
}

}  // namespace cameo::cuda
