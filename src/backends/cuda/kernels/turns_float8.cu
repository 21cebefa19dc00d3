#include "backends/cuda/kernels/turns_product.cuh"
#include "backends/cuda/kernels/turns_variants.h"

namespace cameo::cuda {

cudaError_t turns_product_float8(TurnsParams& p, const TurnsArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  if (a.y_type == Element::kFloat8) return launch_turns_of<Element::kFloat8, Element::kFloat8>(p, a, device, stream);
  return launch_turns_of<Element::kFloat8, Element::kFloat16>(p, a, device, stream);
}

}  // namespace cameo::cuda
