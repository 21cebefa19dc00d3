// Variants of turns_product.cu that are compiled on their own.
#pragma once

#include "backends/cuda/kernels/kernel.h"
#include "backends/cuda/kernels/turns_product.h"

namespace cameo::cuda {

struct TurnsParams;
cudaError_t turns_product_f16(TurnsParams& p, const TurnsArgs& args, const DeviceTraits& device, cudaStream_t stream);
bool turns_product_has_wgmma();
cudaError_t turns_product_bf16(TurnsParams& p, const TurnsArgs& args, const DeviceTraits& device, cudaStream_t stream);
cudaError_t turns_product_float8(TurnsParams& p, const TurnsArgs& args, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
