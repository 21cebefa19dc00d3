// LayerNorm, RMS norm and softmax over rows: bound by memory, each number is read once and written once.
//
// Variants of the norms, both with the residual, the biases and the embedding before them:
//   warp   rows of up to 1024 numbers whose length is a multiple of 16 bytes: a warp keeps a row in registers.
//   rows   the same for many rows of 16 bits: warps stay, and have their next row on its way while they finish one.
//   block  any row of up to 16384: a block keeps it as float32 in shared memory.
// Variants of softmax:
//   warp   rows of up to 1024 in the registers of a warp.
//   block  longer rows: largest and sum in one pass that corrects itself, a second pass writes.
#include "backends/cuda/kernels/norm.h"

#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/float8.cuh"
#include "backends/cuda/kernels/launch.h"

namespace cameo::cuda {
namespace {

// Rows of the tables that make up row r of an embedding; null: zeros.
template <typename T>
struct EmbeddedRow {
  const T *token, *position, *type;
  __device__ __forceinline__ EmbeddedRow(const NormArgs& a, int64_t r) {
    const auto row = [&](const void* table, int64_t rows, int64_t i) {
      return table && i >= 0 && i < rows ? static_cast<const T*>(table) + i * a.size : nullptr;
    };
    token = row(a.table, a.vocabulary, a.ids[r]);
    position = row(a.position_table, a.position_rows, a.positions ? a.positions[r] : r % a.period + a.position_offset);
    type = row(a.type_table, a.type_rows, a.types ? a.types[r] : 0);
  }
};

template <typename T>
__global__ void __launch_bounds__(256) norm_warp(const __grid_constant__ NormArgs a) {
  constexpr int V = 16 / sizeof(T), P = 1024 / 32 / V;
  launch_dependents();
  const int lane = threadIdx.x & 31;
  const int64_t r = blockIdx.x * int64_t{8} + threadIdx.x / 32;
  const int64_t at = r * a.size;
  const int pieces = a.size / V;
  float h[P][V];
  float sum = 0.f;
  uint4 weights[P], biases[P];
  const auto piece = [](const void* p, int64_t i) { return *reinterpret_cast<const uint4*>(static_cast<const T*>(p) + i); };
  const auto add = [&](float* to, const void* p, int64_t i) {
    float f[V];
    unpack16<T>(piece(p, i), f);
#pragma unroll
    for (int e = 0; e < V; ++e) to[e] += f[e];
  };
  if (!a.constant) wait_for_predecessor();
#pragma unroll
  for (int j = 0; j < P; ++j) {
    const int c = (lane + 32 * j) * V;
    weights[j] = a.weight && lane + 32 * j < pieces ? piece(a.weight, c) : uint4{};
    biases[j] = a.bias && lane + 32 * j < pieces ? piece(a.bias, c) : uint4{};
  }
  wait_for_predecessor();
  if (r >= a.rows) return;
#pragma unroll
  for (int j = 0; j < P; ++j) {
    const int c = (lane + 32 * j) * V;
#pragma unroll
    for (int e = 0; e < V; ++e) h[j][e] = 0.f;
    if (lane + 32 * j >= pieces) continue;
    if (a.ids) {
      const EmbeddedRow<T> row(a, r);
      if (row.token) add(h[j], row.token, c);
      if (row.position) add(h[j], row.position, c);
      if (row.type) add(h[j], row.type, c);
    } else {
      add(h[j], a.x, at + c);
    }
    if (a.x_bias) add(h[j], a.x_bias, c);
    if (a.residual) add(h[j], a.residual, at + c);
    if (a.sum) {
      const uint4 v = pack16<T>(h[j]);
      *reinterpret_cast<uint4*>(static_cast<T*>(a.sum) + at + c) = v;
    }
#pragma unroll
    for (int e = 0; e < V; ++e) sum += h[j][e];
  }
  const float mean = a.kind == NormKind::kLayer ? warp_sum(sum) / a.size : 0.f;
  float squares = 0.f;
#pragma unroll
  for (int j = 0; j < P; ++j)
    if (lane + 32 * j < pieces) {
#pragma unroll
      for (int e = 0; e < V; ++e) squares += (h[j][e] - mean) * (h[j][e] - mean);
    }
  const float inverse = a.kind == NormKind::kNone ? 1.f : 1.f / sqrtf(warp_sum(squares) / a.size + a.epsilon);
#pragma unroll
  for (int j = 0; j < P; ++j) {
    const int c = (lane + 32 * j) * V;
    if (lane + 32 * j >= pieces) continue;
    float w[V];
#pragma unroll
    for (int e = 0; e < V; ++e) h[j][e] = (h[j][e] - mean) * inverse;
    if (a.weight) {
      unpack16<T>(weights[j], w);
#pragma unroll
      for (int e = 0; e < V; ++e) h[j][e] *= w[e];
    }
    unpack16<T>(biases[j], w);
#pragma unroll
    for (int e = 0; e < V; ++e) h[j][e] += w[e];
    *reinterpret_cast<uint4*>(static_cast<T*>(a.y) + at + c) = pack16<T>(h[j]);
    if (a.rounded) {
      auto* to = reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(a.rounded) + at + c);
#pragma unroll
      for (int e = 0; e < V; e += 4)
        to[e / 4] = pack_float8(h[j][e] * a.rounded_factor, h[j][e + 1] * a.rounded_factor) |
                    pack_float8(h[j][e + 2] * a.rounded_factor, h[j][e + 3] * a.rounded_factor) << 16;
    }
  }
}

constexpr int kStayingWarps = 16;  // of a multiprocessor, in norm_rows

// norm_warp without embeddings and a bias of x, for 16 bits. Weights stay in registers where no residual needs them.
template <typename T, bool RESIDUAL>
__global__ void __launch_bounds__(256, kStayingWarps / 8) norm_rows(const __grid_constant__ NormArgs a) {
  constexpr int V = 8, P = 4;
  launch_dependents();
  const int lane = threadIdx.x & 31, pieces = a.size / V;
  const int64_t step = int64_t{gridDim.x} * 8;
  const auto fetch = [&](uint4 (&to)[P], const void* p, int64_t at, bool there) {
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const int i = lane + 32 * j;
      to[j] = there && i < pieces ? *reinterpret_cast<const uint4*>(static_cast<const T*>(p) + at + i * V) : uint4{};
    }
  };
  int64_t r = blockIdx.x * int64_t{8} + threadIdx.x / 32;
  uint4 weights[P], biases[P], x[P], residual[RESIDUAL ? P : 1];
  if (!a.constant) wait_for_predecessor();
  if constexpr (!RESIDUAL) {
    fetch(weights, a.weight, 0, a.weight != nullptr);
    fetch(biases, a.bias, 0, a.bias != nullptr);
  }
  wait_for_predecessor();
  const auto fetch_row = [&](int64_t row) {
    fetch(x, a.x, row * a.size, row < a.rows);
    if constexpr (RESIDUAL) fetch(residual, a.residual, row * a.size, row < a.rows);
  };
  fetch_row(r);
  for (; r < a.rows; r += step) {
    const int64_t at = r * a.size;
    float h[P][V], sum = 0.f, squares = 0.f;
#pragma unroll
    for (int j = 0; j < P; ++j) {
      unpack16<T>(x[j], h[j]);
      if constexpr (RESIDUAL) {
        float f[V];
        unpack16<T>(residual[j], f);
#pragma unroll
        for (int e = 0; e < V; ++e) h[j][e] += f[e];
      }
#pragma unroll
      for (int e = 0; e < V; ++e) sum += h[j][e];
    }
    fetch_row(r + step);
    const float mean = a.kind == NormKind::kLayer ? warp_sum(sum) / a.size : 0.f;
#pragma unroll
    for (int j = 0; j < P; ++j)
      if (lane + 32 * j < pieces) {
        if (a.sum) *reinterpret_cast<uint4*>(static_cast<T*>(a.sum) + at + (lane + 32 * j) * V) = pack16<T>(h[j]);
#pragma unroll
        for (int e = 0; e < V; ++e) h[j][e] -= mean, squares += h[j][e] * h[j][e];
      }
    const float inverse = a.kind == NormKind::kNone ? 1.f : 1.f / sqrtf(warp_sum(squares) / a.size + a.epsilon);
#pragma unroll
    for (int j = 0; j < P; ++j) {
      if (lane + 32 * j >= pieces) continue;
      const int64_t c = at + (lane + 32 * j) * V;
      if constexpr (RESIDUAL) {
        const auto piece = [&](const void* p) {
          return p ? *reinterpret_cast<const uint4*>(static_cast<const T*>(p) + (lane + 32 * j) * V) : uint4{};
        };
        weights[j] = piece(a.weight), biases[j] = piece(a.bias);
      }
      float w[V], b[V];
      unpack16<T>(weights[j], w);
      unpack16<T>(biases[j], b);
#pragma unroll
      for (int e = 0; e < V; ++e) h[j][e] = a.weight ? fmaf(h[j][e] * inverse, w[e], b[e]) : fmaf(h[j][e], inverse, b[e]);
      *reinterpret_cast<uint4*>(static_cast<T*>(a.y) + c) = pack16<T>(h[j]);
      if (!a.rounded) continue;
      uint2 codes;
      const auto four = [&](int e) {
        return pack_float8(h[j][e] * a.rounded_factor, h[j][e + 1] * a.rounded_factor) |
               pack_float8(h[j][e + 2] * a.rounded_factor, h[j][e + 3] * a.rounded_factor) << 16;
      };
      codes.x = four(0), codes.y = four(4);
      *reinterpret_cast<uint2*>(static_cast<uint8_t*>(a.rounded) + c) = codes;
    }
  }
}

