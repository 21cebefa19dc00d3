#include "backends/cuda/kernels/encoder_persistent.cuh"

namespace cameo::cuda {

cudaError_t encoder_f16(const EncoderParams& params, cudaStream_t stream) { return launch_encoder<__half>(params, stream); }

}  // namespace cameo::cuda
