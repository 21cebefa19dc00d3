#include "backends/cuda/kernels/tile_gemm.cuh"

namespace cameo::cuda {

cudaError_t tile_gemm_f16(const TileGemmArgs& args, int choice, cudaStream_t stream) { return tile_gemm_of<__half>(args, choice, stream); }

bool tile_gemm_f16_has_wgmma() { return tile_gemm_has_wgmma<__half>(); }

}  // namespace cameo::cuda
