// Products and convolutions of 8 bits beside a plain kernel.
#include <cuda_fp8.h>

#include "backends/cuda/kernels/quantized_product.h"
#include "harness.cuh"

namespace cameo::cuda_test {
namespace {

using cuda::Element;
using cuda::QuantizedProductArgs;

__device__ float element(const void* p, Element type, int64_t i) {
  switch (type) {
    case Element::kUint8:
      return static_cast<const uint8_t*>(p)[i];
    case Element::kInt8:
      return static_cast<const int8_t*>(p)[i];
    case Element::kFloat8:
      return static_cast<float>(static_cast<const __nv_fp8_e4m3*>(p)[i]);
    case Element::kFloat16:
      return __half2float(static_cast<const __half*>(p)[i]);
    case Element::kBFloat16:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(p)[i]);
    default:
      return static_cast<const float*>(p)[i];
  }
}

// w is [n, taps, channels]. The value before it is rounded to y's type.
__global__ void plain(QuantizedProductArgs a, const void* w, const void* w_behind, int64_t rows, float* y) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= rows * a.n) return;
  const int64_t row = i / a.n, column = i % a.n, k = int64_t{a.kernel_h} * a.kernel_w * a.channels;
  const int ox = row % a.out_w, oy = row / a.out_w % a.out_h;
  const int64_t b = row / a.out_w / a.out_h;
  const Element wt = a.x_type == Element::kFloat8 ? Element::kFloat8 : Element::kInt8;
  double sum = 0;
  for (int r = 0; r < a.kernel_h; ++r)
    for (int s = 0; s < a.kernel_w; ++s) {
      const int iy = oy * a.stride_h - a.pad_h + r * a.dilation_h, ix = ox * a.stride_w - a.pad_w + s * a.dilation_w;
      const bool inside = iy >= 0 && iy < a.in_h && ix >= 0 && ix < a.in_w;
      for (int c = 0; c < a.channels; ++c) {
        const float x =
            inside ? element(a.x, a.x_type, ((b * a.in_h + iy) * a.in_w + ix) * a.channels + c) : element(&a.padding, a.x_type, 0);
        sum += double(x) * element(w, wt, column * k + (int64_t{r} * a.kernel_w + s) * a.channels + c);
      }
    }
  if (const auto& e = a.behind; e.channels) {
    sum *= e.ratio[column];
    for (int c = 0; c < e.channels; ++c)
      sum += double(element(e.x, a.x_type, ((b * e.in_h + oy * e.stride_h) * e.in_w + ox * e.stride_w) * e.channels + c)) *
             element(w_behind, wt, column * e.channels + c);
  }
  float v = float(sum) * a.scale[column] * (a.x_factor ? *a.x_factor : 1.f) + (a.bias ? a.bias[column] : 0.f);
  if (a.residual_type != Element::kNone) {
    const float e = element(a.residual, a.residual_type, i);
    v += e * a.residual_scale;
  }
  using A = QuantizedProductArgs::Activation;
  if (a.activation == A::kClamp) v = fminf(fmaxf(v, a.low), a.high);
  if (a.activation == A::kGelu) v = 0.5f * v * (1.f + erff(v * 0.70710678f));
  if (a.activation == A::kGeluTanh) v = 0.5f * v * (1.f + tanhf(0.7978845608f * (v + 0.044715f * v * v * v)));
  if (a.activation == A::kSilu) v = v / (1.f + expf(-v));
  y[i] = v;
}

__global__ void widen(const void* y, Element type, int64_t n, float* to) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i < n) to[i] = element(y, type, i);
}

__global__ void float8_bytes(uint8_t* p, int64_t n, uint64_t seed) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= n) return;
  float sum = -2.f;
  for (int j = 0; j < 4; ++j) sum += hash(seed * 0x9e3779b97f4a7c15ull + i * 4 + j) * 0x1p-32f;
  reinterpret_cast<__nv_fp8_e4m3*>(p)[i] = __nv_fp8_e4m3(1.732f * sum);
}

struct Problem {
  QuantizedProductArgs a;
  Buffer x, w, packed, scale, bias, residual, y, factor, behind, w_behind, ratio;
};

uint32_t state = 7;
int pick(std::initializer_list<int> of) {
  state = state * 1664525 + 1013904223;
  return of.begin()[(state >> 8) % of.size()];
}

