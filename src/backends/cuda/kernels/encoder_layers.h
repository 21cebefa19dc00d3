// Layers of a transformer encoder with more tokens than encoder_persistent.h is for, as a chain of kernels: five a layer, each
// starting while the one before it ends, norms inside the products (rows_product.h).
#pragma once

#include "backends/cuda/kernels/encoder_persistent.h"
#include "backends/cuda/kernels/rows_product.h"

namespace cameo::cuda {

constexpr int kEncoderChainRows = 128;
// With more tokens than these the chain is faster than encoder_persistent.h, too (measured on an H200).
constexpr int kEncoderFewTokens = 8;

// What norm_sums() gives for the products behind norms: of queries, keys and values with the norm in front of the layer (of the first
// layer of post-norm ones there is none: null), of `up` with the norm in front of it.
struct EncoderSums {
  const float *qkv, *up;
};

enum EncoderProduct { kEncoderQkv, kEncoderOut, kEncoderUp, kEncoderDown, kEncoderProducts };

// Of EncoderArgs, a layer's weights of queries, keys and values lie one behind the other, and its biases, or all three are null;
// `workspace` has encoder_chain_workspace() bytes with any contents.
struct EncoderChainArgs {
  EncoderArgs encoder;
  const EncoderSums* sums = nullptr;  // [layers], on the host
  RowsTiling tilings[kEncoderProducts];
};

int64_t encoder_chain_workspace(const EncoderArgs& args);
// Whatever the tilings are.
const char* encoder_chain_refusal(const EncoderArgs& args, const DeviceTraits& device);
// One of the products, as the chain does it.
RowsProductArgs encoder_chain_product(const EncoderChainArgs& args, int layer, EncoderProduct which);
cudaError_t encoder_chain(const EncoderChainArgs& args, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
