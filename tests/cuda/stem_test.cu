// A convolution of an image with a pool behind it, in one kernel, against a plain one.
#include "backends/cuda/kernels/stem.h"

#include "harness.cuh"

namespace cameo::cuda_test {
namespace {

using namespace cameo::cuda;

__global__ void plain_kernel(StemArgs a, float* y, int64_t n) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= n) return;
  const int m = i % a.outputs, j = i / a.outputs % a.out_width, h = i / a.outputs / a.out_width % a.out_height,
            b = i / a.outputs / a.out_width / a.out_height;
  double largest = 0;
  for (int r = 2 * h - a.pool_pad_top; r < 2 * h - a.pool_pad_top + 3; ++r)
    for (int s = 2 * j - a.pool_pad_left; s < 2 * j - a.pool_pad_left + 3; ++s) {
      if (r < 0 || r >= a.conv_height || s < 0 || s >= a.conv_width) continue;
      double sum = a.bias ? load(a.bias, a.type, m) : 0;
      for (int u = 0; u < 7; ++u)
        for (int v = 0; v < 7; ++v) {
          const int row = 2 * r - a.pad_top + u, column = 2 * s - a.pad_left + v;
          if (row < 0 || row >= a.height || column < 0 || column >= a.width) continue;
          for (int c = 0; c < a.channels; ++c) {
            const int64_t at = a.channels_first ? ((int64_t{b} * a.channels + c) * a.height + row) * a.width + column
                                                : ((int64_t{b} * a.height + row) * a.width + column) * a.channels + c;
            sum += static_cast<double>(load(a.x, a.image_type, at)) * load(a.w, a.type, ((int64_t{m} * 7 + u) * 8 + v) * 4 + c);
          }
        }
      largest = fmax(largest, sum);
    }
  y[i] = largest;
}

__global__ void clear_kernel(void* w, Scalar type, int64_t n, int channels) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i < n && (i / 4 % 8 == 7 || i % 4 >= channels)) store(w, type, i, 0.f);
}

StemArgs of(int batch, int height, int width, int channels, int outputs, int pad, int pool_pad) {
  StemArgs a;
  a.batch = batch, a.height = height, a.width = width, a.channels = channels, a.outputs = outputs;
  a.pad_top = a.pad_left = pad;
  a.pool_pad_top = a.pool_pad_left = pool_pad;
  a.conv_height = (height + 2 * pad - 7) / 2 + 1, a.conv_width = (width + 2 * pad - 7) / 2 + 1;
  a.out_height = (a.conv_height + 2 * pool_pad - 3) / 2 + 1, a.out_width = (a.conv_width + 2 * pool_pad - 3) / 2 + 1;
  return a;
}

struct Problem {
  StemArgs args;
  Buffer x, w, bias, y;
};
Problem problem_of(const StemArgs& a, bool bias) {
  const int64_t weights = int64_t{a.outputs} * 7 * 8 * 4, results = int64_t{a.batch} * a.out_height * a.out_width * a.outputs;
  Problem p{a, random(a.image_type, int64_t{a.batch} * a.channels * a.height * a.width), random(a.type, weights, 0.08f),
            random(a.type, a.outputs), Buffer(results * 2)};
  clear_kernel<<<static_cast<unsigned>((weights + 255) / 256), 256>>>(p.w.as(), a.type, weights, a.channels);
  MUST(cudaGetLastError());
  p.args.x = p.x.as();
  p.args.w = p.w.as();
  p.args.bias = bias ? p.bias.as() : nullptr;
  p.args.y = p.y.as();
  return p;
}

