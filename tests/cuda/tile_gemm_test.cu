// Products and convolutions by tiles against a plain kernel, over random shapes, windows and epilogues, every choice.
#include "backends/cuda/kernels/tile_gemm.h"
#include "backends/cuda/kernels/wide_product.h"

#include <array>

#include "harness.cuh"

namespace cameo::cuda_test {
namespace {

using namespace cameo::cuda;

__global__ void plain_kernel(TileGemmArgs a, float* y) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= int64_t{a.m} * a.n) return;
  const int m = i / a.n, n = i % a.n;
  const TileWindow& w = a.window;
  double sum = 0;
  for (int k = 0; k < a.k; ++k) {
    float x;
    const TileBehind& v = a.behind;
    if (a.convolution && k >= a.k - v.channels) {
      const int h = m / w.out_width % w.out_height * v.stride_h, j = m % w.out_width * v.stride_w;
      const int64_t image = m / w.out_width / w.out_height;
      x = load(v.x, a.type, ((image * v.height + h) * v.width + j) * v.channels + k - (a.k - v.channels));
    } else if (a.convolution) {
      const int c = k % w.channels, s = k / w.channels % w.kernel_width, r = k / w.channels / w.kernel_width;
      const int h = m / w.out_width % w.out_height * w.stride_h - w.pad_top + r * w.dilation_h,
                j = m % w.out_width * w.stride_w - w.pad_left + s * w.dilation_w;
      const int64_t image = m / w.out_width / w.out_height;
      x = h < 0 || h >= w.height || j < 0 || j >= w.width ? 0.f
                                                          : load(a.x, a.type, ((image * w.height + h) * w.width + j) * w.channels + c);
    } else {
      x = load(a.x, a.type, int64_t{m} * a.k + k);
    }
    sum += static_cast<double>(x) * load(a.w, a.type, int64_t{n} * a.k + k);
  }
  if (a.bias) sum += load(a.bias, a.type, n);
  const double addend = a.addend ? load(a.addend, a.type, i) : 0;
  if (a.addend_first) sum += addend;
  switch (a.activation) {
    case TileActivation::kRelu:
      sum = fmax(sum, 0.);
      break;
    case TileActivation::kGelu:
      sum = 0.5 * sum * (1 + erf(sum * 0.70710678118654752));
      break;
    case TileActivation::kGeluTanh:
      sum = 0.5 * sum * (1 + tanh(0.79788456080286536 * (sum + 0.044715 * sum * sum * sum)));
      break;
    case TileActivation::kSilu:
      sum = sum / (1 + exp(-sum));
      break;
    case TileActivation::kHardSwish:
      sum = sum * fmax(0., fmin(1., sum / 6 + 0.5));
      break;
    default:
      break;
  }
  y[i] = a.addend_first ? sum : sum + addend;
}

struct Problem {
  TileGemmArgs args;
  Buffer x, w, bias, addend, behind, y;
};
Problem problem_of(const TileGemmArgs& a, bool bias, bool addend) {
  const TileWindow& w = a.window;
  const int64_t images = a.convolution ? a.m / (w.out_height * w.out_width) : 0,
                x = a.convolution ? images * w.height * w.width * w.channels : int64_t{a.m} * a.k;
  Problem p{a,
            random(a.type, x),
            random(a.type, int64_t{a.n} * a.k, 1.f / std::sqrt(static_cast<float>(a.k))),
            random(a.type, a.n),
            random(a.type, int64_t{a.m} * a.n),
            random(a.type, images * a.behind.height * a.behind.width * a.behind.channels + 8),
            Buffer(int64_t{a.m} * a.n * 2)};
  p.args.x = p.x.as();
  p.args.w = p.w.as();
  p.args.bias = bias ? p.bias.as() : nullptr;
  p.args.addend = addend ? p.addend.as() : nullptr;
  if (a.behind.channels) p.args.behind.x = p.behind.as();
  p.args.y = p.y.as();
  return p;
}
std::string text(const TileGemmArgs& a, int choice) {
  return format("%s %dx%dx%d conv %d (%dx%d s%d c%d behind %d) act %d bias %d addend %d %d choice %d", name(a.type), a.m, a.n, a.k,
                a.convolution, a.window.kernel_height, a.window.kernel_width, a.window.stride_h, a.window.channels, a.behind.channels,
                static_cast<int>(a.activation), a.bias != nullptr, a.addend != nullptr, a.addend_first, choice);
}

