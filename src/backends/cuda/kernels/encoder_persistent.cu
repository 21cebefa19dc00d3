// What the persistent kernel of an encoder's layers covers, and how its work is cut.
#include "backends/cuda/kernels/encoder_persistent.h"

#include <algorithm>

#include "backends/cuda/kernels/weight_ring.cuh"

namespace cameo::cuda {
namespace {

// From this many blocks on, asking for words in vain costs more than counting them (measured on an H200 with 64 and 128 blocks).
constexpr int kManyBlocks = 96;
constexpr int kMostHidden = 768, kUnit = 24, kShared = 227 * 1024, kStageTail = 64;

int64_t rounded(int64_t bytes) { return (bytes + 255) / 256 * 256; }

struct Plan {
  EncoderParams p{};
  int64_t workspace = 0;
  const void* zeros = nullptr;  // in the workspace: biases that are not there
  const char* why = nullptr;

  Plan(const EncoderArgs& a, const DeviceTraits& device) {
    p.args = a;
    p.rows = a.batch * a.tokens;
    for (p.chunks = 1; p.chunks < 4 && a.ffn / p.chunks > kMostHidden; p.chunks *= 2) {
    }
    p.chunk_k = a.ffn / p.chunks;
    if (a.ffn % p.chunks || p.chunk_k > kMostHidden || p.chunk_k % 96) {
      why = "the feed-forward part is too wide, or not a multiple of 96 numbers in 1, 2 or 4 parts";
      return;
    }
    p.blocks = std::min(device.multiprocessors, a.ffn / kUnit);
    p.counted = p.blocks >= kManyBlocks;
    int at = 2 * kMostStages * 8;
    const auto place = [&](int64_t bytes) {
      const int here = at;
      at += static_cast<int>(rounded(bytes));
      return here;
    };
    const int stride = row_stride(std::max(a.hidden, p.chunk_k)), units = (a.batch * a.heads + p.blocks - 1) / p.blocks;
    p.x_at = place(int64_t{p.rows} * row_stride(a.hidden));
    p.h_at = a.pre ? place(int64_t{p.rows} * row_stride(a.hidden)) : 0;
    p.a_at = place(int64_t{p.rows} * stride);
    p.sums_at = place(8 * 3 * 68 * 8);
    p.qkv_at = place(3 * 16 * (a.head_size + 8) * 2);
    p.bias_at = place(int64_t{units} * a.tokens * a.tokens * 4);
    p.ring_at = at;
    p.stage_bytes = 8 * stride + kStageTail;
    p.stages = std::min((kShared - at) / p.stage_bytes, kMostStages);
    p.shared = at + p.stages * p.stage_bytes;
    if (p.stages < 4) why = "the rows leave too little shared memory for weights";
    const auto words = [&](int64_t count) {
      auto* here = reinterpret_cast<uint4*>(static_cast<std::byte*>(a.workspace) + workspace);
      workspace += rounded(count * 16);
      return here;
    };
    zeros = words(std::max(a.hidden, a.ffn) / 8);
    p.epochs = reinterpret_cast<uint32_t*>(words((p.blocks + 3) / 4));
    p.counts = reinterpret_cast<uint32_t*>(words(kCountedKinds * kEncoderRows * 8));
    p.qkv = words(int64_t{p.rows} * a.hidden / 2);
    p.attended = words(int64_t{p.rows} * a.heads * ((a.head_size + 5) / 6));
    p.out = words(int64_t{p.rows} * a.hidden / 6), p.down = words(int64_t{p.rows} * a.hidden / 6);
    p.up = words(int64_t{p.rows} * a.ffn / 6);
    p.parts = words(int64_t{a.hidden} / kUnit * p.chunks * kEncoderRows * 8);
  }
};

}  // namespace

const char* encoder_refusal(const EncoderArgs& a, const DeviceTraits& device) {
  if (device.capability < 90) return "needs compute capability 9.0";
  if (device.shared_memory < kShared) return "needs 227 KB of shared memory a block";
  if (a.type == Scalar::kFloat32) return "needs 16-bit numbers";
  if (a.batch < 1 || a.tokens < 1 || int64_t{a.batch} * a.tokens > kEncoderRows) return "there are not 1 to 16 rows";
  if (a.layers < 1 || a.layers > kEncoderLayers) return "there are too many layers";
  if (a.head_size != 32 && a.head_size != 64) return "the head's size is not 32 or 64";
  if (a.hidden < 96 || a.hidden > kMostHidden || a.hidden % 96) return "the hidden size is not a multiple of 96 up to 768";
  if (a.heads * a.head_size != a.hidden) return "the heads are not as wide as the rows";
  if (a.ffn < 96) return "the feed-forward part is too narrow";
  if (a.activation == Activation::kSwiGlu) return "gates are not covered";
  const auto aligned = [](const void* v) { return reinterpret_cast<uintptr_t>(v) % 16 == 0; };
  if (!aligned(a.x) || !aligned(a.y) || !aligned(a.first_weight) || !aligned(a.first_bias)) return "an address is not 16-byte aligned";
  for (int i = 0; i < a.layers; ++i) {
    const EncoderLayer& l = a.layer[i];
    for (const void* v : {l.weight[0], l.weight[1], l.weight[2], l.bias[0], l.bias[1], l.bias[2], l.out_weight, l.out_bias, l.norm1_weight,
                          l.norm1_bias, l.up_weight, l.up_bias, l.down_weight, l.down_bias, l.norm2_weight, l.norm2_bias})
      if (!aligned(v)) return "an address is not 16-byte aligned";
  }
  return Plan(a, device).why;
}

int64_t encoder_workspace(const EncoderArgs& args, const DeviceTraits& device) { return Plan(args, device).workspace; }

cudaError_t encoder(const EncoderArgs& args, const DeviceTraits& device, cudaStream_t stream) {
  const Plan plan(args, device);
  EncoderParams p = plan.p;
  const auto fill = [&](const void*& bias) {
    if (!bias) bias = plan.zeros;
  };
  fill(p.args.first_bias);
  for (int i = 0; i < args.layers; ++i) {
    EncoderLayer& l = p.layer[i] = args.layer[i];
    for (const void** bias : {&l.bias[0], &l.bias[1], &l.bias[2], &l.out_bias, &l.norm1_bias, &l.up_bias, &l.down_bias, &l.norm2_bias})
      fill(*bias);
  }
  return args.type == Scalar::kFloat16 ? encoder_f16(p, stream) : encoder_bf16(p, stream);
}

}  // namespace cameo::cuda
