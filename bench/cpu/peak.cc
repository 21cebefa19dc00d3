// What the machine can do at most, to hold other figures against: bench_peak [--threads=N]
//   multiply-adds of float32 that need no memory, GFLOP/s; reading of 400 MB, GB/s. The best of 15 rounds, for one thread and N.
#include <fmt/core.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/thread_pool.h"

namespace cameo {
namespace {

// One of the sums of a task, kept so that the compiler cannot leave the work out.
volatile float sink;

#if defined(__x86_64__)
// Enough chains to hide the latency of a multiply-add.
constexpr int kChains = 16;

__attribute__((target("avx512f"))) void multiply_512(int64_t rounds) {
  __m512 sums[kChains];
  const __m512 x = _mm512_set1_ps(1.0f), y = _mm512_set1_ps(0.5f);
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_fmadd_ps(x, sums[i], y);
  }
  __m512 all = sums[0];
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) all = _mm512_add_ps(all, sums[i]);
  sink = all[0];
}

__attribute__((target("avx2,fma"))) void multiply_256(int64_t rounds) {
  constexpr int kHalf = 12;  // of 16 registers
  __m256 sums[kHalf];
  const __m256 x = _mm256_set1_ps(1.0f), y = _mm256_set1_ps(0.5f);
#pragma GCC unroll 16
  for (int i = 0; i < kHalf; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 16
    for (int i = 0; i < kHalf; ++i) sums[i] = _mm256_fmadd_ps(x, sums[i], y);
  }
  __m256 all = sums[0];
#pragma GCC unroll 16
  for (int i = 1; i < kHalf; ++i) all = _mm256_add_ps(all, sums[i]);
  sink = all[0];
}

// Runs `rounds` rounds and gives the floating-point operations in them.
double multiply(int64_t rounds) {
  if (__builtin_cpu_supports("avx512f")) {
    multiply_512(rounds);
    return static_cast<double>(rounds) * kChains * 16 * 2;
  }
  multiply_256(rounds);
  return static_cast<double>(rounds) * 12 * 8 * 2;
}
#endif

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void read(const float* data, int64_t begin, int64_t end) {
  constexpr int64_t kLanes = 64, kLine = 16, kAhead = 1024;  // a page ahead: more than processors do by themselves
  float sums[kLanes] = {};
  for (int64_t i = begin; i + kLanes <= end; i += kLanes) {
    for (int64_t k = 0; k < kLanes; k += kLine) __builtin_prefetch(data + i + k + kAhead);
    for (int64_t k = 0; k < kLanes; ++k) sums[k] += data[i + k];
  }
  float all = 0;
  for (float s : sums) all += s;
  sink = all;
}

int run(int threads) {
  constexpr size_t kLine = 64;
  std::vector<float> memory((size_t{100} << 20) + kLine / sizeof(float), 1.f);
  const float* data = memory.data() + (-reinterpret_cast<uintptr_t>(memory.data()) % kLine) / sizeof(float);
  for (const int count : {1, threads}) {
    ThreadPool pool(count);
    double flops = 0, bytes = 0;
    for (int round = 0; round < 15; ++round) {
      auto start = std::chrono::steady_clock::now();
#if defined(__x86_64__)
      constexpr int64_t kRounds = 2'000'000;
      double done = 0;
      pool.parallel_for(count, [&](int64_t task, int) {
        const double operations = multiply(kRounds);
        if (task == 0) done = operations * count;
      });
      flops = std::max(flops, done / seconds_since(start));
#endif
      start = std::chrono::steady_clock::now();
      constexpr int64_t n = int64_t{100} << 20;
      constexpr int64_t kPieces = 64;
      pool.parallel_for(kPieces, [&](int64_t task, int) { read(data, n * task / kPieces, n * (task + 1) / kPieces); });
      bytes = std::max(bytes, static_cast<double>(n) * sizeof(float) / seconds_since(start));
    }
    fmt::print("threads {}: {:.0f} GFLOP/s float32 multiply-add, {:.1f} GB/s read\n", count, flops / 1e9, bytes / 1e9);
    if (threads == 1) break;
  }
  return 0;
}

}  // namespace
}  // namespace cameo

int main(int argc, char** argv) {
  int threads = 0;
  for (int i = 1; i < argc; ++i)
    if (std::string(argv[i]).starts_with("--threads=")) threads = std::atoi(argv[i] + 10);
  return cameo::run(threads > 0 ? threads : cameo::ThreadPool().size());
}
