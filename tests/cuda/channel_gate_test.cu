// Squeeze and excitation in one kernel, against a plain one.
#include "backends/cuda/kernels/channel_gate.h"

#include "harness.cuh"

namespace cameo::cuda_test {
namespace {

using namespace cameo::cuda;

__device__ double plain_activation(GateActivation activation, double x, float slope, float offset) {
  switch (activation) {
    case GateActivation::kRelu:
      return fmax(x, 0.);
    case GateActivation::kSilu:
      return x / (1 + exp(-x));
    case GateActivation::kHardSwish:
      return x * fmin(fmax(x / 6 + 0.5, 0.), 1.);
    case GateActivation::kSigmoid:
      return 1 / (1 + exp(-x));
    case GateActivation::kHardSigmoid:
      return fmin(fmax(x * slope + offset, 0.), 1.);
    default:
      return x;
  }
}

__global__ void mean_kernel(ChannelGateArgs a, float* means) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= a.images * a.channels) return;
  double sum = 0;
  for (int p = 0; p < a.pixels; ++p) sum += load(a.x, a.type, (int64_t{i / a.channels} * a.pixels + p) * a.channels + i % a.channels);
  means[i] = sum / a.pixels;
}
__global__ void squeeze_kernel(ChannelGateArgs a, const float* means, float* inner) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= a.images * a.squeezed) return;
  const int image = i / a.squeezed, s = i % a.squeezed;
  double sum = a.squeeze_bias ? a.squeeze_bias[s] : 0;
  for (int c = 0; c < a.channels; ++c) sum += double{load(a.squeeze, a.type, int64_t{s} * a.channels + c)} * means[image * a.channels + c];
  inner[i] = plain_activation(a.inner, sum, a.slope, a.offset);
}
__global__ void scale_kernel(ChannelGateArgs a, const float* inner, float* y, int64_t n) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= n) return;
  const int c = i % a.channels;
  const int64_t image = i / a.channels / a.pixels;
  double sum = a.excite_bias ? a.excite_bias[c] : 0;
  for (int s = 0; s < a.squeezed; ++s) sum += double{load(a.excite, a.type, int64_t{s} * a.channels + c)} * inner[image * a.squeezed + s];
  y[i] = load(a.x, a.type, i) * plain_activation(a.outer, sum, a.slope, a.offset);
}

struct Problem {
  ChannelGateArgs args;
  Buffer x, squeeze, squeeze_bias, excite, excite_bias, y;
};
Problem problem_of(ChannelGateArgs a, bool biases) {
  const int64_t n = int64_t{a.images} * a.pixels * a.channels;
  const float size = 1.f / std::sqrt(static_cast<float>(a.squeezed));
  Problem p{a,
            random(a.type, n, 1.f, 0.5f),
            random(a.type, int64_t{a.squeezed} * a.channels, 4.f / std::sqrt(static_cast<float>(a.channels))),
            random(Scalar::kFloat32, a.squeezed),
            random(a.type, int64_t{a.squeezed} * a.channels, 2 * size),
            random(Scalar::kFloat32, a.channels),
            Buffer(n * 2)};
  p.args.x = p.x.as(), p.args.squeeze = p.squeeze.as(), p.args.excite = p.excite.as(), p.args.y = p.y.as();
  if (biases) p.args.squeeze_bias = p.squeeze_bias.as<float>(), p.args.excite_bias = p.excite_bias.as<float>();
  return p;
}

std::string describe(const ChannelGateArgs& a, bool biases) {
  return format("%s %d images of %d x %d by %d, activations %d %d%s", name(a.type), a.images, a.pixels, a.channels, a.squeezed,
                static_cast<int>(a.inner), static_cast<int>(a.outer), biases ? "" : ", no biases");
}