__device__ __forceinline__ float block_sum(float x, float* partial) {
  x = warp_sum(x);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0.f;
  for (int w = 0; w < 8; ++w) sum += partial[w];
  return sum;
}

template <typename T>
__global__ void __launch_bounds__(256) norm_block(const __grid_constant__ NormArgs a) {
  extern __shared__ float held_row[];
  __shared__ float partial[2][8];
  launch_dependents();
  wait_for_predecessor();
  const int64_t r = blockIdx.x, at = r * a.size;
  const auto of = [](const void* p, int64_t i) { return to_float(static_cast<const T*>(p)[i]); };
  float sum = 0.f, squares = 0.f;
  for (int i = threadIdx.x; i < a.size; i += 256) {
    float h = 0.f;
    if (a.ids) {
      const EmbeddedRow<T> row(a, r);
      if (row.token) h += of(row.token, i);
      if (row.position) h += of(row.position, i);
      if (row.type) h += of(row.type, i);
    } else {
      h = of(a.x, at + i);
    }
    if (a.x_bias) h += of(a.x_bias, i);
    if (a.residual) h += of(a.residual, at + i);
    if (a.sum) static_cast<T*>(a.sum)[at + i] = from_float<T>(h);
    held_row[i] = h;
    sum += h;
  }
  const float mean = a.kind == NormKind::kLayer ? block_sum(sum, partial[0]) / a.size : 0.f;
  for (int i = threadIdx.x; i < a.size; i += 256) squares += (held_row[i] - mean) * (held_row[i] - mean);
  const float inverse = a.kind == NormKind::kNone ? 1.f : 1.f / sqrtf(block_sum(squares, partial[1]) / a.size + a.epsilon);
  for (int i = threadIdx.x; i < a.size; i += 256) {
    float v = (held_row[i] - mean) * inverse;
    if (a.weight) v *= of(a.weight, i);
    if (a.bias) v += of(a.bias, i);
    static_cast<T*>(a.y)[at + i] = from_float<T>(v);
    if (a.rounded) static_cast<uint8_t*>(a.rounded)[at + i] = static_cast<uint8_t>(pack_float8(v * a.rounded_factor, 0.f));
  }
}