Buffer bytes(Element type, int64_t n) {
  if (type != Element::kFloat8) return random_bytes(n);
  Buffer b(n);
  float8_bytes<<<(n + 255) / 256, 256>>>(b.as<uint8_t>(), n, next_seed());
  return b;
}

void make(Problem& p, float unit = 1) {
  QuantizedProductArgs& a = p.a;
  const int64_t k = a.k(), rows = a.rows(), padded = (a.n + 255) / 256 * 256;
  p.x = bytes(a.x_type, int64_t{a.batch} * a.in_h * a.in_w * a.channels);
  p.w = bytes(a.x_type == Element::kFloat8 ? Element::kFloat8 : Element::kInt8, a.n * k);
  const std::vector<uint8_t> w = p.w.host<uint8_t>();
  std::vector<uint8_t> packed(cuda::quantized_weight_bytes(a.n, a.weight_rows()));
  for (int64_t c = 0; c < a.n; ++c)
    for (int64_t r = 0; r < k; ++r) packed[cuda::quantized_weight_offset(a.weight_rows(), r, c)] = w[c * k + r];
  if (auto& e = a.behind; e.channels) {
    p.behind = bytes(a.x_type, int64_t{a.batch} * e.in_h * e.in_w * e.channels);
    p.w_behind = bytes(a.x_type == Element::kFloat8 ? Element::kFloat8 : Element::kInt8, int64_t{a.n} * e.channels);
    const std::vector<uint8_t> wb = p.w_behind.host<uint8_t>();
    for (int64_t c = 0; c < a.n; ++c)
      for (int64_t r = 0; r < e.channels; ++r)
        packed[cuda::quantized_weight_offset(a.weight_rows(), a.first_behind() + r, c)] = wb[c * e.channels + r];
    std::vector<float> ratio(padded);
    for (int i = 0; i < a.n; ++i) ratio[i] = 0.3f + i % 5 * 0.4f;
    p.ratio = Buffer::of(ratio);
    e.x = p.behind.as(), e.ratio = p.ratio.as<float>();
  }
  p.packed = Buffer::of(packed);
  const float size = unit * (a.x_type == Element::kFloat8 ? 1.f / std::sqrt(float(k)) : 1.f / (std::sqrt(float(k)) * 80 * 80));
  std::vector<float> scale(padded), bias(padded);
  for (int i = 0; i < a.n; ++i) scale[i] = size * (0.5f + i % 7 * 0.2f), bias[i] = unit * 0.1f * (i % 11 - 5);
  p.scale = Buffer::of(scale), p.bias = Buffer::of(bias), p.factor = Buffer::of(std::vector<float>{0.75f});
  a.x = p.x.as(), a.w = p.packed.as(), a.scale = p.scale.as<float>();
  if (a.residual_type != Element::kNone) {
    p.residual = a.residual_type <= Element::kFloat8 ? bytes(a.residual_type, rows * a.n)
                                                     : random(a.residual_type == Element::kFloat16    ? Scalar::kFloat16
                                                              : a.residual_type == Element::kBFloat16 ? Scalar::kBFloat16
                                                                                                      : Scalar::kFloat32,
                                                              rows * a.n);
    a.residual = p.residual.as();
  }
  p.y = Buffer(rows * a.n * cuda::bytes_of(a.y_type));
  p.y.poison();
  a.y = p.y.as();
}

