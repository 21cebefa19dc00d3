// Layers of a transformer encoder with few rows as one persistent kernel.
#pragma once

#include "backends/cuda/kernels/attention.h"
#include "backends/cuda/kernels/kernel.h"
#include "backends/cuda/kernels/skinny_gemm.h"

namespace cameo::cuda {

constexpr int kEncoderLayers = 48, kEncoderRows = 16;

// Matrices are [n, k], K contiguous, 16-byte aligned as the norms' vectors are; biases may be null.
struct EncoderLayer {
  const void* weight[3];  // queries, keys, values: [hidden, hidden] each
  const void* bias[3];
  const void *out_weight, *out_bias, *norm1_weight, *norm1_bias;  // norms: [hidden]; of post-norm layers behind the two sums,
  const void *up_weight, *up_bias, *down_weight, *down_bias;      // of pre-norm layers before attention and before `up`
  const void *norm2_weight, *norm2_bias;
};

// A layer, with norm1 and norm2 where `pre` says:
//   post: x = norm1(x + out(attention(qkv(x)))); x = norm2(x + down(act(up(x))))
//   pre:  x = x + out(attention(qkv(norm1(x)))); x = x + down(act(up(norm2(x))))
struct EncoderArgs {
  Scalar type = Scalar::kFloat16;  // of all tensors but the attention's bias
  int32_t layers = 0, batch = 0, tokens = 0, hidden = 0, heads = 0, head_size = 0, ffn = 0;
  bool pre = false;
  float epsilon = 1e-5f, scale = 1.f;
  Activation activation = Activation::kGelu;
  const EncoderLayer* layer = nullptr;  // [layers], on the host; read by the launch
  const void* x = nullptr;              // [batch * tokens, hidden]
  // A norm of x before the first layer, or null; where layers have norms behind their sums.
  const void *first_weight = nullptr, *first_bias = nullptr;
  void* y = nullptr;  // as x; may be x
  // Attention's bias and masks, the same for all layers; as in AttentionArgs.
  bool causal = false;
  BiasType bias_type = BiasType::kNone;
  const void* bias = nullptr;
  HeadStrides bias_strides;
  int32_t bias_keys = INT32_MAX;
  const float* relative = nullptr;
  int32_t relative_stride = 0, relative_origin = 0;
  void* workspace = nullptr;  // encoder_workspace() bytes, zeroed once; for launches with the same sizes, one at a time
};

const char* encoder_refusal(const EncoderArgs& args, const DeviceTraits& device);
int64_t encoder_workspace(const EncoderArgs& args, const DeviceTraits& device);
cudaError_t encoder(const EncoderArgs& args, const DeviceTraits& device, cudaStream_t stream);

// ---- what a launch needs besides ----

// What is counted: rows of queries, keys and values, attention, output, down, and of each part of up.
enum { kCountQkv, kCountAttended, kCountOut, kCountDown, kCountUp, kCountedKinds = kCountUp + 4 };

// A word of 16 bytes carries three pairs of 16-bit numbers, or three floats, and an epoch.
struct EncoderParams {
  EncoderArgs args;
  int32_t rows, chunks, chunk_k;  // of `down`: parts of its sum over k
  bool counted;                   // asks for words only once as many as are needed were counted
  int32_t blocks, stages, stage_bytes, ring_at, x_at, h_at, a_at, sums_at, qkv_at, bias_at, shared;
  uint32_t* epochs;  // [blocks]
  uint32_t* counts;  // [kCountedKinds][kEncoderRows][32], the first of 32: how many have sent words of a row
  uint4 *qkv, *attended, *out, *up, *parts, *down;
  EncoderLayer layer[kEncoderLayers];
};
cudaError_t encoder_f16(const EncoderParams& params, cudaStream_t stream);
cudaError_t encoder_bf16(const EncoderParams& params, cudaStream_t stream);

}  // namespace cameo::cuda
