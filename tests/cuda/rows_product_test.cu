// Products of a transformer's layers with norms before and behind them against plain kernels, all divisions of each.
#include "backends/cuda/kernels/rows_product.h"

#include "backends/cuda/kernels/attention.h"
#include "harness.cuh"

namespace cameo::cuda_test {
namespace {

using namespace cameo::cuda;

constexpr int kPart = 32;
constexpr float kEpsilon = 1e-5f;

// of[rows, n]: v's norm in float32. A thread a row.
__global__ void plain_norm(const float* v, Scalar type, const void* weight, const void* bias, int rows, int n, NormKind kind, float* of) {
  const int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= rows) return;
  double sum = 0, squares = 0;
  for (int c = 0; c < n; ++c) sum += v[int64_t(r) * n + c];
  const double mean = kind == NormKind::kLayer ? sum / n : 0;
  for (int c = 0; c < n; ++c) squares += (v[int64_t(r) * n + c] - mean) * (v[int64_t(r) * n + c] - mean);
  const double inverse = 1 / sqrt(squares / n + kEpsilon);
  for (int c = 0; c < n; ++c)
    of[int64_t(r) * n + c] = (v[int64_t(r) * n + c] - mean) * inverse * load(weight, type, c) + (bias ? load(bias, type, c) : 0.f);
}
// What a product leaves for the norm behind it. A thread a part of a row.
__global__ void plain_parts(const float* v, Scalar type, const void* weight, int64_t rows, int n, void* scaled, float* parts) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= rows * n / kPart) return;
  float mean = 0, spread = 0;
  for (int c = 0; c < kPart; ++c) mean += v[i * kPart + c] / kPart;
  for (int c = 0; c < kPart; ++c) {
    const int64_t at = i * kPart + c;
    spread += (v[at] - mean) * (v[at] - mean);
    if (scaled) store(scaled, type, at, v[at] * load(weight, type, at % n) / kScaledBy);
  }
  parts[2 * i] = mean, parts[2 * i + 1] = spread;
}
__global__ void plain_product(const float* x, Scalar type, const void* w, const void* bias, Activation f, const float* residual, int m,
                              int n, int k, float* y) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= int64_t(m) * n) return;
  float v = bias ? load(bias, type, i % n) : 0.f, sum = 0;
  for (int j = 0; j < k; ++j) sum += x[i / n * k + j] * load(w, type, i % n * k + j);
  v += sum;
  if (f == Activation::kRelu) v = fmaxf(v, 0.f);
  if (f == Activation::kGelu) v = 0.5f * v * (1 + erff(v * 0.70710678f));
  if (f == Activation::kGeluTanh) v = 0.5f * v * (1 + tanhf(0.79788456f * (v + 0.044715f * v * v * v)));
  if (f == Activation::kSilu) v = v / (1 + expf(-v));
  y[i] = v + (residual ? residual[i] : 0.f);
}
__global__ void widen(const void* x, Scalar type, int64_t n, float* to) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n; i += int64_t{gridDim.x} * blockDim.x) to[i] = load(x, type, i);
}

unsigned blocks_for(int64_t n) { return static_cast<unsigned>((n + 63) / 64); }

// An operand of a product: as it is, or through a norm.
struct Rows {
  Buffer master, given, parts, weight, bias, plain;  // plain: float32, what the product should see
  Rows(Scalar type, int m, int n, bool normed, bool with_bias, NormKind kind) {
    plain = Buffer(int64_t(m) * n * 4);
    if (!normed) {
      given = random(type, int64_t(m) * n);
      widen<<<256, 256>>>(given.as(), type, int64_t(m) * n, plain.as<float>());
      return;
    }
    master = random(Scalar::kFloat32, int64_t(m) * n, 1.f, 0.3f), given = Buffer(int64_t(m) * n * bytes_of(type));
    parts = Buffer(int64_t(m) * n / kPart * 8), weight = random(type, n, 0.3f, 1.f);
    if (with_bias) bias = random(type, n, 0.3f);
    plain_norm<<<blocks_for(m), 64>>>(master.as<float>(), type, weight.as(), bias.as(), m, n, kind, plain.as<float>());
    plain_parts<<<blocks_for(int64_t(m) * n / kPart), 64>>>(master.as<float>(), type, weight.as(), m, n, given.as(), parts.as<float>());
    MUST(cudaGetLastError());
  }
};

struct Case {
  Scalar type;
  int m, n, k;
  bool bias, normed, norm_bias, residual, residual_normed, next, y;
  Activation activation;
  NormKind kind;
};

std::string describe(const Case& c) {
  return format("rows product %s %d x %d x %d bias %d norm %d %d act %d residual %d %d next %d", name(c.type), c.m, c.n, c.k, c.bias,
                c.normed, int(c.kind), int(c.activation), c.residual, c.residual_normed, c.next);
}

