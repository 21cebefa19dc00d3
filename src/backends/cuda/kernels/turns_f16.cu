#include "backends/cuda/kernels/turns_product.cuh"
#include "backends/cuda/kernels/turns_variants.h"

namespace cameo::cuda {

cudaError_t turns_product_f16(TurnsParams& p, const TurnsArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  return launch_turns_of<Element::kFloat16, Element::kFloat16>(p, a, device, stream);
}

// Whether their code for this device has wgmma.
bool turns_product_has_wgmma() {
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, turns_kernel<Element::kFloat16, Element::kFloat16, false>) == cudaSuccess)
    return attributes.maxThreadsPerBlock > 32;
  cudaGetLastError();
  return false;
}

}  // namespace cameo::cuda
