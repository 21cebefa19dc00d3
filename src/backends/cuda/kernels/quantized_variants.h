// Variants of quantized_product.cu that are compiled on their own.
#pragma once

#include "backends/cuda/kernels/quantized_product.h"

namespace cameo::cuda {

struct QuantizedParams;

cudaError_t quantized_product_u8(QuantizedParams& params, const DeviceTraits& device, cudaStream_t stream);
cudaError_t quantized_product_s8(QuantizedParams& params, const DeviceTraits& device, cudaStream_t stream);
cudaError_t quantized_product_float8(QuantizedParams& params, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
