// Variants of tile_gemm.cu that are compiled on their own.
#pragma once

#include "backends/cuda/kernels/tile_gemm.h"

namespace cameo::cuda {

cudaError_t tile_gemm_f16(const TileGemmArgs& args, int choice, cudaStream_t stream);
cudaError_t tile_gemm_bf16(const TileGemmArgs& args, int choice, cudaStream_t stream);

bool tile_gemm_f16_has_wgmma();

}  // namespace cameo::cuda