template <typename T>
__global__ void __launch_bounds__(256) softmax_warp(const __grid_constant__ SoftmaxArgs a) {
  const int lane = threadIdx.x & 31;
  const int64_t r = blockIdx.x * int64_t{8} + threadIdx.x / 32;
  if (r >= a.rows) return;
  const T* x = static_cast<const T*>(a.x) + r * a.size;
  float v[32], largest = -INFINITY, sum = 0.f;
#pragma unroll
  for (int j = 0; j < 32; ++j) {
    v[j] = lane + 32 * j < a.size ? to_float(x[lane + 32 * j]) * a.scale : -INFINITY;
    largest = fmaxf(largest, v[j]);
  }
  largest = warp_max(largest);
#pragma unroll
  for (int j = 0; j < 32; ++j) {
    if (lane + 32 * j >= a.size) continue;
    v[j] -= largest;
    const float p = expf(v[j]);
    sum += p;
    if (!a.log) v[j] = p;
  }
  sum = warp_sum(sum);
  const float last = a.log ? logf(sum) : 1.f / sum;
#pragma unroll
  for (int j = 0; j < 32; ++j)
    if (lane + 32 * j < a.size) static_cast<T*>(a.y)[r * a.size + lane + 32 * j] = from_float<T>(a.log ? v[j] - last : v[j] * last);
}