void compare(Problem& p, const std::string& line) {
  const QuantizedProductArgs& a = p.a;
  const int64_t n = a.rows() * a.n;
  Buffer expected(n * 4), got(n * 4);
  plain<<<(n + 127) / 128, 128>>>(a, p.w.as(), p.w_behind.as(), a.rows(), expected.as<float>());
  MUST(cuda::quantized_product(a, cuda::device_traits(), nullptr));
  MUST(cudaDeviceSynchronize());
  widen<<<(n + 127) / 128, 128>>>(a.y, a.y_type, n, got.as<float>());
  const auto want = expected.host<float>(), have = got.host<float>();
  const float low = a.y_type == Element::kInt8 ? -128 : 0, high = a.y_type == Element::kInt8 ? 127 : 255;
  int64_t far = 0, first = -1;
  double error = 0, norm = 0;
  for (int64_t i = 0; i < n; ++i) {
    float w = want[i];
    if (a.y_type <= Element::kInt8) w = std::min(std::max(std::nearbyint(w * a.y_factor + a.y_offset), low), high);
    if (a.y_type == Element::kFloat8) w *= a.y_factor;
    const double d = std::fabs(double(have[i]) - w);
    const double limit = a.y_type <= Element::kInt8     ? 1
                         : a.y_type == Element::kFloat8 ? 0.07 * std::fabs(w) + 0.04
                                                        : 0.02 * std::fabs(w) + 0.02;
    if (!(d <= limit) && far++ == 0) first = i;
    error += d * d, norm += double(w) * w;
  }
  const double relative = std::sqrt(error / std::max(norm, 1e-30));
  const double most = a.y_type <= Element::kInt8       ? a.x_type == Element::kFloat8 ? 5e-3 : 2e-3
                      : a.y_type == Element::kFloat8   ? 4e-2
                      : a.y_type == Element::kBFloat16 ? 3e-3
                                                       : 1e-3;
  check(far ? 1 : relative, most,
        line + format(" (%lld far, first %lld: %g, not %g; relative %.3g)", (long long)far, (long long)first, first < 0 ? 0 : have[first],
                      first < 0 ? 0 : want[first], relative));
}

std::string describe(const QuantizedProductArgs& a) {
  return format(
      "x %d batch %d %dx%dx%d kernel %dx%d stride %d pad %d dilation %d padding %d n %d residual %d act %d y %d variant %d behind %d",
      int(a.x_type), a.batch, a.in_h, a.in_w, a.channels, a.kernel_h, a.kernel_w, a.stride_h, a.pad_h, a.dilation_h, a.padding, a.n,
      int(a.residual_type), int(a.activation), int(a.y_type), a.variant, a.behind.channels);
}

bool passed_over(const QuantizedProductArgs& a) { return left_out(describe(a), double(a.rows()) * a.n * a.k()); }

