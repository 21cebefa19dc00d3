#include "backends/cuda/kernels/quantized_product.cuh"
#include "backends/cuda/kernels/quantized_variants.h"

namespace cameo::cuda {

cudaError_t quantized_product_u8(QuantizedParams& params, const DeviceTraits& device, cudaStream_t stream) {
  return launch_variant<Element::kUint8>(params, device, stream);
}

}  // namespace cameo::cuda
