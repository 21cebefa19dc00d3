#include "backends/cuda/kernels/wide_divided.cuh"
#include "backends/cuda/kernels/wide_variants.h"

namespace cameo::cuda {

cudaError_t wide_product_f16(WideParams& params, int variant, const DeviceTraits& device, cudaStream_t stream) {
  return launch_wide_variant<__half>(params, variant, device, stream);
}

bool wide_product_has_wgmma() { return wide_kernel_is_there(); }

}  // namespace cameo::cuda
