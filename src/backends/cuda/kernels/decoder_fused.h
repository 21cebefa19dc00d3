// The layers of a decoder's step for few sequences in two kernels each, and the last norm: see decoder_fused.cu.
#pragma once

#include "backends/cuda/kernels/decoder_step.h"

namespace cameo::cuda {

// Up to 8 sequences, heads of 64, hidden sizes up to 1024, 16-bit weights as they are.
const char* decoder_fused_refusal(const DecoderConfig& config, const DecoderWeights& weights, const DeviceTraits& device);
// What of a model's weights is computed once: its bytes, and how. DecoderWeights::constants is to point there.
int64_t decoder_fused_constants(const DecoderConfig& config);
cudaError_t decoder_fused_prepare(const DecoderConfig& config, const DecoderWeights& weights, void* constants, cudaStream_t stream);
int64_t decoder_fused_workspace(const DecoderConfig& config);
// From tokens to the normalised rows that the head's product takes: normed [batch, hidden] of `type`.
cudaError_t decoder_fused_layers(const DecoderConfig& config, const DecoderWeights& weights, const DecoderState& state, void* workspace,
                                 void* normed, cudaStream_t stream);

}  // namespace cameo::cuda
