#include "backends/cuda/kernels/decoder_persistent.cuh"

namespace cameo::cuda {

cudaError_t decoder_persistent_f16(const PersistentParams& p, cudaStream_t stream) {
  const auto kernel = decoder_persistent_kernel<__half, 64>;
  const cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, p.shared);
  if (e != cudaSuccess) return e;
  // All blocks live at once, also beside other kernels: they wait for each other.
  cudaLaunchAttribute attribute;
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(p.blocks), config.blockDim = dim3(kPersistentThreads), config.dynamicSmemBytes = p.shared, config.stream = stream;
  config.attrs = &attribute, config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, p);
}

}  // namespace cameo::cuda
