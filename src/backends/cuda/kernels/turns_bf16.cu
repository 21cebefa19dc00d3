#include "backends/cuda/kernels/turns_product.cuh"
#include "backends/cuda/kernels/turns_variants.h"

namespace cameo::cuda {

cudaError_t turns_product_bf16(TurnsParams& p, const TurnsArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  return launch_turns_of<Element::kBFloat16, Element::kBFloat16>(p, a, device, stream);
}

}  // namespace cameo::cuda
