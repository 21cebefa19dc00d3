// Sizes of the phases of a persistent kernel; see persistent_product.cuh.
#pragma once

#include <cstdint>

#include "backends/cuda/gpu_api.h"

namespace cameo::cuda {

constexpr int kMostStages = 32;
constexpr int kMostPart = 768;  // numbers of a row of W in a stage

// How units of work are dealt: `groups` groups of `group` blocks have all units each; a block of a group has `rounds` of them, or
// one more. The next phase begins `turn` blocks further, so that every block has the same in the long run.
struct Dealing {
  int32_t units = 0, groups = 1, group = 1, rounds = 0, turn = 0;
};
inline Dealing dealing(int units, int groups, int blocks) {
  const int group = blocks / groups;
  return {units, groups, group, units / group, units * groups % blocks};
}

// A product y[n] = W[n, k] x. Units of work are 1 << pair neighbouring tiles of 8 rows of W; k is split in dealing.groups chunks,
// whose sums the readers add; a tile's share of k comes in `parts` stages of `kc` numbers.
struct ProductShape {
  int32_t n = 0, k = 0, pair = 0, parts = 1, kc = 0;
  Dealing dealing;
  __host__ __device__ int local() const { return parts * kc; }
};

// Bytes of a row of k 16-bit numbers in shared memory: 64 modulo 128, so that 8 lanes that read 16 bytes each of two rows meet
// all banks.
__host__ __device__ constexpr int row_stride(int k) { return 2 * k + (2 * k % 128 ? 0 : 64); }

// Bytes of staged rows m and m + 8, k numbers each: they lie as the tensor cores' registers hold them. 64 modulo 128 too.
__host__ __device__ constexpr int pair_stride(int k) { return 4 * k + 64; }

}  // namespace cameo::cuda