void check_case(const Case& c, const DeviceTraits& device, size_t most, std::mt19937& rng) {
  const int64_t size = int64_t(c.m) * c.n;
  Rows x(c.type, c.m, c.k, c.normed, c.norm_bias, c.kind);
  Buffer w = random(c.type, int64_t(c.n) * c.k, 1.f / std::sqrt(float(c.k))), bias = random(c.type, c.n), sums(c.n * 8);
  RowsProductArgs a;
  a.type = c.type, a.m = c.m, a.n = c.n, a.k = c.k, a.x = x.given.as(), a.w = w.as(), a.activation = c.activation, a.norm = c.kind;
  a.epsilon = kEpsilon;
  if (c.bias) a.bias = bias.as();
  if (c.normed) {
    MUST(norm_sums(c.type, c.n, c.k, w.as(), a.bias, x.weight.as(), x.bias.as(), sums.as<float>(), nullptr));
    a.parts = x.parts.as<RowPart>(), a.norm_sums = sums.as<float>();
  }
  Rows residual(c.type, c.residual ? c.m : 1, c.n, c.residual_normed, c.norm_bias, c.kind);
  if (c.residual) {
    a.residual = residual.given.as();
    if (c.residual_normed)
      a.residual_parts = residual.parts.as<RowPart>(), a.residual_weight = residual.weight.as(), a.residual_bias = residual.bias.as();
  }
  Buffer y(size * 2), scaled(size * 2), parts(size / kPart * 8), next = random(c.type, c.n, 0.3f, 1.f);
  if (c.y) a.y = y.as();
  if (c.next) a.parts_out = parts.as<RowPart>(), a.scaled_out = scaled.as(), a.next_weight = next.as();
  Buffer expected(size * 4), expected_scaled(size * 4), expected_parts(size / kPart * 8);
  plain_product<<<blocks_for(size), 64>>>(x.plain.as<float>(), c.type, w.as(), a.bias, c.activation,
                                          c.residual ? residual.plain.as<float>() : nullptr, c.m, c.n, c.k, expected.as<float>());
  // In float32, with the weight of c.type: widened first.
  Buffer next_wide(c.n * 4);
  widen<<<16, 256>>>(next.as(), c.type, c.n, next_wide.as<float>());
  plain_parts<<<blocks_for(size / kPart), 64>>>(expected.as<float>(), Scalar::kFloat32, next_wide.as(), c.m, c.n, expected_scaled.as(),
                                                expected_parts.as<float>());
  MUST(cudaGetLastError());
  std::vector<RowsTiling> tilings = rows_tilings(a, device);
  check(tilings.empty(), 0, format("%d x %d x %d: no tilings", c.m, c.n, c.k));
  if (tilings.size() > most) std::shuffle(tilings.begin(), tilings.end(), rng), tilings.resize(most);
  for (const RowsTiling& t : tilings) {
    y.poison(), scaled.poison(), parts.poison();
    const std::string line = describe(c) + format(" tile %d parts %d share %d", t.columns, t.parts, t.share);
    MUST(rows_product(a, t, device, nullptr));
    const cudaError_t e = cudaDeviceSynchronize();
    if (e != cudaSuccess) std::printf("%s\n", line.c_str());
    MUST(e);
    const double limit = 1.5 * tolerance(c.type);
    if (c.y) check(relative_error(y, c.type, expected, size), limit, line);
    if (!c.next) continue;
    check(relative_error(scaled, c.type, expected_scaled, size), limit, line + ": scaled");
    check(relative_error(parts, Scalar::kFloat32, expected_parts, size / kPart * 2), 2 * tolerance(c.type), line + ": parts");
  }
}