// The bits of y, as numbers.
__global__ void plain_bytes_kernel(StemBytesArgs b, uint8_t* y, int64_t n) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= n) return;
  const StemArgs& a = b.stem;
  const int m = i % a.outputs, j = i / a.outputs % a.out_width, h = i / a.outputs / a.out_width % a.out_height,
            image = i / a.outputs / a.out_width / a.out_height;
  float largest = b.low;
  for (int r = 2 * h - a.pool_pad_top; r < 2 * h - a.pool_pad_top + 3; ++r)
    for (int s = 2 * j - a.pool_pad_left; s < 2 * j - a.pool_pad_left + 3; ++s) {
      if (r < 0 || r >= a.conv_height || s < 0 || s >= a.conv_width) continue;
      int sum = 0;
      for (int u = 0; u < 7; ++u)
        for (int v = 0; v < 7; ++v) {
          const int row = 2 * r - a.pad_top + u, column = 2 * s - a.pad_left + v;
          for (int c = 0; c < a.channels; ++c) {
            int q = b.x_zero;
            if (row >= 0 && row < a.height && column >= 0 && column < a.width) {
              const int64_t at = a.channels_first ? ((int64_t{image} * a.channels + c) * a.height + row) * a.width + column
                                                  : ((int64_t{image} * a.height + row) * a.width + column) * a.channels + c;
              q = min(max(__float2int_rn(static_cast<const float*>(a.x)[at] * b.x_factor) + b.x_zero, 0), 255);
            }
            sum += q * static_cast<const int8_t*>(a.w)[((int64_t{m} * 7 + u) * 8 + v) * 4 + c];
          }
        }
      largest = fmaxf(largest, fminf(rintf(fmaf(float(sum), b.scale[m], b.bias[m])), b.high));
    }
  y[i] = static_cast<uint8_t>(static_cast<int>(largest));
}

__global__ void clear_bytes_kernel(int8_t* w, int64_t n, int channels) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i < n && (i / 4 % 8 == 7 || i % 4 >= channels)) w[i] = 0;
}

struct BytesProblem {
  StemBytesArgs args;
  Buffer x, w, scale, bias, y;
};
BytesProblem bytes_problem_of(const StemArgs& a, int zero, bool is_signed) {
  const int64_t weights = int64_t{a.outputs} * 7 * 8 * 4, results = int64_t{a.batch} * a.out_height * a.out_width * a.outputs;
  BytesProblem p;
  p.args.stem = a;
  p.x = random(Scalar::kFloat32, int64_t{a.batch} * a.channels * a.height * a.width);
  p.w = random_bytes(weights);
  clear_bytes_kernel<<<static_cast<unsigned>((weights + 255) / 256), 256>>>(p.w.as<int8_t>(), weights, a.channels);
  MUST(cudaGetLastError());
  std::vector<float> scale(a.outputs), bias(a.outputs);
  for (int i = 0; i < a.outputs; ++i) scale[i] = 3e-4f * (1 + i % 5), bias[i] = 7.3f * (i % 9 - 4);
  p.scale = Buffer::of(scale), p.bias = Buffer::of(bias), p.y = Buffer(results);
  p.args.stem.x = p.x.as(), p.args.stem.w = p.w.as(), p.args.stem.y = p.y.as();
  p.args.scale = p.scale.as<float>(), p.args.bias = p.bias.as<float>();
  p.args.x_factor = 37.f, p.args.x_zero = zero;
  if (is_signed) p.args.low = -128, p.args.high = 127;
  return p;
}

