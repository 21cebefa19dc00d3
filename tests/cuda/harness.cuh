// What the tests of CUDA kernels share: buffers, random data, comparison, timing. A test runs its checks; with --bench it also
// prints timings (over operands that rotate, so that the L2 cache holds none of them), with --only-bench nothing else. For the slow runs
// under compute-sanitizer: --only=REGEX takes the cases whose description it finds (POSIX, extended), --most=N those of at most N million
// multiplications, --every=N each N-th of them, and after --seconds=N no further case begins. Without a GPU it exits with 77: skipped.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <regex.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "backends/cuda/kernels/kernel.h"

namespace cameo::cuda_test {

using cuda::Scalar;

inline int failures = 0, checks = 0;
inline int every = 1;
inline double most = INFINITY, seconds = INFINITY;
inline bool only_bench = false, out_of_time = false;
inline const char* only = nullptr;

// Whether --only names what is described so (what has no description it always does), and there is time left.
inline bool selected(const std::string& line) {
  static const auto start = std::chrono::steady_clock::now();
  static regex_t pattern;
  static const bool has_pattern = only && regcomp(&pattern, only, REG_EXTENDED | REG_NOSUB) == 0;
  if (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() > seconds) out_of_time = true;
  return !out_of_time && (!has_pattern || line.empty() || regexec(&pattern, line.c_str(), 0, nullptr, 0) == 0);
}
// Whether the command line leaves out the case that begins here, of so many multiplications.
inline bool left_out(const std::string& line = "", double multiplications = 0) {
  static int cases = 0;
  return only_bench || multiplications > most * 1e6 || !selected(line) || cases++ % every != 0;
}

inline void must(cudaError_t e, const char* what) {
  if (e == cudaSuccess) return;
  std::printf("FAILED: %s: %s\n", what, cudaGetErrorString(e));
  std::exit(1);
}
#define MUST(call) ::cameo::cuda_test::must(call, #call)

inline std::string format(const char* f, ...) {
  char text[512];
  va_list list;
  va_start(list, f);
  std::vsnprintf(text, sizeof text, f, list);
  va_end(list);
  return text;
}

class Buffer {
 public:
  explicit Buffer(size_t bytes = 0) : bytes_(bytes) {
    if (bytes) MUST(cudaMalloc(&data_, bytes));
  }
  Buffer(Buffer&& o) noexcept : data_(o.data_), bytes_(o.bytes_) { o.data_ = nullptr; }
  Buffer& operator=(Buffer&& o) noexcept {
    std::swap(data_, o.data_), std::swap(bytes_, o.bytes_);
    return *this;
  }
  ~Buffer() { cudaFree(data_); }
  template <typename T = void>
  T* as() const {
    return static_cast<T*>(data_);
  }
  size_t bytes() const { return bytes_; }
  void poison() { MUST(cudaMemset(data_, 0xff, bytes_)); }
  void zero() { MUST(cudaMemset(data_, 0, bytes_)); }
  template <typename T>
  static Buffer of(const std::vector<T>& v) {
    Buffer b(v.size() * sizeof(T));
    MUST(cudaMemcpy(b.data_, v.data(), b.bytes_, cudaMemcpyHostToDevice));
    return b;
  }
  template <typename T>
  void copy_from(const std::vector<T>& v) {
    MUST(cudaMemcpy(data_, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  template <typename T>
  std::vector<T> host() const {
    std::vector<T> v(bytes_ / sizeof(T));
    MUST(cudaMemcpy(v.data(), data_, v.size() * sizeof(T), cudaMemcpyDeviceToHost));
    return v;
  }

 private:
  void* data_ = nullptr;
  size_t bytes_;
};

__device__ inline float load(const void* p, Scalar type, int64_t i) {
  if (type == Scalar::kFloat16) return __half2float(static_cast<const __half*>(p)[i]);
  if (type == Scalar::kBFloat16) return __bfloat162float(static_cast<const __nv_bfloat16*>(p)[i]);
  return static_cast<const float*>(p)[i];
}
__device__ inline void store(void* p, Scalar type, int64_t i, float x) {
  if (type == Scalar::kFloat16)
    static_cast<__half*>(p)[i] = __float2half_rn(x);
  else if (type == Scalar::kBFloat16)
    static_cast<__nv_bfloat16*>(p)[i] = __float2bfloat16_rn(x);
  else
    static_cast<float*>(p)[i] = x;
}

__device__ inline uint32_t hash(uint64_t x) {
  x ^= x >> 33, x *= 0xff51afd7ed558ccdull, x ^= x >> 33, x *= 0xc4ceb9fe1a85ec53ull, x ^= x >> 33;
  return static_cast<uint32_t>(x);
}
static __global__ void fill_kernel(void* p, Scalar type, int64_t n, float mean, float deviation, uint64_t seed) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n; i += int64_t{gridDim.x} * blockDim.x) {
    float sum = -2.f;  // four uniforms: near enough to a normal distribution
    for (int j = 0; j < 4; ++j) sum += hash(seed * 0x9e3779b97f4a7c15ull + i * 4 + j) * 0x1p-32f;
    store(p, type, i, mean + deviation * 1.732f * sum);
  }
}
inline uint64_t next_seed() {
  static uint64_t seed = 1;
  return seed++;
}
inline Buffer random(Scalar type, int64_t n, float deviation = 1.f, float mean = 0.f) {
  Buffer b(std::max<int64_t>(n, 1) * cuda::bytes_of(type));
  fill_kernel<<<1024, 256>>>(b.as(), type, n, mean, deviation, next_seed());
  MUST(cudaGetLastError());
  return b;
}
static __global__ void bytes_kernel(uint8_t* p, int64_t n, uint64_t seed) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n; i += int64_t{gridDim.x} * blockDim.x) p[i] = hash(seed * 77 + i);
}
inline Buffer random_bytes(int64_t n) {
  Buffer b(n);
  bytes_kernel<<<1024, 256>>>(b.as<uint8_t>(), n, next_seed());
  MUST(cudaGetLastError());
  return b;
}

