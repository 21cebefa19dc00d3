// The persistent kernel of an encoder's layers, and the chain of kernels for more rows, against float32 on the host.
#include "backends/cuda/kernels/encoder_layers.h"

#include "harness.cuh"

namespace cameo::cuda_test {
namespace {

using namespace cameo::cuda;

// Numbers as the device has them, and as floats.
struct Numbers {
  std::vector<float> host;
  Buffer device;
};
Numbers numbers(Scalar type, int64_t n, float deviation, float mean = 0.f) {
  static uint64_t state = 5;
  Numbers made;
  std::vector<uint16_t> bits(n);
  made.host.resize(n);
  for (int64_t i = 0; i < n; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    const float f = mean + deviation * (static_cast<float>(state >> 40) * 0x1p-23f - 1.f) * 1.732f;
    if (type == Scalar::kFloat16) {
      const __half h = __float2half_rn(f);
      std::memcpy(&bits[i], &h, 2), made.host[i] = __half2float(h);
    } else {
      const __nv_bfloat16 h = __float2bfloat16_rn(f);
      std::memcpy(&bits[i], &h, 2), made.host[i] = __bfloat162float(h);
    }
  }
  made.device = Buffer::of(bits);
  return made;
}

struct Layer {
  Numbers w[3], b[3], out, out_bias, norm1, norm1_bias, up, up_bias, down, down_bias, norm2, norm2_bias;
};

using Rows = std::vector<float>;

Rows times(const Rows& x, const Numbers& w, const Numbers* bias, int rows, int n, int k) {
  Rows y(rows * n);
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < n; ++i) {
      float sums[16] = {}, sum = 0.f;  // k is a multiple of 16
      for (int j = 0; j < k; j += 16)
        for (int q = 0; q < 16; ++q) sums[q] += x[r * k + j + q] * w.host[int64_t{i} * k + j + q];
      for (const float part : sums) sum += part;
      y[r * n + i] = sum + (bias ? bias->host[i] : 0.f);
    }
  return y;
}
Rows norm_of(const Rows& x, const Numbers& weight, const Numbers& bias, int rows, float epsilon) {
  const int n = static_cast<int>(x.size()) / rows;
  Rows y(x.size());
  for (int r = 0; r < rows; ++r) {
    double mean = 0, squares = 0;
    for (int i = 0; i < n; ++i) mean += x[r * n + i] / n;
    for (int i = 0; i < n; ++i) squares += (x[r * n + i] - mean) * (x[r * n + i] - mean) / n;
    for (int i = 0; i < n; ++i)
      y[r * n + i] = static_cast<float>((x[r * n + i] - mean) / std::sqrt(squares + epsilon)) * weight.host[i] + bias.host[i];
  }
  return y;
}
float activated(Activation f, float x) {
  if (f == Activation::kRelu) return std::max(x, 0.f);
  if (f == Activation::kGeluTanh) return 0.5f * x * (1 + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
  if (f == Activation::kSilu) return x / (1 + std::exp(-x));
  return 0.5f * x * (1 + std::erf(x * 0.70710678f));
}

Rows plain(const EncoderArgs& a, const Layer& first, const std::vector<Layer>& layers, Rows x, const std::vector<float>& scores) {
  const int rows = a.batch * a.tokens, h = a.hidden, d = a.head_size, t = a.tokens;
  if (a.first_weight) x = norm_of(x, first.norm1, first.norm1_bias, rows, a.epsilon);
  for (const Layer& l : layers) {
    const Rows in = a.pre ? norm_of(x, l.norm1, l.norm1_bias, rows, a.epsilon) : x;
    const Rows q = times(in, l.w[0], &l.b[0], rows, h, h), k = times(in, l.w[1], &l.b[1], rows, h, h),
               v = times(in, l.w[2], &l.b[2], rows, h, h);
    Rows attended(rows * h);
    for (int b = 0; b < a.batch; ++b)
      for (int head = 0; head < a.heads; ++head)
        for (int i = 0; i < t; ++i) {
          std::vector<double> e(t);
          double peak = -INFINITY, total = 0;
          for (int j = 0; j < t; ++j) {
            double s = 0;
            for (int c = 0; c < d; ++c) s += q[(b * t + i) * h + head * d + c] * k[(b * t + j) * h + head * d + c];
            e[j] = s * a.scale + scores[((b * a.heads + head) * t + i) * t + j];
            peak = std::max(peak, e[j]);
          }
          for (int j = 0; j < t; ++j) e[j] = peak == -INFINITY ? 0 : std::exp(e[j] - peak), total += e[j];
          for (int j = 0; j < t && total > 0; ++j)
            for (int c = 0; c < d; ++c)
              attended[(b * t + i) * h + head * d + c] += static_cast<float>(e[j] / total) * v[(b * t + j) * h + head * d + c];
        }
    Rows y = times(attended, l.out, &l.out_bias, rows, h, h);
    for (size_t i = 0; i < y.size(); ++i) y[i] += x[i];
    x = a.pre ? y : norm_of(y, l.norm1, l.norm1_bias, rows, a.epsilon);
    Rows u = times(a.pre ? norm_of(x, l.norm2, l.norm2_bias, rows, a.epsilon) : x, l.up, &l.up_bias, rows, a.ffn, h);
    for (float& f : u) f = activated(a.activation, f);
    y = times(u, l.down, &l.down_bias, rows, h, a.ffn);
    for (size_t i = 0; i < y.size(); ++i) y[i] += x[i];
    x = a.pre ? y : norm_of(y, l.norm2, l.norm2_bias, rows, a.epsilon);
  }
  return x;
}

enum class Bias { kNone, kKeys, kFull, kBool, kRelative, kBoth, kCausal };

struct Case {
  Scalar type;
  int layers, batch, tokens, hidden, heads, ffn;
  bool pre;
  Activation activation;
  Bias bias;
  int launches = 2, multiprocessors = 0;
};

struct Encoder {
  EncoderArgs a;
  std::vector<Layer> layers;
  Layer first;  // a norm alone
  std::vector<EncoderLayer> pointers;
  Buffer mask, relative, workspace, y;
  Numbers x;
  std::vector<float> scores;  // [batch, heads, tokens, tokens]

  explicit Encoder(const Case& c) {
    const int t = c.tokens, h = c.hidden;
    a.type = c.type, a.layers = c.layers, a.batch = c.batch, a.tokens = t, a.hidden = h, a.heads = c.heads, a.head_size = h / c.heads;
    a.ffn = c.ffn, a.pre = c.pre, a.activation = c.activation, a.scale = 1.f / std::sqrt(static_cast<float>(a.head_size));
    const float wide = 1.f / std::sqrt(static_cast<float>(h)), narrow = 1.f / std::sqrt(static_cast<float>(c.ffn));
    for (int i = 0; i < c.layers; ++i) {
      Layer l;
      for (int j = 0; j < 3; ++j) l.w[j] = numbers(c.type, h * h, 1.5f * wide), l.b[j] = numbers(c.type, h, 0.1f);
      l.out = numbers(c.type, h * h, wide), l.out_bias = numbers(c.type, h, 0.1f);
      l.norm1 = numbers(c.type, h, 0.1f, 1.f), l.norm1_bias = numbers(c.type, h, 0.1f);
      l.up = numbers(c.type, int64_t{c.ffn} * h, wide), l.up_bias = numbers(c.type, c.ffn, 0.1f);
      l.down = numbers(c.type, int64_t{c.ffn} * h, narrow), l.down_bias = numbers(c.type, h, 0.1f);
      l.norm2 = numbers(c.type, h, 0.1f, 1.f), l.norm2_bias = numbers(c.type, h, 0.1f);
      layers.push_back(std::move(l));
    }
    for (const Layer& l : layers) {
      EncoderLayer e{};
      for (int j = 0; j < 3; ++j) e.weight[j] = l.w[j].device.as(), e.bias[j] = l.b[j].device.as();
      e.out_weight = l.out.device.as(), e.out_bias = l.out_bias.device.as();
      e.norm1_weight = l.norm1.device.as(), e.norm1_bias = l.norm1_bias.device.as();
      e.up_weight = l.up.device.as(), e.up_bias = l.up_bias.device.as();
      e.down_weight = l.down.device.as(), e.down_bias = l.down_bias.device.as();
      e.norm2_weight = l.norm2.device.as(), e.norm2_bias = l.norm2_bias.device.as();
      pointers.push_back(e);
    }
    a.layer = pointers.data();
    if (!c.pre && t % 2 == 0) {
      first.norm1 = numbers(c.type, h, 0.1f, 1.f), first.norm1_bias = numbers(c.type, h, 0.1f);
      a.first_weight = first.norm1.device.as(), a.first_bias = first.norm1_bias.device.as();
    }
    x = numbers(c.type, int64_t{c.batch} * t * h, 1.f);
    y = Buffer(x.host.size() * 2);
    a.x = x.device.as(), a.y = y.as();
    scores.assign(c.batch * c.heads * t * t, 0.f);
    const auto each = [&](auto&& f) {
      for (int b = 0, i = 0; b < c.batch; ++b)
        for (int head = 0; head < c.heads; ++head)
          for (int q = 0; q < t; ++q)
            for (int k = 0; k < t; ++k, ++i) scores[i] += f(b, head, q, k);
    };
    const float none = -INFINITY;
    if (c.bias == Bias::kKeys || c.bias == Bias::kBoth) {  // [batch, 1, 1, tokens] float32
      std::vector<float> m(c.batch * t, 0.f);
      for (int b = 0; b < c.batch; ++b)
        for (int k = t - b % t; k < t; ++k) m[b * t + k] = -3e38f;
      each([&](int b, int, int, int k) { return m[b * t + k]; });
      mask = Buffer::of(m), a.bias_type = BiasType::kFloat32, a.bias_strides = {.batch = t}, a.bias_keys = t;
    } else if (c.bias == Bias::kFull) {  // [batch, heads, tokens, tokens] 16 bits, one key hidden to all
      Numbers m = numbers(c.type, scores.size(), 1.f);
      each([&](int b, int head, int q, int k) { return k >= std::max(1, t - 1) ? none : m.host[((b * c.heads + head) * t + q) * t + k]; });
      mask = std::move(m.device), a.bias_type = c.type == Scalar::kFloat16 ? BiasType::kFloat16 : BiasType::kBFloat16;
      a.bias_strides = {.batch = int64_t{c.heads} * t * t, .head = int64_t{t} * t, .row = t}, a.bias_keys = std::max(1, t - 1);
    } else if (c.bias == Bias::kBool) {  // [batch, 1, tokens, tokens]; the last query sees nothing
      std::vector<uint8_t> m(c.batch * t * t);
      for (int b = 0; b < c.batch; ++b)
        for (int i = 0; i < t * t; ++i) m[b * t * t + i] = i / t + 1 < t && (i * 7 + b) % 3 != 0;
      each([&](int b, int, int q, int k) { return m[(b * t + q) * t + k] ? 0.f : none; });
      mask = Buffer::of(m), a.bias_type = BiasType::kBool, a.bias_strides = {.batch = int64_t{t} * t, .row = t}, a.bias_keys = t;
    }
    a.bias = mask.as();
    if (c.bias == Bias::kRelative || c.bias == Bias::kBoth) {
      std::vector<float> table(c.heads * (2 * t - 1));
      for (size_t i = 0; i < table.size(); ++i) table[i] = std::sin(i * 1.7f);
      each([&](int, int head, int q, int k) { return table[head * (2 * t - 1) + k - q + t - 1]; });
      relative = Buffer::of(table), a.relative = relative.as<float>(), a.relative_stride = 2 * t - 1, a.relative_origin = t - 1;
    }
    if (c.bias == Bias::kCausal) {
      a.causal = true;
      each([&](int, int, int q, int k) { return k > q ? none : 0.f; });
    }
  }
  void prepare(const DeviceTraits& device) {
    workspace = Buffer(encoder_workspace(a, device));
    workspace.zero();
    a.workspace = workspace.as();
  }
};

std::string describe(const Case& c) {
  return format("encoder %s, %d layers, %d x %d rows of %d, %d heads, ffn %d, %s norm, activation %d, bias %d, %d blocks", name(c.type),
                c.layers, c.batch, c.tokens, c.hidden, c.heads, c.ffn, c.pre ? "pre" : "post", int(c.activation), int(c.bias),
                c.multiprocessors);
}

// Relative error of what is in e.y.
double error_of(const Encoder& e, const Rows& want) {
  const std::vector<uint16_t> got = e.y.host<uint16_t>();
  double error = 0, size = 0;
  for (size_t j = 0; j < want.size(); ++j) {
    __half h;
    __nv_bfloat16 b;
    std::memcpy(&h, &got[j], 2), std::memcpy(&b, &got[j], 2);
    const double f = e.a.type == Scalar::kFloat16 ? __half2float(h) : __bfloat162float(b);
    error += (f - want[j]) * (f - want[j]), size += double{want[j]} * want[j];
  }
  return std::sqrt(error / size);
}

// The chain, with each of some divisions of its products.
struct Chain {
  Encoder e;
  EncoderChainArgs args;
  std::vector<Buffer> kept;
  std::vector<EncoderSums> sums;
  explicit Chain(const Case& c) : e(c) {
    EncoderArgs& a = e.a;
    const auto append = [](Buffer& all, const Buffer& one, int i) {
      MUST(cudaMemcpy(all.as<char>() + i * one.bytes(), one.as(), one.bytes(), cudaMemcpyDeviceToDevice));
    };
    for (int i = 0; i < a.layers; ++i) {
      Buffer w(e.layers[i].w[0].device.bytes() * 3), b(e.layers[i].b[0].device.bytes() * 3);
      for (int j = 0; j < 3; ++j) append(w, e.layers[i].w[j].device, j), append(b, e.layers[i].b[j].device, j);
      e.pointers[i].weight[0] = w.as(), e.pointers[i].bias[0] = b.as();
      kept.push_back(std::move(w)), kept.push_back(std::move(b));
    }
    const auto of = [&](const void* w, const void* bias, int n, const void* weight, const void* norm_bias) {
      Buffer to(n * 8);
      MUST(norm_sums(a.type, n, a.hidden, w, bias, weight, norm_bias, to.as<float>(), nullptr));
      kept.push_back(std::move(to));
      return kept.back().as<float>();
    };
    for (int i = 0; i < a.layers; ++i) {
      const EncoderLayer &l = e.pointers[i], &before = e.pointers[std::max(0, i - 1)];
      EncoderSums s{};
      if (i > 0)
        s.qkv = of(l.weight[0], l.bias[0], 3 * a.hidden, a.pre ? l.norm1_weight : before.norm2_weight,
                   a.pre ? l.norm1_bias : before.norm2_bias);
      s.up = of(l.up_weight, l.up_bias, a.ffn, a.pre ? l.norm2_weight : l.norm1_weight, a.pre ? l.norm2_bias : l.norm1_bias);
      sums.push_back(s);
    }
    e.workspace = Buffer(encoder_chain_workspace(a));
    e.workspace.poison();
    a.workspace = e.workspace.as();
    args.encoder = a, args.sums = sums.data();
  }
};

void run_chain(const Case& c, const DeviceTraits& device) {
  const std::string line = "chain of " + describe(c);
  const double rows = double(c.batch) * c.tokens;
  if (left_out(line, c.layers * rows * c.hidden * (4. * c.hidden + 2. * c.ffn))) return;
  Chain chain(c);
  const char* why = encoder_chain_refusal(chain.args.encoder, device);
  check(why ? 1 : 0, 0, line + (why ? why : ""));
  if (why) return;
  const Rows want = plain(chain.e.a, chain.e.first, chain.e.layers, chain.e.x.host, chain.e.scores);
  for (int i = 0; i < c.launches; ++i) {
    for (int which = 0; which < kEncoderProducts; ++which) {
      const auto tilings =
          rows_tilings(encoder_chain_product(chain.args, std::min(1, c.layers - 1), static_cast<EncoderProduct>(which)), device);
      chain.args.tilings[which] = tilings[i * 3 % tilings.size()];
    }
    chain.e.y.poison();
    MUST(encoder_chain(chain.args, device, nullptr));
    MUST(cudaDeviceSynchronize());
    check(error_of(chain.e, want), 2 * tolerance(c.type), line);
  }
}

void run_case(const Case& c, DeviceTraits device) {
  const double rows = double(c.batch) * c.tokens;
  if (left_out(describe(c), c.layers * rows * c.hidden * (4. * c.hidden + 2. * c.ffn))) return;
  if (c.multiprocessors) device.multiprocessors = std::min(device.multiprocessors, c.multiprocessors);
  Encoder e(c);
  const char* why = encoder_refusal(e.a, device);
  check(why ? 1 : 0, 0, describe(c) + (why ? why : ""));
  if (why) return;
  e.prepare(device);
  const Rows want = plain(e.a, e.first, e.layers, e.x.host, e.scores);
  std::vector<uint16_t> first;
  for (int i = 0; i < c.launches; ++i) {
    e.y.poison();
    MUST(encoder(e.a, device, nullptr));
    MUST(cudaDeviceSynchronize());
    const std::vector<uint16_t> got = e.y.host<uint16_t>();
    if (i == 0) first = got;
    check(got == first ? 0 : 1, 0, describe(c) + ": launches differ");
    check(error_of(e, want), 2 * tolerance(c.type), describe(c));
  }
}

void run(bool timed) {
  const DeviceTraits device = device_traits();
  if (const char* why = encoder_refusal(Encoder({Scalar::kFloat16, 1, 1, 1, 96, 3, 96}).a, device)) {
    std::printf("cuda encoder: skipped, it %s\n", why);
    return;
  }
  using enum Activation;
  const auto f16 = Scalar::kFloat16, bf16 = Scalar::kBFloat16;
  const Case cases[] = {
      {f16, 2, 1, 16, 96, 3, 384, false, kGelu, Bias::kNone},         {f16, 2, 1, 1, 96, 3, 384, false, kGelu, Bias::kNone},
      {f16, 2, 1, 7, 192, 3, 768, false, kGelu, Bias::kRelative},     {f16, 2, 2, 8, 192, 6, 768, false, kGeluTanh, Bias::kKeys},
      {f16, 3, 4, 4, 192, 3, 768, false, kRelu, Bias::kBoth},         {bf16, 2, 2, 7, 192, 6, 384, false, kGelu, Bias::kFull},
      {f16, 2, 3, 5, 192, 3, 384, true, kGelu, Bias::kBool},          {bf16, 3, 1, 11, 192, 3, 768, true, kSilu, Bias::kCausal},
      {f16, 3, 16, 1, 96, 3, 96, true, kGelu, Bias::kNone},           {f16, 2, 1, 16, 384, 12, 1536, false, kGelu, Bias::kKeys},
      {f16, 2, 1, 9, 192, 6, 1536, false, kGelu, Bias::kBoth, 2, 11}, {f16, 2, 2, 8, 384, 6, 1536, true, kGelu, Bias::kFull, 2, 5},
      {f16, 2, 1, 16, 96, 3, 384, false, kGelu, Bias::kBoth, 3, 1},
#ifndef CAMEO_SMALL_CASES
      {f16, 2, 1, 16, 768, 12, 3072, false, kGelu, Bias::kBoth, 40},  {f16, 1, 2, 7, 768, 12, 3072, false, kGelu, Bias::kKeys},
      {bf16, 1, 1, 5, 768, 12, 3072, true, kGelu, Bias::kNone},
#endif
  };
  for (const Case& c : cases) run_case(c, device);
  const Case chains[] = {
      {f16, 3, 1, 32, 128, 2, 512, false, kGelu, Bias::kBoth, 3},     {f16, 2, 2, 33, 192, 6, 384, false, kGeluTanh, Bias::kKeys, 3},
      {bf16, 2, 1, 70, 128, 4, 256, true, kGelu, Bias::kFull, 3},     {f16, 3, 1, 19, 256, 4, 1024, true, kSilu, Bias::kCausal, 4},
      {f16, 2, 1, 128, 384, 12, 1536, false, kGelu, Bias::kBoth, 5},  {f16, 2, 1, 97, 192, 3, 768, true, kGelu, Bias::kNone, 5},
      {f16, 1, 4, 32, 128, 2, 512, false, kRelu, Bias::kBool, 3},     {f16, 2, 1, 50, 128, 2, 256, true, kGelu, Bias::kFull, 4},
      {bf16, 2, 1, 40, 192, 3, 384, false, kGelu, Bias::kBool, 4},    {bf16, 2, 1, 16, 192, 3, 384, false, kGelu, Bias::kNone, 4},
#ifndef CAMEO_SMALL_CASES
      {f16, 2, 1, 128, 768, 12, 3072, false, kGelu, Bias::kBoth, 12},
#endif
  };
  for (const Case& c : chains) run_chain(c, device);
  if (!timed) return;
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  for (const Case& c :
       {Case{f16, 12, 1, 16, 768, 12, 3072, false, kGelu, Bias::kBoth}, Case{f16, 12, 1, 8, 768, 12, 3072, false, kGelu, Bias::kBoth},
        Case{f16, 12, 1, 1, 768, 12, 3072, false, kGelu, Bias::kBoth}, Case{f16, 6, 1, 16, 384, 12, 1536, false, kGelu, Bias::kBoth}}) {
    Encoder e(c);
    e.prepare(device);
    const double us = time_us(stream, 4, [&](int) { return encoder(e.a, device, stream); });
    std::printf("%s: %.1f us\n", describe(c).c_str(), us);
  }
  for (const Case& c :
       {Case{f16, 12, 1, 128, 768, 12, 3072, false, kGelu, Bias::kBoth}, Case{f16, 12, 1, 16, 768, 12, 3072, false, kGelu, Bias::kBoth}}) {
    Chain chain(c);
    for (int which = 0; which < kEncoderProducts; ++which)
      chain.args.tilings[which] = rows_tilings(encoder_chain_product(chain.args, 1, static_cast<EncoderProduct>(which)), device)[0];
    const double us = time_us(stream, 4, [&](int) { return encoder_chain(chain.args, device, stream); });
    std::printf("chain of %s: %.1f us\n", describe(c).c_str(), us);
  }
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) { return cameo::cuda_test::test_main(argc, argv, "cuda encoder", cameo::cuda_test::run); }
