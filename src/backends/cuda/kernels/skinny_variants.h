// Variants of skinny_gemm.cu that are compiled on their own.
#pragma once

#include "backends/cuda/kernels/skinny_gemm.h"

namespace cameo::cuda {

struct SkinnyParams;

cudaError_t skinny_f16(SkinnyParams& params, const DeviceTraits& device, cudaStream_t stream);
cudaError_t skinny_bf16(SkinnyParams& params, const DeviceTraits& device, cudaStream_t stream);
cudaError_t skinny_f32(const SkinnyGemmArgs& args, const DeviceTraits& device, cudaStream_t stream);
int64_t skinny_f32_shared(const SkinnyGemmArgs& args);

}  // namespace cameo::cuda
