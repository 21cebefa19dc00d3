// Variants of attention.cu that are compiled on their own.
#pragma once

#include "backends/cuda/kernels/attention.h"

namespace cameo::cuda {

// Bytes of shared memory of the tensor core variant with tiles of `rows` queries.
// Of biases in shared memory, for blocks of so many queries.
int64_t attention_staged_bytes(const AttentionArgs& args, int rows);
int64_t attention_mma_shared(const AttentionArgs& args, int rows);
cudaError_t attention_mma_f16(const AttentionArgs& args, const DeviceTraits& device, cudaStream_t stream);
cudaError_t attention_mma_bf16(const AttentionArgs& args, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
