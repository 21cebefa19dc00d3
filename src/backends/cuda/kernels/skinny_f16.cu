#include "backends/cuda/kernels/skinny_gemm.cuh"
#include "backends/cuda/kernels/skinny_variants.h"

namespace cameo::cuda {

cudaError_t skinny_f16(SkinnyParams& params, const DeviceTraits& device, cudaStream_t stream) {
  return run_skinny<__half>(params, device, stream);
}

}  // namespace cameo::cuda
