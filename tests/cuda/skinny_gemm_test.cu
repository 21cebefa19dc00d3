// Skinny products against a plain kernel, over random shapes, formats, norms and epilogues.
#include "backends/cuda/kernels/skinny_gemm.h"

#include "harness.cuh"

namespace cameo::cuda_test {
namespace {

using namespace cameo::cuda;

__global__ void plain_norm(SkinnyGemmArgs a, float* x) {  // one thread a row
  const int m = blockIdx.x;
  double sum = 0, squares = 0;
  for (int k = 0; k < a.k; ++k) sum += load(a.x, a.type, m * a.x_stride + k);
  const double mean = a.norm == NormKind::kLayer ? sum / a.k : 0;
  for (int k = 0; k < a.k; ++k) {
    const double d = load(a.x, a.type, m * a.x_stride + k) - mean;
    squares += d * d;
  }
  const double inverse = 1 / sqrt(squares / a.k + a.epsilon);
  for (int k = 0; k < a.k; ++k) {
    double v = load(a.x, a.type, m * a.x_stride + k);
    if (a.norm != NormKind::kNone) {
      v = (v - mean) * inverse * load(a.norm_weight, a.type, k);
      if (a.norm_bias) v += load(a.norm_bias, a.type, k);
    }
    x[m * int64_t{a.k} + k] = v;
  }
}
__device__ double plain_row(const SkinnyGemmArgs& a, const float* x, int m, int n) {
  double sum = 0;
  for (int k = 0; k < a.k; ++k) {
    double w;
    if (a.format == WeightFormat::kPlain) {
      w = load(a.w, a.type, n * int64_t{a.k} + k);
    } else {
      const int groups = a.k / a.group, group = k / a.group;
      const double scale = load(a.scales, a.type, int64_t{n} * groups + group);
      if (a.format == WeightFormat::kInt8) {
        w = scale * static_cast<const int8_t*>(a.w)[n * int64_t{a.k} + k];
      } else {
        const int byte = static_cast<const uint8_t*>(a.w)[(n * int64_t{a.k} + k) / 2];
        const int zero = a.zeros ? (a.zeros[int64_t{n} * ((groups + 1) / 2) + group / 2] >> (group % 2 * 4)) & 15 : 8;
        w = scale * (((byte >> (k % 2 * 4)) & 15) - zero);
      }
    }
    sum += w * x[m * int64_t{a.k} + k];
  }
  return sum + (a.bias ? load(a.bias, a.type, n) : 0.f);
}
__global__ void plain_gemm(SkinnyGemmArgs a, const float* x, float* y, int columns) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= int64_t{a.m} * columns) return;
  const int m = i / columns, n = i % columns;
  const bool glu = a.activation == Activation::kSwiGlu;
  double v = plain_row(a, x, m, glu ? n / 8 * 16 + n % 8 : n);
  switch (a.activation) {
    case Activation::kRelu:
      v = fmax(v, 0.);
      break;
    case Activation::kGelu:
      v = 0.5 * v * (1 + erf(v / sqrt(2.)));
      break;
    case Activation::kGeluTanh:
      v = 0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
      break;
    case Activation::kSilu:
      v = v / (1 + exp(-v));
      break;
    case Activation::kSwiGlu:
      v = v / (1 + exp(-v)) * plain_row(a, x, m, n / 8 * 16 + 8 + n % 8);
      break;
    default:
      break;
  }
  if (a.residual) v += load(a.residual, a.type, m * a.residual_stride + n);
  y[i] = v;
}

struct Case {
  Scalar type;
  WeightFormat format;
  int m, n, k, group;
  bool zeros, bias, residual;
  Activation activation;
  NormKind norm;
  bool dependent;
  int columns() const { return activation == Activation::kSwiGlu ? n / 2 : n; }
};
std::string line(const Case& c) {
  return format("%s format %d m %d n %d k %d group %d zeros %d bias %d residual %d act %d norm %d pdl %d", name(c.type), int(c.format), c.m,
                c.n, c.k, c.group, c.zeros, c.bias, c.residual, int(c.activation), int(c.norm), c.dependent);
}

