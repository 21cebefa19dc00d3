// Norms, embeddings and softmax against plain kernels, over random shapes.
#include "backends/cuda/kernels/norm.h"

#include "harness.cuh"

namespace cameo::cuda_test {
namespace {

using namespace cameo::cuda;

__global__ void plain_norm(NormArgs a, float* h, float* y) {
  const int64_t r = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (r >= a.rows) return;
  const auto from = [&](const void* table, int64_t rows, int64_t i, int c) {
    return table && i >= 0 && i < rows ? load(table, a.type, i * a.size + c) : 0.f;
  };
  double sum = 0, squares = 0;
  for (int c = 0; c < a.size; ++c) {
    double v = a.ids ? double(from(a.table, a.vocabulary, a.ids[r], c)) +
                           from(a.position_table, a.position_rows, a.positions ? a.positions[r] : r % a.period + a.position_offset, c) +
                           from(a.type_table, a.type_rows, a.types ? a.types[r] : 0, c)
                     : load(a.x, a.type, r * a.size + c);
    if (a.x_bias) v += load(a.x_bias, a.type, c);
    if (a.residual) v += load(a.residual, a.type, r * a.size + c);
    h[r * a.size + c] = v;
    sum += v;
  }
  const double mean = a.kind == NormKind::kLayer ? sum / a.size : 0;
  for (int c = 0; c < a.size; ++c) squares += (h[r * a.size + c] - mean) * (h[r * a.size + c] - mean);
  const double inverse = a.kind == NormKind::kNone ? 1 : 1 / sqrt(squares / a.size + a.epsilon);
  for (int c = 0; c < a.size; ++c)
    y[r * a.size + c] =
        (h[r * a.size + c] - mean) * inverse * (a.weight ? load(a.weight, a.type, c) : 1.f) + (a.bias ? load(a.bias, a.type, c) : 0.f);
}
__global__ void plain_softmax(SoftmaxArgs a, float* y) {
  const int64_t r = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (r >= a.rows) return;
  double largest = -INFINITY, sum = 0;
  for (int c = 0; c < a.size; ++c) largest = fmax(largest, double(load(a.x, a.type, r * a.size + c)) * a.scale);
  for (int c = 0; c < a.size; ++c) sum += exp(double(load(a.x, a.type, r * a.size + c)) * a.scale - largest);
  for (int c = 0; c < a.size; ++c) {
    const double v = double(load(a.x, a.type, r * a.size + c)) * a.scale - largest;
    y[r * a.size + c] = a.log ? v - log(sum) : exp(v) / sum;
  }
}

void run(bool timed) {
  const DeviceTraits device = device_traits();
  std::mt19937 rng(3);
  const auto pick = [&](std::initializer_list<int> l) { return l.begin()[rng() % l.size()]; };
  for (int i = 0; i < 200; ++i) {
    NormArgs a;
    a.type = static_cast<Scalar>(pick({0, 1, 2})), a.kind = static_cast<NormKind>(pick({0, 1, 1, 2}));
    a.rows = pick({1, 2, 7, 8, 33, 100}), a.size = pick({1, 3, 8, 64, 100, 256, 576, 768, 1000, 1024, 1025, 2048, 3000, 4096, 16384});
    const bool embed = pick({0, 0, 1});
    if (a.size <= 1024 && pick({0, 1})) a.rows = pick({2500, 5000});
    Buffer x = random(a.type, a.rows * a.size, 1.f, 0.5f), xb = random(a.type, a.size), res = random(a.type, a.rows * a.size),
           w = random(a.type, a.size, 0.3f, 1.f), b = random(a.type, a.size), y = Buffer(a.rows * a.size * bytes_of(a.type)),
           sum = Buffer(y.bytes()), table = random(a.type, 50 * a.size), positions = random(a.type, 40 * a.size),
           types = random(a.type, 2 * a.size);
    std::vector<int64_t> ids(a.rows), kinds(a.rows);
    for (auto& id : ids) id = int(rng() % 52) - 1;
    for (auto& kind : kinds) kind = rng() % 2;
    Buffer id_buffer = Buffer::of(ids), kind_buffer = Buffer::of(kinds);
    y.poison(), sum.poison();
    if (embed) {
      a.ids = id_buffer.as<int64_t>(), a.table = table.as(), a.vocabulary = 50, a.period = 17, a.position_offset = pick({0, 2});
      if (pick({0, 1})) a.position_table = positions.as(), a.position_rows = 40;
      if (pick({0, 1})) a.type_table = types.as(), a.type_rows = 2, a.types = pick({0, 1}) ? kind_buffer.as<int64_t>() : nullptr;
    } else {
      a.x = x.as();
      if (pick({0, 1})) a.residual = res.as();
      if (pick({0, 1})) a.x_bias = xb.as();
    }
    if (pick({0, 1})) a.sum = sum.as();
    if (pick({0, 1, 1})) a.weight = w.as();
    if (pick({0, 1})) a.bias = b.as();
    a.y = y.as();
    Buffer codes(a.rows * a.size);
    codes.poison();
    if (device.capability >= 89 && pick({0, 1})) a.rounded = codes.as(), a.rounded_factor = 16;
    const std::string line = format("norm %d %s rows %d size %d embed %d residual %d sum %d", int(a.kind), name(a.type), int(a.rows),
                                    a.size, embed, !!a.residual, !!a.sum);
    const int64_t n = a.rows * a.size;
    if (left_out(line, n)) continue;
    Buffer h(n * 4), expected(n * 4);
    plain_norm<<<(a.rows + 31) / 32, 32>>>(a, h.as<float>(), expected.as<float>());
    const char* why = norm_refusal(a, device);
    check(why ? 1 : 0, 0, line + (why ? why : ""));
    MUST(norm(a, device, nullptr));
    // Rows of one number: nothing is left of it.
    if (a.size > 1 || a.kind != NormKind::kLayer) check(relative_error(y, a.type, expected, n), 2 * tolerance(a.type), line);
    if (a.sum) check(relative_error(sum, a.type, h, n), tolerance(a.type), line + ": sum");
    if (a.rounded && (a.size > 1 || a.kind != NormKind::kLayer))
      check(wrong_codes(codes, expected, n, a.rounded_factor), 0, line + ": codes");
  }
  for (int i = 0; i < 60; ++i) {
    SoftmaxArgs a;
    a.type = static_cast<Scalar>(pick({0, 1, 2})), a.rows = pick({1, 5, 8, 64}),
    a.size = pick({1, 2, 31, 33, 128, 1000, 1024, 1025, 5000, 50257}), a.log = pick({0, 1});
    a.scale = pick({1, 2}) * 0.7f;
    const int64_t n = a.rows * a.size;
    const std::string line = format("softmax %s rows %d size %d log %d", name(a.type), int(a.rows), a.size, a.log);
    if (left_out(line, n)) continue;
    Buffer x = random(a.type, n, 3.f), y(n * bytes_of(a.type)), expected(n * 4);
    y.poison();
    a.x = x.as(), a.y = y.as();
    plain_softmax<<<(a.rows + 31) / 32, 32>>>(a, expected.as<float>());
    MUST(softmax(a, device, nullptr));
    check(relative_error(y, a.type, expected, n), tolerance(a.type), line);
  }
  if (!timed) return;
  cudaStream_t stream;
  MUST(cudaStreamCreate(&stream));
  for (const int64_t rows : {512, 2112, 4096, 16384})
    for (const int size : {768, 4096}) {
      Buffer x = random(Scalar::kFloat16, rows * size), r = random(Scalar::kFloat16, rows * size), y(rows * size * 2), s(rows * size * 2),
             w = random(Scalar::kFloat16, size), codes(rows * size);
      NormArgs a;
      a.rows = rows, a.size = size, a.x = x.as(), a.y = y.as(), a.weight = w.as(), a.bias = w.as(), a.constant = true;
      const auto time = [&] { return time_us(stream, 10, [&](int) { return norm(a, device, stream); }); };
      const double alone = time();
      a.rounded = codes.as();
      const double rounds = time();
      a.rounded = nullptr, a.residual = r.as(), a.sum = s.as();
      const double sums = time();
      std::printf("LayerNorm f16 %lld x %d: %.1f us, rounds too %.1f us, after an addition %.1f us, %.0f GB/s\n", (long long)rows, size,
                  alone, rounds, sums, rows * size * 8. / sums * 1e-3);
    }
}

}  // namespace
}  // namespace cameo::cuda_test

int main(int argc, char** argv) { return cameo::cuda_test::test_main(argc, argv, "cuda norm", cameo::cuda_test::run); }