// The same for the kernel of wide_product.h, whose weights lie in an order of their own.
Buffer wide_weight(const Problem& p) {
  const TileGemmArgs& a = p.args;
  const std::vector<uint16_t> w = p.w.host<uint16_t>();
  std::vector<uint16_t> to(wide_weight_elements(a.n, a.k));
  for (int64_t column = 0; column < a.n; ++column)
    for (int64_t row = 0; row < a.k; ++row) to[wide_weight_offset(a.k, row, column)] = w[column * a.k + row];
  return Buffer::of(to);
}
void check_problem(Problem p, const DeviceTraits& device) {
  if (left_out("", double(p.args.m) * p.args.n * p.args.k)) return;
  const int64_t n = int64_t{p.args.m} * p.args.n;
  Buffer reference(n * 4);
  plain_kernel<<<static_cast<unsigned>((n + 255) / 256), 256>>>(p.args, reference.as<float>());
  MUST(cudaGetLastError());
  for (int choice = 0; choice < kTileChoices; ++choice) {
    if (tile_gemm_refusal(p.args, choice, device) || !selected(text(p.args, choice))) continue;
    p.y.poison();
    MUST(tile_gemm(p.args, choice, device, nullptr));
    check(relative_error(p.y, p.args.type, reference, n), tolerance(p.args.type), text(p.args, choice));
  }
  const Buffer w = wide_weight(p);
  TileGemmArgs args = p.args;
  args.w = w.as();
  for (int variant = 0; variant < kWideVariants; ++variant) {
    if (wide_product_refusal(args, variant, device) || !selected(text(p.args, 1000 + variant))) continue;
    p.y.poison();
    MUST(wide_product(args, variant, device, nullptr));
    check(relative_error(p.y, p.args.type, reference, n), tolerance(p.args.type), text(p.args, 1000 + variant));
  }
}

TileGemmArgs convolution(int images, int size, int channels, int outputs, int kernel, int stride) {
  TileGemmArgs a;
  a.convolution = true;
  TileWindow& w = a.window;
  w.height = w.width = size;
  w.channels = channels;
  w.kernel_height = w.kernel_width = kernel;
  w.stride_h = w.stride_w = stride;
  w.pad_top = w.pad_left = kernel / 2;
  w.out_height = w.out_width = (size + 2 * (kernel / 2) - kernel) / stride + 1;
  a.m = images * w.out_height * w.out_width;
  a.n = outputs;
  a.k = kernel * kernel * channels;
  return a;
}