void run_bytes(const DeviceTraits& device) {
  std::mt19937 random_of(5);
  const auto pick = [&](int low, int high) { return low + static_cast<int>(random_of() % (high - low + 1)); };
  for (int i = 0; i < 20; ++i) {
    StemArgs a = of(pick(1, i % 6 ? 3 : 40), pick(16, 150), pick(16, 300), pick(1, 4), 64 * pick(1, 2), pick(0, 3), pick(0, 1));
    a.channels_first = pick(0, 2) > 0;
    a.dependent = pick(0, 1) && device.capability >= 90;
    const BytesProblem p = bytes_problem_of(a, pick(0, 1) ? pick(0, 255) : 128, pick(0, 1));
    if (left_out() || stem_bytes_refusal(p.args, device)) continue;
    const auto n = static_cast<int64_t>(p.y.bytes());
    Buffer reference(p.y.bytes());
    plain_bytes_kernel<<<static_cast<unsigned>((n + 255) / 256), 256>>>(p.args, reference.as<uint8_t>(), n);
    MUST(cudaGetLastError());
    MUST(cudaMemset(p.y.as(), 0x55, p.y.bytes()));
    MUST(stem_bytes(p.args, device, nullptr));
    const auto want = reference.host<uint8_t>(), have = p.y.host<uint8_t>();
    int64_t wrong = 0;
    for (int64_t k = 0; k < n; ++k) wrong += want[k] != have[k];
    check(static_cast<double>(wrong), 0,
          format("bytes %dx%dx%dx%d to %d, first %d pads %d %d zero %d low %g", a.batch, a.channels, a.height, a.width, a.outputs,
                 a.channels_first, a.pad_top, a.pool_pad_top, p.args.x_zero, p.args.low));
  }
}

void run(bool bench) {
  const DeviceTraits device = device_traits();
  run_bytes(device);
  std::mt19937 random_of(3);
  const auto pick = [&](int low, int high) { return low + static_cast<int>(random_of() % (high - low + 1)); };
  for (int i = 0; i < 24; ++i) {
    StemArgs a = of(pick(1, i % 6 ? 3 : 40), pick(16, 150), pick(16, 300), pick(1, 4), 64 * pick(1, 2), pick(0, 3), pick(0, 1));
    a.type = i % 4 < 3 ? Scalar::kFloat16 : Scalar::kBFloat16;
    a.image_type = pick(0, 1) ? Scalar::kFloat32 : a.type;
    a.channels_first = pick(0, 2) > 0;
    a.without_wgmma = i % 3 == 2;
    a.dependent = pick(0, 1) && device.capability >= 90;
    Problem p = problem_of(a, pick(0, 3) > 0);
    if (left_out("", double(a.batch) * a.conv_height * a.conv_width * a.outputs * 49 * a.channels) || stem_refusal(p.args, device)) continue;
    const int64_t n = static_cast<int64_t>(p.y.bytes()) / 2;
    Buffer reference(n * 4);
    plain_kernel<<<static_cast<unsigned>((n + 255) / 256), 256>>>(p.args, reference.as<float>(), n);
    MUST(cudaGetLastError());
    p.y.poison();
    MUST(stem(p.args, device, nullptr));
    check(
        relative_error(p.y, a.type, reference, n), tolerance(a.type),
        format("%s image %s %dx%dx%dx%d to %d, first %d pads %d %d bias %d wgmma %d", name(a.type), name(a.image_type), a.batch, a.channels,
               a.height, a.width, a.outputs, a.channels_first, a.pad_top, a.pool_pad_top, p.args.bias != nullptr, !a.without_wgmma));
  }
  if (!bench) return;
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  for (const int b : {1, 8, 16, 32, 128}) {
    StemArgs a = of(b, 224, 224, 3, 64, 3, 1);
    a.dependent = true;
    const Problem p = problem_of(a, true);
    {
      const BytesProblem q = bytes_problem_of(a, 127, false);
      const double us = time_us(stream, 16, [&](int) { return stem_bytes(q.args, device, stream); });
      std::printf("stem batch %d in bytes: %.1f us\n", b, us);
    }
    for (const bool without : {false, true}) {
      StemArgs args = p.args;
      args.without_wgmma = without;
      const double us = time_us(stream, 16, [&](int) { return stem(args, device, stream); });
      std::printf("stem batch %d%s: %.1f us, %.0f TFLOP/s\n", b, without ? " without wgmma" : "", us, 2e-6 * b * 112 * 112 * 64 * 147 / us);
    }
  }
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) { return cameo::cuda_test::test_main(argc, argv, "cuda stem", cameo::cuda_test::run); }