void bench(const DeviceTraits& device) {
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  const auto sum = [](int64_t m, int64_t n) { return static_cast<size_t>(m * n / kPart * 8); };
  for (const int m : {128, 32, 64, 197, 256})
    for (const int hidden : {768, 384, 1024}) {
      if (hidden != 768 && m != 128 && m != 197) continue;
      const int wide = 4 * hidden;
      Buffer x = random(Scalar::kFloat16, int64_t(m) * wide), y(int64_t(m) * wide * 2), scaled(int64_t(m) * wide * 2), parts(sum(m, wide)),
             parts_out(sum(m, wide)), sums(wide * 8), vector = random(Scalar::kFloat16, wide, 0.2f, 1.f);
      const int64_t matrix = int64_t(wide) * hidden;
      const int copies = static_cast<int>(120'000'000 / matrix / 2) + 1;
      Buffer w = random(Scalar::kFloat16, matrix * copies, 0.03f);
      parts.zero(), sums.zero();
      for (int what = 0; what < 4; ++what) {
        RowsProductArgs a;
        a.m = m, a.n = what == 0 ? 3 * hidden : what == 2 ? wide : hidden, a.k = what == 3 ? wide : hidden;
        a.x = x.as(), a.w = w.as();
        if (what % 2 == 0) {
          a.parts = parts.as<RowPart>(), a.norm_sums = sums.as<float>(), a.y = y.as();
          if (what == 2) a.activation = Activation::kGelu;
        } else {
          a.bias = vector.as(), a.residual = x.as(), a.residual_parts = parts.as<RowPart>(),
          a.residual_weight = a.residual_bias = vector.as();
          a.parts_out = parts_out.as<RowPart>(), a.scaled_out = scaled.as(), a.next_weight = vector.as();
        }
        std::vector<std::pair<double, RowsTiling>> times;
        for (const RowsTiling& t : rows_tilings(a, device)) {
          const double us = time_us(stream, 32, [&](int i) {
            RowsProductArgs b = a;
            b.w = w.as<uint16_t>() + i % copies * matrix;
            return rows_product(b, t, device, stream);
          });
          times.emplace_back(us, t);
        }
        std::sort(times.begin(), times.end(), [](const auto& l, const auto& r) { return l.first < r.first; });
        std::printf("%4d x %4d x %4d (%s):", m, a.n, a.k, what == 0 ? "norm" : what == 2 ? "norm, gelu" : "residual norm, next");
        for (size_t i = 0; i < times.size(); ++i)
          if (i < 6 || i + 1 == times.size())
            std::printf("  %.2f us %d/%d/%d", times[i].first, times[i].second.columns, times[i].second.parts, times[i].second.share);
        std::printf("\n");
      }
    }
}

// A layer of the products and attention, chained as an encoder has them, twelve layers with weights of their own.
void bench_layers(const DeviceTraits& device) {
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  constexpr int kLayers = 12, kHidden = 768, kWide = 3072, kHeads = 12;
  const int64_t matrices[] = {int64_t{3} * kHidden * kHidden, int64_t{kHidden} * kHidden, int64_t{kWide} * kHidden,
                              int64_t{kWide} * kHidden};
  Buffer w[4], vector = random(Scalar::kFloat16, kWide, 0.2f, 1.f), sums(kWide * 8);
  for (int i = 0; i < 4; ++i) w[i] = random(Scalar::kFloat16, kLayers * matrices[i], 0.03f);
  sums.zero();
  for (const auto [batch, tokens] : {std::pair{1, 128}, {1, 32}, {1, 64}, {2, 128}, {1, 197}}) {
    const int m = batch * tokens;
    Buffer x = random(Scalar::kFloat16, int64_t(m) * kHidden, 0.1f), x2 = random(Scalar::kFloat16, int64_t(m) * kHidden, 0.1f),
           qkv = random(Scalar::kFloat16, int64_t(m) * 3 * kHidden), mixed(int64_t(m) * kHidden * 2), h(int64_t(m) * kWide * 2),
           parts = random(Scalar::kFloat32, int64_t(m) * kHidden / kPart * 2, 1.f, 3.f),
           parts2 = random(Scalar::kFloat32, int64_t(m) * kHidden / kPart * 2, 1.f, 3.f), table = random(Scalar::kFloat32, kHeads * 1024),
           mask(batch * tokens * 4);
    mask.zero();
    AttentionArgs t;
    t.q = qkv.as(), t.k = qkv.as<uint16_t>() + kHidden, t.v = qkv.as<uint16_t>() + 2 * kHidden, t.out = mixed.as();
    t.q_strides = t.k_strides = t.v_strides = {int64_t{tokens} * 3 * kHidden, 64, 3 * kHidden};
    t.out_strides = {int64_t{tokens} * kHidden, 64, kHidden};
    t.batch = batch, t.heads = t.kv_heads = kHeads, t.queries = t.keys = tokens, t.size = 64, t.scale = 0.125f;
    t.bias_type = BiasType::kFloat32, t.bias = mask.as(), t.bias_strides = {tokens, 0, 0}, t.bias_keys = tokens;
    AttentionArgs relative = t;
    relative.relative = table.as<float>(), relative.relative_stride = 1024, relative.relative_origin = tokens - 1;
    if (const char* why = attention_refusal(relative, device)) std::printf("%s\n", why);
    const double attention_us = time_us(stream, 48, [&](int) { return attention(t, device, stream); }),
                 relative_us = time_us(stream, 48, [&](int) { return attention(relative, device, stream); });
    const auto args = [&](int what, int layer) {
      RowsProductArgs a;
      a.m = m, a.n = what == 0 ? 3 * kHidden : what == 2 ? kWide : kHidden, a.k = what == 3 ? kWide : kHidden;
      a.w = w[what].as<uint16_t>() + layer * matrices[what];
      a.x = what == 0 ? x2.as() : what == 1 ? mixed.as() : what == 2 ? x.as() : h.as();
      if (what % 2 == 0) {
        a.parts = what == 0 ? parts2.as<RowPart>() : parts.as<RowPart>(), a.norm_sums = sums.as<float>(),
        a.y = what == 0 ? qkv.as() : h.as();
        if (what == 2) a.activation = Activation::kGelu;
      } else {
        a.bias = vector.as(), a.residual = what == 1 ? x2.as() : x.as();
        a.residual_parts = what == 1 ? parts2.as<RowPart>() : parts.as<RowPart>(), a.residual_weight = a.residual_bias = vector.as();
        a.parts_out = what == 1 ? parts.as<RowPart>() : parts2.as<RowPart>(), a.scaled_out = what == 1 ? x.as() : x2.as();
        a.next_weight = vector.as();
      }
      return a;
    };
    RowsTiling best[4];
    const auto layers = [&](bool with_attention) {
      return kLayers * time_us(stream, kLayers, [&](int layer) {
               for (int what = 0; what < 4; ++what) {
                 if (const cudaError_t e = rows_product(args(what, layer), best[what], device, stream)) return e;
                 if (what == 0 && with_attention)
                   if (const cudaError_t e = attention(relative, device, stream)) return e;
               }
               return cudaSuccess;
             });
    };
    for (int what = 0; what < 4; ++what) best[what] = rows_tilings(args(what, 0), device)[0];
    // The best of each within the chain.
    double all = layers(true);
    for (int what = 3; what >= 0; --what) {
      const std::vector<RowsTiling> tilings = rows_tilings(args(what, 0), device);
      for (size_t i = 1; i < tilings.size() && i < 16; ++i) {
        const RowsTiling before = best[what];
        best[what] = tilings[i];
        const double us = layers(true);
        if (us < all)
          all = us;
        else
          best[what] = before;
      }
    }
    std::printf("%d x %d: attention %.2f us, with a relative bias %.2f; 12 layers %.1f us, without attention %.1f;", batch, tokens,
                attention_us, relative_us, all, layers(false));
    for (const RowsTiling& b : best) std::printf(" %d/%d/%d", b.columns, b.parts, b.share);
    std::printf("\n");
  }
}