void run(bool bench) {
  const DeviceTraits device = device_traits();
  std::mt19937 random_of(7);
  const auto pick = [&](int low, int high) { return low + static_cast<int>(random_of() % (high - low + 1)); };
  for (int i = 0; i < 40; ++i) {
    TileGemmArgs a;
    if (i % 2) {
      a.convolution = true;
      TileWindow& w = a.window;
      w.channels = 8 * pick(1, i % 4 == 1 ? 3 : 20);
      w.height = pick(3, 20), w.width = pick(3, 20);
      w.kernel_height = pick(1, 3), w.kernel_width = pick(1, 3);
      w.stride_h = pick(1, 3), w.stride_w = pick(1, 3);
      w.dilation_h = pick(1, 2), w.dilation_w = pick(1, 2);
      w.pad_top = pick(0, 3), w.pad_left = pick(0, 3);
      w.out_height = std::max(1, (w.height + 2 * w.pad_top - w.dilation_h * (w.kernel_height - 1) - 1) / w.stride_h + 1);
      w.out_width = std::max(1, (w.width + 2 * w.pad_left - w.dilation_w * (w.kernel_width - 1) - 1) / w.stride_w + 1);
      a.m = pick(1, 3) * w.out_height * w.out_width;
      if (i % 4 == 3) {
        w.channels = 64 * pick(1, 2);
        a.behind = {.channels = 8 * pick(1, 30), .stride_h = pick(1, 2), .stride_w = pick(1, 2)};
        a.behind.height = (w.out_height - 1) * a.behind.stride_h + pick(1, 2);
        a.behind.width = (w.out_width - 1) * a.behind.stride_w + pick(1, 2);
      }
      a.k = w.kernel_height * w.kernel_width * w.channels + a.behind.channels;
    } else {
      a.m = pick(1, 300);
      a.k = 8 * pick(1, 150);
    }
    a.n = 8 * pick(1, 60);
    a.type = i % 8 < 6 ? Scalar::kFloat16 : Scalar::kBFloat16;
    a.activation = static_cast<TileActivation>(pick(0, 5));
    a.addend_first = pick(0, 1);
    a.dependent = pick(0, 1) && device.capability >= 90;
    check_problem(problem_of(a, pick(0, 3) > 0, pick(0, 1)), device);
  }
  // Many tiles a block, with what is added fetched ahead; columns that do not fill the last tile.
  for (const int n : {64, 136, 200, 256}) {
    TileGemmArgs a;
    a.m = 70 * 128 * 264 / n - 5, a.n = n, a.k = 64;
    a.activation = TileActivation::kRelu;
    a.addend_first = true;
    check_problem(problem_of(a, true, true), device);
  }
  // Windows that the tensor copy engine finds, and long sums.
  for (const auto& [batch, size, channels, outputs, kernel, stride] : std::vector<std::array<int, 6>>{
           {2, 14, 256, 256, 3, 1}, {3, 15, 128, 200, 3, 2}, {1, 7, 512, 512, 3, 1}, {5, 9, 64, 72, 2, 1}, {4, 14, 1024, 256, 1, 1}}) {
    TileGemmArgs a = convolution(batch, size, channels, outputs, kernel, stride);
    a.activation = TileActivation::kRelu;
    a.addend_first = true;
    a.dependent = device.capability >= 90;
    for (const bool addend : {false, true}) check_problem(problem_of(a, true, addend), device);
    a.behind = {.height = a.window.out_height, .width = a.window.out_width, .channels = 192};
    a.k += a.behind.channels;
    check_problem(problem_of(a, true, false), device);
  }
  if (!bench) return;
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  struct Case {
    const char* name;
    TileGemmArgs args;
    bool addend;
  };
  std::vector<Case> cases;
  for (const int m : {32, 128, 512, 4096, 16384})
    for (const auto& [n, k] : std::vector<std::pair<int, int>>{{2304, 768}, {768, 768}, {3072, 768}, {768, 3072}}) {
      TileGemmArgs a;
      a.m = m, a.n = n, a.k = k;
      a.activation = n == 3072 ? TileActivation::kGelu : TileActivation::kNone;
      cases.push_back({"linear", a, n == 768});
    }
  for (const int b : {1, 8, 32, 128})
    for (const auto& [size, c, o, kernel, stride] : std::vector<std::array<int, 5>>{{56, 64, 64, 3, 1},
                                                                                    {56, 64, 256, 1, 1},
                                                                                    {56, 256, 64, 1, 1},
                                                                                    {28, 128, 128, 3, 1},
                                                                                    {28, 128, 512, 1, 1},
                                                                                    {28, 512, 128, 1, 1},
                                                                                    {14, 256, 256, 3, 1},
                                                                                    {14, 256, 1024, 1, 1},
                                                                                    {14, 1024, 256, 1, 1},
                                                                                    {7, 512, 512, 3, 1},
                                                                                    {7, 512, 2048, 1, 1},
                                                                                    {7, 2048, 512, 1, 1},
                                                                                    {56, 256, 512, 1, 2},
                                                                                    {14, 1024, 2048, 1, 2},
                                                                                    {28, 256, 256, 3, 2},
                                                                                    {224, 8, 64, 7, 2}}) {
      TileGemmArgs a = convolution(b, size, c, o, kernel, stride);
      if (kernel == 1 && stride == 1) a.convolution = false;
      a.activation = TileActivation::kRelu;
      a.addend_first = true;
      cases.push_back({"conv", a, kernel == 1 && o == 4 * c});
    }
  for (const int b : {1, 8, 32, 128})
    for (const auto& [size, c, o, stride] :
         std::vector<std::array<int, 4>>{{56, 64, 256, 1}, {56, 256, 512, 2}, {28, 512, 1024, 2}, {14, 1024, 2048, 2}}) {
      TileGemmArgs a = convolution(b, size, c, o, 1, stride);
      a.behind = {.height = size / stride, .width = size / stride, .channels = o / 4};
      a.k += a.behind.channels;
      a.activation = TileActivation::kRelu;
      cases.push_back({"two convolutions", a, false});
    }
  for (Case& c : cases) {
    c.args.dependent = true;
    Problem p = problem_of(c.args, true, c.addend);
    const size_t bytes = p.w.bytes();
    const int copies = static_cast<int>(std::clamp<size_t>((100 << 20) / bytes, 1, 32));
    Buffer weights(bytes * copies);
    for (int i = 0; i < copies; ++i) MUST(cudaMemcpy(weights.as<char>() + bytes * i, p.w.as(), bytes, cudaMemcpyDeviceToDevice));
    double best = 1e30;
    int winner = -1;
    std::string line;
    for (int choice = 0; choice < kTileChoices; ++choice) {
      if (tile_gemm_refusal(p.args, choice, device) || !tile_gemm_promising(p.args, choice, device)) continue;
      const double us = time_us(stream, 32, [&](int i) {
        TileGemmArgs a = p.args;
        a.w = weights.as<char>() + bytes * (i % copies);
        return tile_gemm(a, choice, device, stream);
      });
      line += format(" %d:%.1f", choice, us);
      if (us < best) best = us, winner = choice;
    }
    if (p.args.m >= 512) {
      const Buffer w = wide_weight(p);
      TileGemmArgs args = p.args;
      args.w = w.as();
      line += "; wide";
      for (int variant = 0; variant < kWideVariants; ++variant) {
        if (wide_product_refusal(args, variant, device)) continue;
        const double us = time_us(stream, 32, [&](int) { return wide_product(args, variant, device, stream); });
        line += format(" %d:%.1f", variant, us);
      }
    }
    const TileGemmArgs& a = p.args;
    std::printf("%s %dx%dx%d (%d, %dx%d): best %d %.1f us, %.0f TFLOP/s; %s\n", c.name, a.m, a.n, a.k, a.window.height,
                a.window.kernel_height, a.window.stride_h, winner, best, 2e-6 * a.m * a.n * a.k / best, line.c_str());
  }
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) { return cameo::cuda_test::test_main(argc, argv, "cuda tile_gemm", cameo::cuda_test::run); }
