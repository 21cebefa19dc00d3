#include "backends/cuda/kernels/encoder_layers.h"

#include "backends/cuda/kernels/norm.h"

namespace cameo::cuda {
namespace {

// Places in the workspace, in bytes. Two sums a layer go to the norms behind them: `first` behind attention, `second` behind `down`.
struct Places {
  int64_t normed, qkv, attended, up, first, first_scaled, first_parts, second, second_scaled, second_parts, total = 0;
  explicit Places(const EncoderArgs& a) {
    const int64_t rows = int64_t{a.batch} * a.tokens, numbers = rows * a.hidden * 2, parts = rows * a.hidden / 32 * 8;
    const auto add = [&](int64_t& at, int64_t bytes) { at = total, total += (bytes + 255) / 256 * 256; };
    add(normed, numbers), add(qkv, 3 * numbers), add(attended, numbers), add(up, rows * a.ffn * 2);
    add(first, a.pre ? numbers : 0), add(first_scaled, numbers), add(first_parts, parts);
    add(second, a.pre ? numbers : 0), add(second_scaled, numbers), add(second_parts, parts);
  }
};

AttentionArgs attention_of(const EncoderArgs& a) {
  const Places places(a);
  char* const base = static_cast<char*>(a.workspace);
  const int64_t h = a.hidden, step = 2 * h;
  AttentionArgs t;
  t.type = a.type;
  t.q = base + places.qkv, t.k = base + places.qkv + step, t.v = base + places.qkv + 2 * step;
  t.out = base + places.attended;
  t.q_strides = t.k_strides = t.v_strides = {.batch = a.tokens * 3 * h, .head = a.head_size, .row = 3 * h};
  t.out_strides = {.batch = a.tokens * h, .head = a.head_size, .row = h};
  t.batch = a.batch, t.heads = t.kv_heads = a.heads, t.queries = t.keys = a.tokens, t.size = a.head_size, t.scale = a.scale;
  t.causal = a.causal;
  t.bias_type = a.bias_type, t.bias = a.bias, t.bias_strides = a.bias_strides, t.bias_keys = a.bias_keys;
  t.relative = a.relative, t.relative_stride = a.relative_stride, t.relative_origin = a.relative_origin;
  return t;
}

NormArgs norm_of(const EncoderArgs& a, const void* x, const void* weight, const void* bias, void* y) {
  NormArgs n;
  n.type = a.type, n.rows = int64_t{a.batch} * a.tokens, n.size = a.hidden, n.epsilon = a.epsilon;
  n.x = x, n.weight = weight, n.bias = bias, n.y = y, n.constant = true;
  return n;
}

}  // namespace

int64_t encoder_chain_workspace(const EncoderArgs& a) { return Places(a).total; }

RowsProductArgs encoder_chain_product(const EncoderChainArgs& args, int layer, EncoderProduct which) {
  const EncoderArgs& a = args.encoder;
  const EncoderLayer& l = a.layer[layer];
  const Places places(a);
  char* const base = static_cast<char*>(a.workspace);
  const auto parts = [&](int64_t at) { return reinterpret_cast<RowPart*>(base + at); };
  const bool starts = layer == 0, ends = layer + 1 == a.layers, normed = a.pre || a.first_weight;
  RowsProductArgs p;
  p.type = a.type, p.epsilon = a.epsilon, p.m = a.batch * a.tokens, p.n = p.k = a.hidden;
  const auto leave = [&](int64_t scaled, int64_t parts_at, const void* weight) {
    p.scaled_out = base + scaled, p.parts_out = parts(parts_at), p.next_weight = weight;
  };
  switch (which) {
    case kEncoderQkv:
      p.n = 3 * a.hidden, p.w = l.weight[0], p.bias = l.bias[0], p.y = base + places.qkv;
      if (starts)
        p.x = normed ? base + places.normed : a.x;
      else
        p.x = base + places.second_scaled, p.parts = parts(places.second_parts), p.norm_sums = args.sums[layer].qkv;
      break;
    case kEncoderOut:
      p.x = base + places.attended, p.w = l.out_weight, p.bias = l.out_bias;
      leave(places.first_scaled, places.first_parts, a.pre ? l.norm2_weight : l.norm1_weight);
      if (a.pre) {
        p.residual = starts ? a.x : base + places.second, p.y = base + places.first;
      } else if (starts) {
        p.residual = normed ? base + places.normed : a.x;
      } else {
        p.residual = base + places.second_scaled, p.residual_parts = parts(places.second_parts);
        p.residual_weight = a.layer[layer - 1].norm2_weight, p.residual_bias = a.layer[layer - 1].norm2_bias;
      }
      break;
    case kEncoderUp:
      p.n = a.ffn, p.x = base + places.first_scaled, p.parts = parts(places.first_parts), p.norm_sums = args.sums[layer].up;
      p.w = l.up_weight, p.bias = l.up_bias, p.activation = a.activation, p.y = base + places.up;
      break;
    default:
      p.k = a.ffn, p.x = base + places.up, p.w = l.down_weight, p.bias = l.down_bias;
      if (a.pre) {
        p.residual = base + places.first, p.y = ends ? a.y : base + places.second;
      } else {
        p.residual = base + places.first_scaled, p.residual_parts = parts(places.first_parts);
        p.residual_weight = l.norm1_weight, p.residual_bias = l.norm1_bias;
        if (ends) p.y = a.y;
      }
      if (!ends) leave(places.second_scaled, places.second_parts, a.pre ? a.layer[layer + 1].norm1_weight : l.norm2_weight);
  }
  return p;
}

const char* encoder_chain_refusal(const EncoderArgs& a, const DeviceTraits& device) {
  if (a.layers < 1 || a.layers > kEncoderLayers) return "there are too many layers";
  if (a.batch < 1 || a.tokens < 1 || int64_t{a.batch} * a.tokens > kEncoderChainRows) return "there are too many rows";
  if (a.hidden < 64 || a.ffn < 64 || a.heads < 1 || a.heads * a.head_size != a.hidden) return "sizes do not match";
  // With addresses that are aligned as those of the run will be.
  void* const some = reinterpret_cast<void*>(uintptr_t{4096});
  EncoderLayer layers[2];
  for (EncoderLayer& l : layers)
    l = {.weight = {some, some, some},
         .bias = {some, some, some},
         .out_weight = some,
         .out_bias = some,
         .norm1_weight = some,
         .norm1_bias = some,
         .up_weight = some,
         .up_bias = some,
         .down_weight = some,
         .down_bias = some,
         .norm2_weight = some,
         .norm2_bias = some};
  const EncoderSums sums[2] = {{static_cast<float*>(some), static_cast<float*>(some)},
                               {static_cast<float*>(some), static_cast<float*>(some)}};
  EncoderChainArgs two{.encoder = a, .sums = sums, .tilings = {}};
  two.encoder.layers = 2, two.encoder.layer = layers, two.encoder.x = two.encoder.y = two.encoder.workspace = some;
  for (int layer = 0; layer < 2; ++layer)
    for (int which = 0; which < kEncoderProducts; ++which)
      if (rows_tilings(encoder_chain_product(two, layer, static_cast<EncoderProduct>(which)), device).empty())
        return "a product is not covered";
  AttentionArgs attended = attention_of(two.encoder);
  if (attended.bias_type != BiasType::kNone) attended.bias = some;
  if (const char* why = attention_refusal(attended, device)) return why;
  return norm_refusal(norm_of(a, some, some, some, some), device);
}

cudaError_t encoder_chain(const EncoderChainArgs& args, const DeviceTraits& device, cudaStream_t stream) {
  const EncoderArgs& a = args.encoder;
  const EncoderLayer &first = a.layer[0], &last = a.layer[a.layers - 1];
  if (a.pre || a.first_weight) {
    const NormArgs n = norm_of(a, a.x, a.pre ? first.norm1_weight : a.first_weight, a.pre ? first.norm1_bias : a.first_bias,
                               static_cast<char*>(a.workspace) + Places(a).normed);
    if (const cudaError_t e = norm(n, device, stream)) return e;
  }
  const AttentionArgs attended = attention_of(a);
  for (int layer = 0; layer < a.layers; ++layer)
    for (int which = 0; which < kEncoderProducts; ++which) {
      const RowsProductArgs p = encoder_chain_product(args, layer, static_cast<EncoderProduct>(which));
      if (const cudaError_t e = rows_product(p, args.tilings[which], device, stream)) return e;
      if (which != kEncoderQkv) continue;
      if (const cudaError_t e = attention(attended, device, stream)) return e;
    }
  return a.pre ? cudaSuccess : norm(norm_of(a, a.y, last.norm2_weight, last.norm2_bias, a.y), device, stream);
}

}  // namespace cameo::cuda