void run_case(const ChannelGateArgs& a, bool biases, const DeviceTraits& device) {
  const std::string line = describe(a, biases);
  if (left_out(line, double(a.images) * a.pixels * a.channels)) return;
  Problem p = problem_of(a, biases);
  if (const char* why = channel_gate_refusal(p.args, device)) {
    std::printf("FAILED: %s: %s\n", line.c_str(), why);
    ++checks, ++failures;
    return;
  }
  const int64_t n = int64_t{a.images} * a.pixels * a.channels;
  Buffer means(int64_t{a.images} * a.channels * 4), inner(int64_t{a.images} * a.squeezed * 4), want(n * 4);
  mean_kernel<<<(a.images * a.channels + 127) / 128, 128>>>(p.args, means.as<float>());
  squeeze_kernel<<<(a.images * a.squeezed + 127) / 128, 128>>>(p.args, means.as<float>(), inner.as<float>());
  scale_kernel<<<static_cast<unsigned>((n + 255) / 256), 256>>>(p.args, inner.as<float>(), want.as<float>(), n);
  MUST(cudaGetLastError());
  p.y.poison();
  MUST(channel_gate(p.args, device, nullptr));
  MUST(cudaDeviceSynchronize());
  check(relative_error(p.y, a.type, want, n), tolerance(a.type), line);
}

void run(bool bench) {
  const DeviceTraits device = device_traits();
  if (device.capability < 90) {
    std::printf("channel_gate: refused, the device has no clusters\n");
    return;
  }
  ChannelGateArgs a;
  // EfficientNet's, MobileNet's and RegNet's.
  const int shapes[][3] = {{12544, 32, 8}, {3136, 96, 4},  {3136, 144, 6}, {784, 144, 6},  {784, 240, 10}, {196, 240, 10},
                           {196, 480, 20}, {196, 672, 28}, {49, 672, 28},  {49, 1152, 48}, {784, 72, 24},  {784, 120, 32},
                           {49, 960, 240}, {3136, 48, 8},  {784, 104, 12}, {196, 208, 26}, {49, 440, 52},  {49, 440, 110}};
  for (const auto& [pixels, channels, squeezed] : shapes)
    for (const int images : {1, 3, 32}) {
      a.images = images, a.pixels = pixels, a.channels = channels, a.squeezed = squeezed;
      a.inner = GateActivation::kSilu, a.outer = GateActivation::kSigmoid;
      run_case(a, true, device);
    }
  std::mt19937 random_of(3);
  const auto pick = [&](int low, int high) { return low + static_cast<int>(random_of() % (high - low + 1)); };
  for (int i = 0; i < 80; ++i) {
    a.type = i % 3 ? Scalar::kFloat16 : Scalar::kBFloat16;
    a.images = pick(1, i % 8 ? 5 : 70), a.pixels = i % 5 ? pick(1, 300) : pick(1, 20), a.channels = 8 * pick(1, i % 4 ? 20 : 260),
    a.squeezed = pick(1, i % 7 ? 60 : 512);
    a.inner = static_cast<GateActivation>(pick(0, 4)), a.outer = static_cast<GateActivation>(pick(0, 5));
    a.slope = 1.f / 6, a.offset = 0.5f;
    if (channel_gate_refusal(a, device)) continue;  // too many channels for a block
    run_case(a, pick(0, 3) > 0, device);
  }
  if (!bench) return;
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  a = {};
  a.inner = GateActivation::kSilu;
  for (const auto& [pixels, channels, squeezed] : shapes)
    for (const int images : {1, 8, 32}) {
      a.images = images, a.pixels = pixels, a.channels = channels, a.squeezed = squeezed;
      Problem p = problem_of(a, true);
      const double us = time_us(stream, 20, [&](int) { return channel_gate(p.args, device, stream); });
      std::printf("%s: %.2f us\n", describe(a, true).c_str(), us);
    }
  cudaStreamDestroy(stream);
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) { return cameo::cuda_test::test_main(argc, argv, "channel_gate", cameo::cuda_test::run); }
