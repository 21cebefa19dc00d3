// Attention kernels against a plain one, over random shapes, layouts, masks and lengths.
#include "backends/cuda/kernels/attention.h"

#include "harness.cuh"

namespace cameo::cuda_test {
namespace {

using namespace cameo::cuda;

__global__ void plain_attention(AttentionArgs a, float* out) {
  const int64_t unit = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (unit >= int64_t{a.batch} * a.heads * a.queries) return;
  const int i = unit % a.queries, h = unit / a.queries % a.heads, b = unit / a.queries / a.heads, kh = h / (a.heads / a.kv_heads);
  const int length = a.key_lengths ? min(max(a.key_lengths[b], 0), a.keys) : a.keys;
  const int p = i + (a.from_end ? length - a.queries : a.past);
  double sum = 0, o[128] = {};
  double largest = -INFINITY;
  for (int step = 0; step < 2; ++step)  // the largest score first, then the sums
    for (int j = 0; j < length; ++j) {
      if ((a.causal && j > p) || (a.window >= 0 && j < p - a.window) || j >= a.bias_keys) continue;
      double s = 0;
      for (int d = 0; d < a.size; ++d)
        s += double(load(a.q, a.type, b * a.q_strides.batch + h * a.q_strides.head + i * a.q_strides.row + d)) *
             load(a.k, a.type, b * a.k_strides.batch + kh * a.k_strides.head + j * a.k_strides.row + d);
      s *= a.scale;
      if (a.softcap != 0) s = a.softcap * tanh(s / a.softcap);
      const int64_t at = b * a.bias_strides.batch + h * a.bias_strides.head + i * a.bias_strides.row + j;
      if (a.bias_type == BiasType::kBool && !static_cast<const uint8_t*>(a.bias)[at]) continue;
      if (a.bias_type == BiasType::kFloat32) s += load(a.bias, Scalar::kFloat32, at);
      if (a.bias_type == BiasType::kFloat16) s += load(a.bias, Scalar::kFloat16, at);
      if (a.bias_type == BiasType::kBFloat16) s += load(a.bias, Scalar::kBFloat16, at);
      if (a.relative) s += a.relative[h * a.relative_stride + a.relative_origin + j - i];
      if (step == 0) {
        largest = fmax(largest, s);
        continue;
      }
      const double w = exp(s - largest);
      sum += w;
      for (int d = 0; d < a.size; ++d)
        o[d] += w * load(a.v, a.type, b * a.v_strides.batch + kh * a.v_strides.head + j * a.v_strides.row + d);
    }
  for (int d = 0; d < a.size; ++d) out[unit * a.size + d] = sum == 0 ? 0 : o[d] / sum;
}

struct Case {
  Scalar type;
  int batch, heads, kv_heads, queries, keys, size;
  bool causal, packed, lengths, from_end;
  int past, window;
  float softcap;
  BiasType bias;
  int bias_shape;  // bits: batch, head, query are broadcast
  bool relative;
};

std::string line(const Case& c) {
  return format(
      "%s batch %d heads %d/%d queries %d keys %d size %d causal %d packed %d lengths %d end %d past %d window %d cap %g bias %d/%d rel %d",
      name(c.type), c.batch, c.heads, c.kv_heads, c.queries, c.keys, c.size, c.causal, c.packed, c.lengths, c.from_end, c.past, c.window,
      c.softcap, int(c.bias), c.bias_shape, c.relative);
}

HeadStrides strides(bool packed, int heads, int length, int size) {
  if (packed) return {int64_t{length} * heads * size, size, int64_t{heads} * size};
  return {int64_t{length} * heads * size, int64_t{length} * size, size};
}

struct Operands {
  Buffer q, k, v, out, bias, relative, lengths;
  AttentionArgs args;
  explicit Operands(const Case& c) {
    AttentionArgs& a = args;
    a.type = c.type, a.batch = c.batch, a.heads = c.heads, a.kv_heads = c.kv_heads, a.queries = c.queries, a.keys = c.keys, a.size = c.size;
    q = random(c.type, int64_t{c.batch} * c.heads * c.queries * c.size),
    k = random(c.type, int64_t{c.batch} * c.kv_heads * c.keys * c.size);
    v = random(c.type, int64_t{c.batch} * c.kv_heads * c.keys * c.size),
    out = Buffer(int64_t{c.batch} * c.heads * c.queries * c.size * bytes_of(c.type));
    out.poison();
    a.q = q.as(), a.k = k.as(), a.v = v.as(), a.out = out.as();
    a.q_strides = strides(c.packed, c.heads, c.queries, c.size), a.k_strides = a.v_strides = strides(c.packed, c.kv_heads, c.keys, c.size);
    a.out_strides = strides(false, c.heads, c.queries, c.size);
    a.scale = 1.3f / std::sqrt(float(c.size)), a.softcap = c.softcap;
    a.causal = c.causal, a.from_end = c.from_end, a.past = c.past, a.window = c.window;
    if (c.lengths || c.from_end) {
      std::vector<int32_t> l(c.batch);
      for (int i = 0; i < c.batch; ++i) l[i] = i == 1 ? c.keys : int(hash_host(i + c.keys) % (c.keys + 2));
      lengths = Buffer::of(l), a.key_lengths = lengths.as<int32_t>();
    }
    if (c.bias != BiasType::kNone) {
      const int b = c.bias_shape & 1 ? 1 : c.batch, h = c.bias_shape & 2 ? 1 : c.heads, r = c.bias_shape & 4 ? 1 : c.queries;
      const int64_t n = int64_t{b} * h * r * c.keys;
      if (c.bias == BiasType::kBool) {
        std::vector<uint8_t> bits(n);
        for (int64_t i = 0; i < n; ++i) bits[i] = hash_host(i) % 4 != 0;
        bias = Buffer::of(bits);
      } else {
        bias = random(c.bias == BiasType::kFloat32   ? Scalar::kFloat32
                      : c.bias == BiasType::kFloat16 ? Scalar::kFloat16
                                                     : Scalar::kBFloat16,
                      n, 2.f);
      }
      a.bias = bias.as(), a.bias_type = c.bias;
      a.bias_strides = {b == 1 ? 0 : int64_t{h} * r * c.keys, h == 1 ? 0 : int64_t{r} * c.keys, r == 1 ? 0 : c.keys};
    }
    if (c.relative) {
      relative = random(Scalar::kFloat32, int64_t{c.heads} * (c.queries + c.keys), 2.f);
      a.relative = relative.as<float>(), a.relative_stride = c.queries + c.keys, a.relative_origin = c.queries - 1;
    }
  }
  static uint32_t hash_host(uint64_t x) {
    x = (x + 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
    return static_cast<uint32_t>(x >> 33);
  }
};

void run_case(const Case& c, const DeviceTraits& device) {
  if (left_out(line(c), 2. * c.batch * c.heads * c.queries * c.keys * c.size)) return;
  Operands o(c);
  if (const char* why = attention_refusal(o.args, device)) {
    check(1, 0, line(c) + ": refused: " + why);
    return;
  }
  const int64_t n = int64_t{c.batch} * c.heads * c.queries * c.size;
  Buffer expected(std::max<int64_t>(n, 1) * 4);
  plain_attention<<<(n / c.size + 63) / 64, 64>>>(o.args, expected.as<float>());
  MUST(cudaGetLastError());
  MUST(attention(o.args, device, nullptr));
  check(relative_error(o.out, c.type, expected, n), tolerance(c.type), line(c));
  if (!attention_rounds(o.args, device)) return;
  // In 8-bit floats too, and then alone.
  for (const bool alone : {false, true}) {
    Buffer codes(std::max<int64_t>(n, 1));
    codes.poison();
    o.out.poison();
    o.args.out = alone ? nullptr : o.out.as();
    o.args.rounded = codes.as(), o.args.rounded_factor = 8;
    MUST(attention(o.args, device, nullptr));
    check(wrong_codes(codes, expected, n, o.args.rounded_factor), 0, line(c) + ": codes");
    if (!alone) check(relative_error(o.out, c.type, expected, n), tolerance(c.type), line(c) + ": beside codes");
  }
}

void append_case(const DeviceTraits&) {
  const int batch = 3, heads = 2, count = 2, size = 64, capacity = 9;
  Buffer k = random(Scalar::kFloat16, batch * heads * count * size), v = random(Scalar::kFloat16, batch * heads * count * size);
  Buffer kc(batch * heads * capacity * size * 2), vc(batch * heads * capacity * size * 2);
  kc.zero(), vc.zero();
  const std::vector<int32_t> past = {0, 5, 8};
  Buffer past_buffer = Buffer::of(past);
  KvAppendArgs a{.k = k.as(), .v = v.as(), .k_cache = kc.as(), .v_cache = vc.as()};
  a.k_strides = a.v_strides = strides(false, heads, count, size),
  a.k_cache_strides = a.v_cache_strides = strides(false, heads, capacity, size);
  a.batch = batch, a.kv_heads = heads, a.count = count, a.size = size, a.capacity = capacity, a.past = past_buffer.as<int32_t>();
  MUST(kv_append(a, nullptr));
  MUST(cudaDeviceSynchronize());
  const auto from = v.host<uint16_t>(), to = vc.host<uint16_t>();
  int wrong = 0;
  for (int b = 0; b < batch; ++b)
    for (int h = 0; h < heads; ++h)
      for (int r = 0; r < capacity; ++r)
        for (int d = 0; d < size; ++d) {
          const int row = r - past[b];
          const uint16_t expected = row >= 0 && row < count ? from[((b * heads + h) * count + row) * size + d] : 0;
          wrong += to[((b * heads + h) * capacity + r) * size + d] != expected;
        }
  check(wrong, 0, "kv_append");
}

void bench(const DeviceTraits& device) {
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  const auto one = [&](const char* what, Case c, bool reads_cache) {
    const double bytes = 2. * c.batch * (c.heads * c.queries * 2. + c.kv_heads * c.keys * 2.) * c.size;
    const int copies = std::max(1, std::min(40, int(200e6 / bytes)));
    std::vector<Operands> o;
    for (int i = 0; i < copies; ++i) o.emplace_back(c);
    const double us = time_us(stream, 2 * copies, [&](int i) { return attention(o[i % copies].args, device, stream); });
    const double flops = 4. * c.batch * c.heads * c.queries * c.keys * c.size * (c.causal && c.queries > 1 ? 0.5 : 1);
    if (reads_cache)
      std::printf("%-34s %8.2f us  %7.0f GB/s\n", what, us, bytes / us * 1e-3);
    else
      std::printf("%-34s %8.2f us  %7.1f TFLOP/s\n", what, us, flops / us * 1e-6);
  };
  const Case base{Scalar::kFloat16, 1, 12, 12, 128, 128, 64, false, true, false, false, 0, -1, 0, BiasType::kNone, 0, false};
  Case c = base;
  const auto rel = [](Case c) {
    c.relative = true, c.bias = BiasType::kFloat16, c.bias_shape = 6;
    return c;
  };
  c.queries = c.keys = 16, one("1x16 12x64", c, false), one("1x16 12x64 relative+mask", rel(c), false);
  c = base, one("1x128 12x64", c, false), one("1x128 12x64 relative+mask", rel(c), false);
  c.batch = 32, one("32x128 12x64", c, false), one("32x128 12x64 relative+mask", rel(c), false);
  c.queries = c.keys = 512, one("32x512 12x64", c, false), one("32x512 12x64 relative+mask", rel(c), false);
  c.causal = true, one("32x512 12x64 causal", c, false);
  c = base, c.batch = 8, c.size = 128, c.queries = c.keys = 2048, one("8x2048 12x128", c, false);
  c = base, c.type = Scalar::kFloat32, c.batch = 32, c.queries = c.keys = 128, one("32x128 12x64 f32", c, false);
  for (int b : {1, 8, 16, 64})
    c = base, c.batch = b, c.packed = false, c.queries = 1, c.keys = 256, one(format("decode b%d 12x64 S256", b).c_str(), c, true);
  c.batch = 8, c.heads = 32, c.kv_heads = 8, c.size = 128, c.keys = 4096, one("decode b8 32/8x128 S4096", c, true);
}

void run(bool timed) {
  const DeviceTraits device = device_traits();
  std::mt19937 rng(7);
  const auto pick = [&](std::initializer_list<int> l) { return l.begin()[rng() % l.size()]; };
  for (int i = 0; i < 400; ++i) {
    Case c{};
    c.type = static_cast<Scalar>(pick({0, 1, 1, 2}));
    c.batch = pick({1, 2, 3}), c.kv_heads = pick({1, 2, 3}), c.heads = c.kv_heads * pick({1, 1, 2, 4, 7});
    c.queries = pick({1, 1, 1, 2, 3, 7, 9, 16, 17, 63, 64, 65, 100, 128, 129, 200});
    c.keys = pick({1, 2, 7, 16, 33, 63, 64, 65, 127, 128, 130, 255, 300, 515});
    c.size = pick({32, 64, 64, 80, 96, 128});
    c.causal = pick({0, 1}), c.packed = pick({0, 1}), c.lengths = pick({0, 0, 1}), c.from_end = pick({0, 0, 0, 1});
    c.past = c.causal ? pick({0, std::max(0, c.keys - c.queries)}) : 0;
    c.window = pick({-1, -1, -1, 0, 5, 70});
    c.softcap = pick({0, 0, 0, 20});
    c.bias = static_cast<BiasType>(pick({0, 0, 0, 1, 2, 3, 4})), c.bias_shape = pick({0, 1, 2, 4, 6, 7});
    c.relative = pick({0, 0, 0, 1});
    run_case(c, device);
  }
  // Enough blocks for the wide tiles.
  for (int causal : {0, 1})
    for (int relative : {0, 1})
      run_case({Scalar::kFloat16, 12, 12, 12, 300, 333, 64, causal != 0, true, true, false, 0, -1, 0,
                relative ? BiasType::kFloat16 : BiasType::kNone, 6, relative != 0},
               device);
  // Enough blocks for the variant where every query sees every key.
  for (const int keys : {256, 333, 600})
    for (const int shape : {0, 4, 6, 7})
      for (const int relative : {0, 1})
        run_case({keys == 333 ? Scalar::kBFloat16 : Scalar::kFloat16, 32, 12, relative ? 12 : 6, 300, keys, 64, false, shape != 4, false,
                  false, 0, -1, 0, shape ? BiasType::kFloat16 : BiasType::kNone, shape, relative != 0},
                 device);
  // The same variants over little, as on a device of few multiprocessors.
  DeviceTraits few = device;
  few.multiprocessors = std::min(device.multiprocessors, 4);
  for (const Scalar type : {Scalar::kFloat16, Scalar::kBFloat16})
    for (const int keys : {130, 256, 300})
      for (const int shape : {0, 4, 6})
        for (const int relative : {0, 1})
          run_case({type, 4, 4, relative ? 4 : 2, 130, keys, 64, keys == 130 && shape == 0, shape != 4, false, false, 0, -1, 0,
                    shape ? BiasType::kFloat16 : BiasType::kNone, shape, relative != 0},
                   few);
  append_case(device);
  if (timed) bench(device);
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) { return cameo::cuda_test::test_main(argc, argv, "cuda attention", cameo::cuda_test::run); }
