// Variants of wide_product.cu that are compiled on their own.
#pragma once

#include "backends/cuda/kernels/kernel.h"

namespace cameo::cuda {

struct WideParams;
cudaError_t wide_product_f16(WideParams& w, int variant, const DeviceTraits& device, cudaStream_t stream);
bool wide_product_has_wgmma();
cudaError_t wide_product_bf16(WideParams& w, int variant, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