struct Difference {
  double error = 0, size = 0;  // sums of squares
  unsigned long long bad = 0;  // NaN on one side only
};
static __global__ void compare_kernel(const void* x, Scalar type, const float* reference, int64_t n, Difference* d) {
  double error = 0, size = 0;
  unsigned long long bad = 0;
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n; i += int64_t{gridDim.x} * blockDim.x) {
    const float a = load(x, type, i), r = reference[i];
    if (isfinite(a) && isfinite(r))
      error += (double(a) - r) * (double(a) - r), size += double(r) * r;
    else if (!(a == r) && !(isnan(a) && isnan(r)))
      ++bad;
  }
  atomicAdd(&d->error, error), atomicAdd(&d->size, size), atomicAdd(&d->bad, bad);
}
// Relative error ||x - reference|| / ||reference||.
inline double relative_error(const Buffer& x, Scalar type, const Buffer& reference, int64_t n) {
  Buffer d = Buffer::of(std::vector<Difference>(1));
  compare_kernel<<<256, 256>>>(x.as(), type, reference.as<float>(), n, d.as<Difference>());
  MUST(cudaDeviceSynchronize());
  const Difference r = d.host<Difference>()[0];
  if (r.bad) return INFINITY;
  return r.size > 0 ? std::sqrt(r.error / r.size) : std::sqrt(r.error);
}
inline double tolerance(Scalar type) { return type == Scalar::kFloat32 ? 5e-5 : type == Scalar::kFloat16 ? 2e-3 : 1.2e-2; }
inline const char* name(Scalar type) { return type == Scalar::kFloat32 ? "f32" : type == Scalar::kFloat16 ? "f16" : "bf16"; }

inline void check(double error, double limit, const std::string& line) {
  ++checks;
  if (error <= limit) return;
  ++failures;
  std::printf("FAILED: %s: relative error %.3g, limit %.3g\n", line.c_str(), error, limit);
}

// Median of 11 runs of `repeat` calls each, in microseconds a call; f(i) launches the i-th call on `stream`. As a graph, so that
// launches cost what they cost in an engine.
template <typename F>
double time_us(cudaStream_t stream, int repeat, F&& f) {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < repeat; ++i) MUST(f(i));
  MUST(cudaStreamEndCapture(stream, &graph));
  MUST(cudaGraphInstantiate(&exec, graph, 0));
  cudaEvent_t from, to;
  MUST(cudaEventCreate(&from));
  MUST(cudaEventCreate(&to));
  std::vector<double> times;
  for (int i = 0; i < 13; ++i) {
    MUST(cudaEventRecord(from, stream));
    MUST(cudaGraphLaunch(exec, stream));
    MUST(cudaEventRecord(to, stream));
    MUST(cudaEventSynchronize(to));
    float ms = 0;
    MUST(cudaEventElapsedTime(&ms, from, to));
    if (i >= 2) times.push_back(ms * 1000. / repeat);
  }
  std::sort(times.begin(), times.end());
  cudaEventDestroy(from), cudaEventDestroy(to), cudaGraphExecDestroy(exec), cudaGraphDestroy(graph);
  return times[times.size() / 2];
}

// main() of a test: run(bench) does the work.
template <typename F>
int test_main(int argc, char** argv, const char* what, F&& run) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::printf("%s: skipped, there is no GPU\n", what);
    return 77;
  }
  bool bench = false;
  for (int i = 1; i < argc; ++i) {
    bench |= !std::strcmp(argv[i], "--bench");
    if (!std::strcmp(argv[i], "--only-bench")) bench = only_bench = true;
    if (!std::strncmp(argv[i], "--every=", 8)) every = std::max(1, std::atoi(argv[i] + 8));
    if (!std::strncmp(argv[i], "--most=", 7)) most = std::atof(argv[i] + 7);
    if (!std::strncmp(argv[i], "--seconds=", 10)) seconds = std::atof(argv[i] + 10);
    if (!std::strncmp(argv[i], "--only=", 7)) only = argv[i] + 7;
  }
  selected("");  // the time begins
  run(bench);
  MUST(cudaDeviceSynchronize());
  std::printf("%s: %d checks, %d failed%s\n", what, checks, failures, out_of_time ? ", not all cases: the time was up" : "");
  return failures ? 1 : 0;
}

// How many of n codes (E4M3) are farther from the numbers times a factor than rounding, and 16 bits before it, may take them: by 7 % and
// `slack`.
inline int wrong_codes(const Buffer& codes, const Buffer& expected, int64_t n, float factor, float slack = 0.02f) {
  const std::vector<uint8_t> got = codes.host<uint8_t>();
  const std::vector<float> want = expected.host<float>();
  int wrong = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int bits = got[i] & 0x7f, exponent = bits >> 3;
    const float size = exponent ? std::ldexp(1.f + (bits & 7) / 8.f, exponent - 7) : std::ldexp((bits & 7) / 8.f, -6);
    const float v = got[i] & 0x80 ? -size : size, w = std::fmin(std::fmax(want[i] * factor, -448.f), 448.f);
    wrong += bits == 0x7f || !(std::fabs(v - w) <= 0.07f * std::fabs(w) + slack);
  }
  return wrong;
}

}  // namespace cameo::cuda_test