void run(bool timed) {
  const DeviceTraits device = device_traits();
  if (device.capability != 90) {
    std::printf("rows_product: only Hopper has it\n");
    return;
  }
  std::mt19937 rng(7);
  const auto pick = [&](std::initializer_list<int> l) { return l.begin()[rng() % l.size()]; };
  for (int i = 0; i < 90; ++i) {
    Case c{};
    c.type = static_cast<Scalar>(pick({1, 1, 2}));
    c.m = pick({1, 9, 17, 32, 33, 64, 65, 100, 128, 129, 197, 256}), c.n = pick({32, 64, 96, 160, 384, 768, 1152, 2304});
    c.k = pick({64, 128, 192, 384, 768, 1024, 3072});
    c.bias = pick({0, 1, 1}), c.normed = pick({0, 1}), c.norm_bias = pick({0, 1}), c.residual = pick({0, 1});
    c.residual_normed = c.residual && pick({0, 1}), c.next = pick({0, 1}), c.y = !c.next || pick({0, 1});
    c.activation = static_cast<Activation>(pick({0, 0, 1, 2, 3, 4})), c.kind = static_cast<NormKind>(pick({1, 1, 2}));
    if (left_out(describe(c), double(c.m) * c.n * c.k)) continue;
    check_case(c, device, 8, rng);
  }
  for (const int m : {32, 128, 197})
    for (const int what : {0, 1, 2, 3}) {
      Case c{};
      c.type = Scalar::kFloat16, c.m = m, c.n = what == 0 ? 2304 : what == 2 ? 3072 : 768, c.k = what == 3 ? 3072 : 768;
      c.bias = true, c.normed = what % 2 == 0, c.norm_bias = true, c.residual = c.residual_normed = c.next = !c.normed, c.y = c.normed;
      c.activation = what == 2 ? Activation::kGelu : Activation::kNone, c.kind = NormKind::kLayer;
      if (left_out(describe(c), double(c.m) * c.n * c.k)) continue;
      check_case(c, device, 100, rng);
    }
  if (timed) bench(device), bench_layers(device);
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) { return cameo::cuda_test::test_main(argc, argv, "cuda rows_product", cameo::cuda_test::run); }