struct Operands {
  Buffer x, w, scales, zeros, bias, residual, y, norm_weight, norm_bias, normalised;
  SkinnyGemmArgs args;
  explicit Operands(const Case& c) {
    SkinnyGemmArgs& a = args;
    a.type = c.type, a.format = c.format, a.m = c.m, a.n = c.n, a.k = c.k, a.group = c.group, a.activation = c.activation, a.norm = c.norm;
    a.dependent = c.dependent;
    a.y_float32 = (c.n / 8 + c.m) % 3 == 0;
    a.x_stride = c.k + 32, a.y_stride = c.columns() + 5, a.residual_stride = c.columns() + 3;
    x = random(c.type, c.m * a.x_stride, 1.f, 0.3f);
    const float spread = 1.f / std::sqrt(float(c.k));
    if (c.format == WeightFormat::kPlain) {
      w = random(c.type, int64_t{c.n} * c.k, spread);
    } else {
      w = random_bytes(int64_t{c.n} * c.k / (c.format == WeightFormat::kInt4 ? 2 : 1));
      const int groups = c.k / c.group;
      const float size = c.format == WeightFormat::kInt4 ? spread / 5 : spread / 70;
      scales = random(c.type, int64_t{c.n} * groups, size / 4, size);
      a.scales = scales.as();
      if (c.zeros) zeros = random_bytes(int64_t{c.n} * ((groups + 1) / 2)), a.zeros = zeros.as<uint8_t>();
    }
    y = Buffer(c.m * a.y_stride * bytes_of(a.y_float32 ? Scalar::kFloat32 : c.type));
    y.poison();
    a.x = x.as(), a.w = w.as(), a.y = y.as();
    if (c.bias) bias = random(c.type, c.n), a.bias = bias.as();
    if (c.residual) residual = random(c.type, c.m * a.residual_stride), a.residual = residual.as();
    if (c.norm != NormKind::kNone) {
      norm_weight = random(c.type, c.k, 0.3f, 1.f), norm_bias = random(c.type, c.k, 0.3f);
      a.norm_weight = norm_weight.as();
      if (c.norm == NormKind::kLayer) a.norm_bias = norm_bias.as();
      if (c.type != Scalar::kFloat32 && c.bias) {
        normalised = Buffer(int64_t{c.m} * c.k * 2);
        normalised.poison();
        a.normalised = normalised.as();
      }
    }
  }
};

__global__ void gather_rows(const void* y, Scalar type, int64_t stride, int columns, int64_t n, float* out) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i < n) out[i] = load(y, type, i / columns * stride + i % columns);
}

void run_case(const Case& c, const DeviceTraits& device) {
  if (left_out(line(c), double(c.m) * c.n * c.k)) return;
  Operands o(c);
  if (const char* why = skinny_gemm_refusal(o.args, device)) {
    const bool expected = std::string(why).find("does not fit") != std::string::npos;
    check(expected ? 0 : 1, 0, line(c) + ": refused: " + why);
    return;
  }
  const int64_t n = int64_t{c.m} * c.columns();
  Buffer expected(n * 4), x(int64_t{c.m} * c.k * 4), y(n * 4);
  plain_norm<<<c.m, 1>>>(o.args, x.as<float>());
  plain_gemm<<<(n + 127) / 128, 128>>>(o.args, x.as<float>(), expected.as<float>(), c.columns());
  MUST(cudaGetLastError());
  MUST(skinny_gemm(o.args, device, nullptr));
  gather_rows<<<(n + 127) / 128, 128>>>(o.args.y, o.args.y_float32 ? Scalar::kFloat32 : c.type, o.args.y_stride, c.columns(), n,
                                        y.as<float>());
  MUST(cudaGetLastError());
  check(relative_error(y, Scalar::kFloat32, expected, n), tolerance(c.type), line(c));
  if (o.args.normalised)
    check(relative_error(o.normalised, c.type, x, int64_t{c.m} * c.k), tolerance(c.type), line(c) + ": the norm's result");
}

