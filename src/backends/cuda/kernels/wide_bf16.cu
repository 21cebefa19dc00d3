#include "backends/cuda/kernels/wide_divided.cuh"
#include "backends/cuda/kernels/wide_variants.h"

namespace cameo::cuda {

cudaError_t wide_product_bf16(WideParams& params, int variant, const DeviceTraits& device, cudaStream_t stream) {
  return launch_wide_variant<__nv_bfloat16>(params, variant, device, stream);
}

}  // namespace cameo::cuda
