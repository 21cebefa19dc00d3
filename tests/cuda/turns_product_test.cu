// kernels/turns_product.h against a plain kernel. --bench: shapes of transformers.
#include "backends/cuda/kernels/turns_product.h"

#include <cuda_fp8.h>

#include "backends/cuda/kernels/wide_product.h"
#include "harness.cuh"

namespace cameo::cuda_test {
namespace {

using cuda::DeviceTraits;
using cuda::Element;
using cuda::TurnsArgs;
using Activation = cuda::QuantizedProductArgs::Activation;

struct Case {
  Element x;
  int m, n, k;
  bool bias = true, gelu = false;
  Element y = Element::kNone;  // x's
  Element y_type() const { return y == Element::kNone ? x : y; }
};

Scalar scalar_of(Element e) { return e == Element::kBFloat16 ? Scalar::kBFloat16 : Scalar::kFloat16; }

__global__ void float8_kernel(uint8_t* p, int64_t n, uint64_t seed) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= n) return;
  float sum = -2.f;
  for (int j = 0; j < 4; ++j) sum += hash(seed * 0x9e3779b97f4a7c15ull + i * 4 + j) * 0x1p-32f;
  p[i] = __nv_fp8_e4m3(1.732f * sum).__x;
}
Buffer operand(Element type, int64_t n, float deviation) {
  if (type != Element::kFloat8) return random(scalar_of(type), n, deviation);
  Buffer b(n);
  float8_kernel<<<static_cast<unsigned>((n + 255) / 256), 256>>>(b.as<uint8_t>(), n, next_seed());
  MUST(cudaGetLastError());
  return b;
}

// W [n, k] as the kernel wants it.
Buffer packed(const Buffer& w, Element type, int64_t n, int64_t k) {
  const auto pack = [&](const auto& from, auto to, auto offset) {
    for (int64_t c = 0; c < n; ++c)
      for (int64_t r = 0; r < k; ++r) to[offset(k, r, c)] = from[c * k + r];
    return Buffer::of(to);
  };
  if (type == Element::kFloat8)
    return pack(w.host<uint8_t>(), std::vector<uint8_t>(cuda::quantized_weight_bytes(n, k)), cuda::quantized_weight_offset);
  return pack(w.host<uint16_t>(), std::vector<uint16_t>(cuda::wide_weight_elements(n, k)), cuda::wide_weight_offset);
}

__device__ float number(const void* p, Element type, int64_t i) {
  if (type == Element::kFloat8) {
    __nv_fp8_e4m3 v;
    v.__x = static_cast<const uint8_t*>(p)[i];
    return float(v);
  }
  return type == Element::kFloat16 ? __half2float(static_cast<const __half*>(p)[i])
                                   : __bfloat162float(static_cast<const __nv_bfloat16*>(p)[i]);
}
__global__ void reference_kernel(TurnsArgs a, const void* w, const void* bias, float* y) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= int64_t{a.m} * a.n) return;
  const int64_t row = i / a.n, column = i % a.n;
  float v = 0;
  for (int64_t r = 0; r < a.k; ++r) v += number(a.x, a.x_type, row * a.k + r) * number(w, a.x_type, column * a.k + r);
  v *= a.scale;
  if (a.bias) v += number(bias, a.x_type == Element::kFloat8 ? Element::kFloat16 : a.x_type, column);
  if (a.activation == Activation::kGelu) v = 0.5f * v * (1 + erff(v * 0.70710678f));
  y[i] = v;
}

struct Operands {
  Buffer x, w, packed_w, bias, packed_bias, y;
  TurnsArgs args;
  explicit Operands(const Case& c)
      : x(operand(c.x, int64_t{c.m} * c.k, 1)), w(operand(c.x, int64_t{c.n} * c.k, 1 / std::sqrt(float(c.k)))) {
    const int64_t count = int64_t{c.m} * c.n;
    const bool float8 = c.x == Element::kFloat8;
    packed_w = packed(w, c.x, c.n, c.k);
    bias = random(scalar_of(c.x), c.n);
    if (float8) {
      const auto from = bias.host<uint16_t>();
      std::vector<uint16_t> to(cuda::turns_biases(c.n));
      for (int64_t i = 0; i < c.n; ++i) to[cuda::turns_bias_offset(i)] = from[i];
      packed_bias = Buffer::of(to);
    }
    y = Buffer(count * cuda::bytes_of(c.y_type()) + 4096);
    y.poison();
    args.x_type = c.x, args.y_type = c.y_type();
    args.m = c.m, args.n = c.n, args.k = c.k;
    args.x = x.as(), args.w = packed_w.as(), args.y = y.as();
    if (c.bias) args.bias = float8 ? packed_bias.as() : bias.as();
    if (float8) args.scale = 1.1f / std::sqrt(float(c.k));
    if (c.gelu) args.activation = Activation::kGelu;
    if (c.y_type() == Element::kFloat8) args.y_factor = 50;
    args.dependent = true;
  }
};