void bench(const DeviceTraits& device) {
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  const auto one = [&](Case c) {
    const double bytes = double(c.n) * c.k *
                         (c.format == WeightFormat::kInt4   ? 0.5
                          : c.format == WeightFormat::kInt8 ? 1
                                                            : bytes_of(c.type));
    if (skinny_gemm_refusal(Operands(c).args, device)) return;
    const int copies = std::max(2, std::min(60, int(250e6 / bytes)));
    std::vector<Operands> o;
    for (int i = 0; i < copies; ++i) o.emplace_back(c);
    const double us = time_us(stream, 2 * copies, [&](int i) { return skinny_gemm(o[i % copies].args, device, stream); });
    std::printf("%-4s w%-2d m %2d n %5d k %5d norm %d %s %8.2f us %6.0f GB/s\n", name(c.type),
                c.format == WeightFormat::kInt4   ? 4
                : c.format == WeightFormat::kInt8 ? 8
                                                  : int(bytes_of(c.type)) * 8,
                c.m, c.n, c.k, int(c.norm), c.dependent ? "pdl" : "   ", us, bytes / us * 1e-3);
  };
  const Case base{Scalar::kFloat16, WeightFormat::kPlain, 1, 768, 768, 0, false, true, false, Activation::kNone, NormKind::kNone, true};
  for (int m : {1, 8, 16, 64}) {
    Case c = base;
    c.m = m, c.n = 2304, c.norm = NormKind::kLayer, one(c);
    c = base, c.m = m, c.residual = true, one(c);
    c = base, c.m = m, c.n = 3072, c.norm = NormKind::kLayer, c.activation = Activation::kGeluTanh, one(c);
    c = base, c.m = m, c.k = 3072, c.residual = true, one(c);
    c = base, c.m = m, c.n = 50257, c.norm = NormKind::kLayer, one(c);
    c = base, c.m = m, c.n = c.k = 4096, one(c);
    c.n = 14336, one(c), c.n = 4096, c.k = 14336, one(c);
  }
  for (int m : {1, 16}) {
    Case c = base;
    c.m = m, c.n = c.k = 8192, c.group = 128, one(c), c.format = WeightFormat::kInt8, one(c), c.format = WeightFormat::kInt4, one(c);
    c.n = 50257, c.k = 768, c.format = WeightFormat::kInt8, one(c), c.format = WeightFormat::kInt4, one(c);
  }
  Case c = base;
  c.type = Scalar::kFloat32, c.n = c.k = 4096, one(c), c.m = 8, one(c);
}

void run(bool timed) {
  const DeviceTraits device = device_traits();
  std::mt19937 rng(11);
  const auto pick = [&](std::initializer_list<int> l) { return l.begin()[rng() % l.size()]; };
  for (int i = 0; i < 500; ++i) {
    Case c{};
    c.type = static_cast<Scalar>(pick({0, 1, 1, 2}));
    c.format = c.type == Scalar::kFloat32 ? WeightFormat::kPlain : static_cast<WeightFormat>(pick({0, 0, 1, 2}));
    c.m = c.type == Scalar::kFloat32 ? pick({1, 2, 4, 5, 8, 13, 16}) : pick({1, 1, 2, 3, 4, 8, 9, 16, 17, 32, 64, 61});
    c.n = pick({1, 7, 16, 24, 100, 256, 768, 1000, 2304, 3072, 9000, 34000});
    const int step = c.type == Scalar::kFloat32 ? 4 : c.format == WeightFormat::kPlain ? 32 : c.format == WeightFormat::kInt8 ? 64 : 128;
    c.k = step * pick({1, 2, 3, 5, 6, 9, 12, 18, 24, 33});
    if (pick({0, 0, 0, 1})) c.k = pick({768, 2048, 3072, 4096});
    if (c.n > 10000) c.k = std::min(c.k, 1024);
    c.group = c.k;
    if (c.format != WeightFormat::kPlain && pick({0, 1, 1}))
      for (int g : {128, 64, 32})
        if (c.k % g == 0 && pick({0, 1})) c.group = g;
    if (c.format == WeightFormat::kInt4 && c.group % 32) c.group = 32;
    c.zeros = pick({0, 1}), c.bias = pick({0, 1}), c.residual = pick({0, 1}), c.dependent = pick({0, 1});
    c.activation = static_cast<Activation>(pick({0, 0, 1, 2, 3, 4, 5}));
    if (c.activation == Activation::kSwiGlu) c.n = (c.n + 15) / 16 * 16;
    c.norm = static_cast<NormKind>(pick({0, 0, 1, 2}));
    run_case(c, device);
  }
  if (timed) bench(device);
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) { return cameo::cuda_test::test_main(argc, argv, "cuda skinny_gemm", cameo::cuda_test::run); }