void set_window(QuantizedProductArgs& a, int size, int channels, int kernel, int stride, int pad, int dilation) {
  a.in_h = size, a.in_w = size + 1, a.channels = channels, a.kernel_h = a.kernel_w = kernel;
  a.stride_h = a.stride_w = stride, a.pad_h = a.pad_w = pad, a.dilation_h = a.dilation_w = dilation;
  a.out_h = (a.in_h + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
  a.out_w = (a.in_w + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
}

void run(bool timed) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what was done stays readable when a kernel hangs
  const cuda::DeviceTraits device = cuda::device_traits();
  if (device.capability != 90) {
    std::printf("cuda quantized_product: nothing to test, needs compute capability 9.0\n");
    return;
  }
  using A = QuantizedProductArgs::Activation;
  // The plainest first, so that a failure says what fails.
  for (const Element x : {Element::kInt8, Element::kUint8, Element::kFloat8})
    for (int variant = 0; variant < cuda::kQuantizedVariants; ++variant)
      for (int k : {32, 128, 160, 1024}) {
        Problem p;
        p.a.x_type = x, p.a.batch = 300, p.a.channels = k, p.a.n = 192, p.a.y_type = Element::kFloat32, p.a.variant = variant;
        if (passed_over(p.a)) continue;
        make(p);
        compare(p, describe(p.a));
      }
  // Steps that lie within one tap: the tensor copy engine finds the windows.
  for (int i = 0; i < 40; ++i) {
    Problem p;
    QuantizedProductArgs& a = p.a;
    a.x_type = static_cast<Element>(pick({1, 2, 3}));
    a.variant = pick({0, 1, 2});
    a.n = pick({64, 128, 320});
    a.batch = pick({1, 2, 5});
    set_window(a, pick({7, 14, 20}), pick({128, 256}), pick({1, 3, 3, 5}), pick({1, 2}), pick({0, 1, 3}), pick({1, 1, 2}));
    if (a.in_h + 2 * a.pad_h < a.dilation_h * (a.kernel_h - 1) + 1) continue;
    a.pad_w = pick({0, 1, 2}), a.stride_w = pick({1, 2, 3}), a.kernel_w = pick({1, 2, 3});
    a.out_w = (a.in_w + pick({0, 1, 2}) - a.dilation_w * (a.kernel_w - 1) - 1 + a.pad_w) / a.stride_w + 1;
    a.y_type = Element::kFloat32;
    a.dependent = pick({0, 1});
    if (passed_over(a)) continue;
    make(p);
    compare(p, describe(p.a));
  }
  // Windows of 64 channels, and sums over a second image.
  for (int i = 0; i < 60; ++i) {
    Problem p;
    QuantizedProductArgs& a = p.a;
    a.x_type = static_cast<Element>(pick({1, 1, 2, 3}));
    a.variant = pick({0, 1, 2, 3});
    a.n = pick({64, 128, 320, 512});
    a.batch = pick({1, 2, 5});
    const bool second = i % 2;
    set_window(a, pick({7, 14, 28}), pick({64, 64, 128, 192, 256}), second ? pick({1, 1, 3}) : 3, pick({1, 2}), 0, 1);
    if (a.kernel_h == 3) a.pad_h = a.pad_w = 1, a.out_h = (a.in_h - 1) / a.stride_h + 1, a.out_w = (a.in_w - 1) / a.stride_w + 1;
    if (second) {
      // Strided windows are those of whole steps, or of half ones where the kernel's are.
      auto& e = a.behind;
      e.channels = pick({64, 128, 512});
      e.stride_h = e.stride_w = pick({1, 1, 2});
      if (e.stride_h == 2 && e.channels % 128) e.channels = 256;
      e.in_h = (a.out_h - 1) * e.stride_h + 1, e.in_w = (a.out_w - 1) * e.stride_w + 1;
    } else if (pick({0, 1})) {
      a.residual_type = Element::kUint8, a.residual_scale = 0.3f;
    }
    const bool to_bytes = a.x_type != Element::kFloat8 && pick({0, 1, 1});
    a.y_type = to_bytes ? Element::kUint8 : Element::kFloat32;
    if (a.residual_type != Element::kNone && !to_bytes) a.residual_scale = 0.01f;
    a.activation = to_bytes ? A::kClamp : A::kNone, a.low = 0, a.high = 255;
    a.dependent = pick({0, 1});
    make(p, to_bytes ? 30.f : 1.f);
    if (pick({0, 1})) a.bias = p.bias.as<float>();
    if (const char* why = cuda::quantized_product_refusal(a, device)) {
      std::printf("refused: %s: %s\n", describe(a).c_str(), why);
      check(1, 0, describe(a));
      continue;
    }
    compare(p, describe(a));
  }
  for (int i = 0; i < 120; ++i) {
    Problem p;
    QuantizedProductArgs& a = p.a;
    a.x_type = static_cast<Element>(pick({1, 1, 2, 3}));
    a.variant = pick({0, 1, 2});
    a.n = pick({16, 48, 64, 128, 192, 256, 320, 1008});
    if (pick({0, 1})) {
      a.batch = pick({1, 2, 5}),
      set_window(a, pick({7, 14, 20}), pick({16, 32, 64, 80, 256}), pick({1, 3, 5, 7}), pick({1, 2}), pick({0, 1, 3}), 1);
      if (pick({0, 0, 1}) && a.kernel_h == 3) set_window(a, a.in_h, a.channels, 3, 1, 2, 2);
      a.padding = a.x_type == Element::kFloat8 ? 0 : pick({0, 0, 3, 128});
    } else {
      a.batch = pick({1, 64, 127, 128, 1000, 5000}), a.channels = pick({16, 64, 96, 128, 384, 768, 2048});
    }
    a.y_type = static_cast<Element>(pick({1, 2, 3, 4, 5, 6}));
    a.residual_type = static_cast<Element>(pick({0, 0, 1, 2, 3, 4, 5, 6}));
    if (a.residual_type == Element::kFloat8 && a.x_type != Element::kFloat8) a.residual_type = Element::kNone;
    a.dependent = pick({0, 1});
    a.activation = static_cast<A>(pick({0, 0, 1, 2, 3, 4}));
    a.low = 0, a.high = pick({0, 1}) ? 0.6f : INFINITY;
    a.residual_scale = a.residual_type <= Element::kInt8 ? 0.01f : 1.f;
    if (a.y_type <= Element::kFloat8) a.y_factor = a.y_type == Element::kFloat8 ? 20.f : 50.f;
    if (a.y_type <= Element::kInt8) a.y_offset = a.y_type == Element::kUint8 ? pick({0, 100}) : pick({0, -5});
    // All that is linear, as the caller folds it.
    bool folded = a.y_type <= Element::kInt8 && a.activation <= A::kClamp && pick({0, 1, 1});
    if (folded && a.residual_type > Element::kInt8) a.residual_type = static_cast<Element>(pick({0, 1, 2})), a.residual_scale = 0.01f;
    if (folded) a.y_factor = 1, a.y_offset = 0, a.residual_scale *= 50, a.low = -20, a.high = 60;
    const bool bias = pick({0, 1}), factor = pick({0, 0, 1});
    if (passed_over(a)) continue;
    make(p, folded ? 50.f : 1.f);
    if (bias) a.bias = p.bias.as<float>();
    if (factor) a.x_factor = p.factor.as<float>();
    compare(p, describe(a));
  }
  if (!timed) return;
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  const auto time = [&](QuantizedProductArgs a, const char* what) {
    std::printf("%s: m %lld n %d k %lld y %d:", what, (long long)a.rows(), a.n, (long long)a.k(), int(a.y_type));
    Problem p;
    p.a = a;
    make(p);
    a = p.a, a.bias = p.bias.as<float>();
    for (int variant = 0; variant < cuda::kQuantizedVariants; ++variant) {
      a.variant = variant;
      const double us = time_us(stream, 10, [&](int) { return cuda::quantized_product(a, device, stream); });
      std::printf("  %.1f us %.0f T/s", us, 2e-6 * a.rows() * a.n * a.k() / us);
    }
    std::printf("\n");
  };
  for (const Element x : {Element::kUint8, Element::kFloat8})
    for (const auto [n, k] : {std::pair{2304, 768}, {768, 768}, {3072, 768}, {768, 3072}, {4096, 4096}}) {
      QuantizedProductArgs a;
      a.x_type = x, a.batch = 4096, a.channels = k, a.n = n, a.y_type = x == Element::kFloat8 ? Element::kFloat16 : Element::kUint8;
      time(a, x == Element::kFloat8 ? "float8" : "uint8");
    }
  struct Layer {
    int size, channels, kernel, stride, n;
  };
  // With the residual's bytes; and a projection with the sum it is added to.
  for (const auto [size, channels] : {std::pair{56, 64}, {28, 128}, {14, 256}, {7, 512}}) {
    QuantizedProductArgs a;
    a.batch = 32, set_window(a, size, channels, 1, 1, 0, 1), a.in_w = a.out_w = size, a.n = 4 * channels;
    a.residual_type = Element::kUint8, a.activation = A::kClamp, a.high = 255;
    time(a, "with a residual");
    a.residual_type = Element::kNone;
    const bool first = size == 56;
    a.stride_h = a.stride_w = first ? 1 : 2, a.in_h = a.in_w = first ? size : 2 * size, a.channels = first ? 64 : 2 * channels;
    a.behind.in_h = a.behind.in_w = size, a.behind.channels = channels;
    time(a, "with a projection");
  }
  for (const Layer l : {Layer{56, 64, 1, 1, 64},
                        {56, 64, 3, 1, 64},
                        {56, 64, 1, 1, 256},
                        {56, 256, 1, 1, 64},
                        {56, 256, 1, 1, 128},
                        {56, 128, 3, 2, 128},
                        {28, 128, 1, 1, 512},
                        {56, 256, 1, 2, 512},
                        {28, 512, 1, 1, 128},
                        {28, 128, 3, 1, 128},
                        {28, 256, 3, 2, 256},
                        {14, 256, 1, 1, 1024},
                        {14, 1024, 1, 1, 256},
                        {14, 256, 3, 1, 256},
                        {7, 512, 1, 1, 2048},
                        {7, 2048, 1, 1, 512},
                        {7, 512, 3, 1, 512}}) {
    QuantizedProductArgs a;
    a.batch = 32, set_window(a, l.size, l.channels, l.kernel, l.stride, l.kernel / 2, 1), a.n = l.n, a.in_w = l.size;
    a.out_w = a.out_h;
    time(a, "convolution");
  }
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) { return cameo::cuda_test::test_main(argc, argv, "cuda quantized_product", cameo::cuda_test::run); }
