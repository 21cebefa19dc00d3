#include "backends/cuda/kernels/encoder_persistent.cuh"

namespace cameo::cuda {

cudaError_t encoder_bf16(const EncoderParams& params, cudaStream_t stream) { return launch_encoder<__nv_bfloat16>(params, stream); }

}  // namespace cameo::cuda
