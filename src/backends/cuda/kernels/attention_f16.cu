#include "backends/cuda/kernels/attention_mma_launch.cuh"

namespace cameo::cuda {

int64_t attention_staged_bytes(const AttentionArgs& a, int rows) {
  return 4 * ((a.bias_type != BiasType::kNone && a.bias_strides.row == 0 ? a.keys : 0) + (a.relative ? int64_t{a.keys} + rows : 0));
}

int64_t attention_mma_shared(const AttentionArgs& a, int rows) {
  return (rows + 4 * kAttentionTile) * (a.size + 8) * int64_t{2} + attention_staged_bytes(a, rows);
}

cudaError_t attention_mma_f16(const AttentionArgs& args, const DeviceTraits& device, cudaStream_t stream) {
  return attention_mma_of<__half>(args, device, stream);
}

}  // namespace cameo::cuda