std::string describe(const Case& c) {
  return format("type %d > %d, %dx%dx%d bias %d gelu %d", int(c.x), int(c.y_type()), c.m, c.n, c.k, c.bias, c.gelu);
}

void test(const Case& c, const DeviceTraits& device) {
  if (left_out(describe(c), double(c.m) * c.n * c.k)) return;
  Operands o(c);
  if (const char* why = cuda::turns_product_refusal(o.args, device)) {
    std::printf("%s: refused: %s\n", describe(c).c_str(), why);
    check(1, 0, describe(c));
    return;
  }
  const int64_t count = int64_t{c.m} * c.n;
  Buffer want(count * 4);
  reference_kernel<<<static_cast<unsigned>((count + 127) / 128), 128>>>(o.args, o.w.as(), o.bias.as(), want.as<float>());
  MUST(cuda::turns_product(o.args, device, nullptr));
  MUST(cudaDeviceSynchronize());
  if (c.y_type() == Element::kFloat8)
    check(wrong_codes(o.y, want, count, o.args.y_factor, 1.f), 0, describe(c));
  else
    check(relative_error(o.y, scalar_of(c.y_type()), want, count), tolerance(scalar_of(c.y_type())), describe(c));
  // Nothing behind the result is written.
  const std::vector<uint8_t> all = o.y.host<uint8_t>();
  check(std::count_if(all.end() - 4096, all.end(), [](uint8_t b) { return b != 0xff; }), 0, describe(c) + ": bytes behind the result");
}

void time(const Case& c, const DeviceTraits& device, cudaStream_t stream) {
  if (!selected(describe(c))) return;
  const Operands o(c);
  const double us = time_us(stream, 8, [&](int) { return cuda::turns_product(o.args, device, stream); });
  std::printf("%s: %.1f us, %.0f T/s\n", describe(c).c_str(), us, 2e-6 * c.m * c.n * c.k / us);
}

void run(bool bench) {
  const DeviceTraits device = cuda::device_traits();
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  // The last ones are several tiles for each block.
  const Case shapes[] = {{Element::kNone, 1, 16, 640},      {Element::kNone, 128, 192, 768},  {Element::kNone, 129, 208, 784},
                         {Element::kNone, 1000, 464, 720},  {Element::kNone, 130, 16, 3072},  {Element::kNone, 513, 768, 3072},
                         {Element::kNone, 1030, 2304, 768}, {Element::kNone, 4107, 3072, 640}};
  for (const Case& shape : shapes)
    for (const Element x : {Element::kFloat16, Element::kBFloat16, Element::kFloat8})
      for (const Element y : x == Element::kFloat8 ? std::vector{x, Element::kFloat16} : std::vector{x}) {
        for (int what = 0; what < 3; ++what) {
          Case c = shape;
          c.x = x, c.y = y, c.bias = what != 1, c.gelu = what == 2;
          test(c, device);
        }
      }
  if (!bench) return;
  for (const int m : {4096, 16384})
    for (const Element x : {Element::kFloat16, Element::kFloat8})
      for (const auto& [n, k] : {std::pair(3072, 768), std::pair(768, 3072), std::pair(2304, 768), std::pair(768, 768)}) {
        const Element y = x == Element::kFloat8 && n == 3072 ? Element::kFloat8 : Element::kFloat16;
        if (n == 3072) time({x, m, n, k, true, false, Element::kFloat16}, device, stream);
        time({x, m, n, k, true, n == 3072, y}, device, stream);
      }
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) { return cameo::cuda_test::test_main(argc, argv, "cuda turns_product", cameo::cuda_test::run); }