template <typename T>
__global__ void __launch_bounds__(512) softmax_block(const __grid_constant__ SoftmaxArgs a) {
  __shared__ float largest_of[16], sum_of[16];
  const T* x = static_cast<const T*>(a.x) + blockIdx.x * static_cast<int64_t>(a.size);
  T* y = static_cast<T*>(a.y) + blockIdx.x * static_cast<int64_t>(a.size);
  float largest = -INFINITY, sum = 0.f;
  bool not_a_number = false;  // fmaxf drops NaN
  for (int i = threadIdx.x; i < a.size; i += 512) {
    const float v = to_float(x[i]) * a.scale;
    not_a_number |= isnan(v);
    if (v > largest) {
      sum *= expf(largest - v);
      largest = v;
    }
    if (v != -INFINITY) sum += expf(v - largest);
  }
  const float of_warp = warp_max(largest);
  sum = warp_sum(sum == 0.f ? 0.f : sum * expf(largest - of_warp));
  if (threadIdx.x % 32 == 0) largest_of[threadIdx.x / 32] = of_warp, sum_of[threadIdx.x / 32] = sum;
  not_a_number = __syncthreads_or(not_a_number);
  largest = -INFINITY, sum = 0.f;
  for (int w = 0; w < 16; ++w) largest = fmaxf(largest, largest_of[w]);
  for (int w = 0; w < 16; ++w) sum += sum_of[w] == 0.f ? 0.f : sum_of[w] * expf(largest_of[w] - largest);
  if (not_a_number || sum == 0.f) sum = NAN;
  const float last = a.log ? logf(sum) : 1.f / sum;
  for (int i = threadIdx.x; i < a.size; i += 512) {
    const float v = to_float(x[i]) * a.scale - largest;
    y[i] = from_float<T>(a.log ? v - last : expf(v) * last);
  }
}

template <typename F>
cudaError_t with_type(Scalar type, F&& f) {
  if (type == Scalar::kFloat16) return f(__half{});
  if (type == Scalar::kBFloat16) return f(__nv_bfloat16{});
  return f(float{});
}

bool aligned(std::initializer_list<const void*> pointers) {
  for (const void* p : pointers)
    if (reinterpret_cast<uintptr_t>(p) % 16) return false;
  return true;
}

}  // namespace

const char* norm_refusal(const NormArgs& a, const DeviceTraits& device) {
  if (a.rows < 0 || a.rows > INT32_MAX) return "the number of rows is not 0 to 2^31 - 1";
  if (a.size < 1 || a.size > kMaxNormSize) return "rows are longer than 16384";
  if (a.ids ? !a.table : !a.x) return "the rows are missing";
  if (a.period < 1) return "the period of positions is not positive";
  if (a.rounded && device.capability < 89) return "the device has no 8-bit floats";
  if (a.size * int64_t{4} > device.shared_memory) return "a row does not fit shared memory";
  return nullptr;
}

cudaError_t norm(const NormArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  if (a.rows == 0) return cudaSuccess;
  const bool pieces =
      a.size <= 1024 && a.size * bytes_of(a.type) % 16 == 0 &&
      aligned({a.x, a.x_bias, a.residual, a.sum, a.weight, a.bias, a.y, a.rounded, a.table, a.position_table, a.type_table});
  return with_type(a.type, [&](auto zero) {
    using T = decltype(zero);
    LaunchShape shape{.grid = dim3(static_cast<unsigned>((a.rows + 7) / 8)), .block = dim3(256)};
    shape.dependent = device.capability >= 90;
    if constexpr (sizeof(T) == 2) {
      const int64_t staying = int64_t{kStayingWarps} * device.multiprocessors;
      if (pieces && !a.ids && !a.x_bias && a.rows >= staying) {
        shape.grid = dim3(static_cast<unsigned>(staying / 8));
        return a.residual ? launch(norm_rows<T, true>, shape, stream, a) : launch(norm_rows<T, false>, shape, stream, a);
      }
    }
    if (pieces) return launch(norm_warp<T>, shape, stream, a);
    shape.grid = dim3(static_cast<unsigned>(a.rows));
    shape.shared = size_t{4} * a.size;
    return launch(norm_block<T>, shape, stream, a);
  });
}

const char* softmax_refusal(const SoftmaxArgs& a, const DeviceTraits&) {
  if (a.rows < 0 || a.rows > INT32_MAX) return "the number of rows is not 0 to 2^31 - 1";
  if (a.size < 1 || a.size > kMaxSoftmaxSize) return "rows are longer than 2^20";
  return nullptr;
}

cudaError_t softmax(const SoftmaxArgs& a, const DeviceTraits&, cudaStream_t stream) {
  if (a.rows == 0) return cudaSuccess;
  return with_type(a.type, [&](auto zero) {
    using T = decltype(zero);
    if (a.size <= 1024)
      return launch(softmax_warp<T>, {.grid = dim3(static_cast<unsigned>((a.rows + 7) / 8)), .block = dim3(256)}, stream, a);
    return launch(softmax_block<T>, {.grid = dim3(static_cast<unsigned>(a.rows)), .block = dim3(512)}, stream, a);
  });
}

}  // namespace cameo::cuda
