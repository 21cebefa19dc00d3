// Attention in one pass over the keys, 64 at a time, with a softmax that is corrected as it goes (Milakov and Gimelshein,
// 2018; Dao et al., 2022).
//
// Variants:
//   packed  for many queries: keys transposed to [size][64] and values in padded rows, so that both products are tiles of
//           6 queries x 4 vectors (AVX-512) or 6 x 2 whose sums stay in registers. The block's keys and values, some 32 KB
//           for heads of 64, stay in the L1 cache while all queries pass over them.
//   plain   for up to 6 queries (decoding): keys and values are read once, where they lie; products of a query and 16 keys
//           are added up across lanes together.
// Weights are powers of two: the scale of the scores includes log2(e).
// The softmax of a query is relative to a bound that is within 2^12 of the largest score so far. It moves only when a score
// exceeds it by more, so that correcting the sums is rare; the sum of weights stays a vector until the end. Both follow
// from the scores of that query alone: the result does not depend on the other queries or on the threads.
#include "backends/cpu/kernels/attention_f32.h"

#include "backends/cpu/simd/math.h"
#include "backends/cpu/simd/shuffle.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

constexpr int kTileRows = 6;
constexpr int kTileVectors = kLanes == 16 ? 4 : 2;
constexpr int64_t kKeys = kAttentionKeys;
constexpr float kSlack = 12.f;
constexpr float kLog2E = 1.44269504f;
const float kInfinity = __builtin_inff();
constexpr float kLargest = 3.40282347e38f;

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

void pack(const float* keys, int64_t key_stride, const float* values, int64_t value_stride, int64_t count, int64_t size, int64_t value_size,
          float* packed) {
  for (int64_t k = 0; k < size; k += kLanes) {
    const int64_t width = smaller(kLanes, size - k);
    for (int64_t j = 0; j < kKeys; j += kLanes) {
      Vec rows[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const float* from = keys + (j + i) * key_stride + k;
        rows[i] = j + i >= count ? Vec{} : width == kLanes ? load(from) : load_part(from, width);
      }
      transpose(rows);
      for (int64_t i = 0; i < width; ++i) store(packed + (k + i) * kKeys + j, rows[i]);
    }
  }
  float* to = packed + size * kKeys;
  const int64_t padded = attention_padded(value_size);
  for (int64_t j = 0; j < count; ++j, to += padded)
    for (int64_t i = 0; i < padded; i += kLanes) {
      const int64_t width = value_size - i;
      store(to + i, width >= kLanes ? load(values + j * value_stride + i)
                    : width > 0     ? load_part(values + j * value_stride + i, width)
                                    : Vec{});
    }
}

// What a call works on, and its scratch memory.
struct State {
  const AttentionBlock& block;
  int64_t padded_size, padded_value;
  float* queries;  // rows x padded_size, scaled, and by log2(e) where there is no softcap
  float* sums;     // rows x padded_value
  float* weights;  // rows x 16 lanes: sums of the weights
  float* bounds;   // rows
  float* scores;   // kTileRows x kKeys
};

// scores = Q K^T of a tile of Rows queries and Vectors vectors of packed keys.
template <int Rows, int Vectors>
void multiply_keys(const float* queries, int64_t query_stride, const float* keys, int64_t size, float* scores) {
  Vec acc[Rows][Vectors] = {};
#pragma GCC unroll 4
  for (int64_t k = 0; k < size; ++k) {
    Vec b[Vectors];
    for (int v = 0; v < Vectors; ++v) b[v] = load(keys + k * kKeys + v * kLanes);
    for (int r = 0; r < Rows; ++r) {
      const Vec q = splat(queries[r * query_stride + k]);
      for (int v = 0; v < Vectors; ++v) acc[r][v] = fma(q, b[v], acc[r][v]);
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) store(scores + r * kKeys + v * kLanes, acc[r][v]);
}

template <int Rows>
void multiply_all_keys(const float* queries, int64_t query_stride, const float* keys, int64_t count, int64_t size, float* scores) {
  constexpr int64_t kTile = kTileVectors * kLanes;
  for (int64_t j = 0; j < count; j += kTile) {
    const int64_t left = count - j;
    if (left <= kLanes)
      multiply_keys<Rows, 1>(queries, query_stride, keys + j, size, scores + j);
    else if (left <= 2 * kLanes)
      multiply_keys<Rows, 2>(queries, query_stride, keys + j, size, scores + j);
    else
      multiply_keys<Rows, kTileVectors>(queries, query_stride, keys + j, size, scores + j);
  }
}

// The same where `count` keys lie in rows.
void multiply_plain_keys(int64_t rows, const State& s, const float* keys, int64_t count) {
  const int64_t size = s.block.size, stride = s.block.key_stride;
  for (int64_t j = 0; j < count; j += kLanes)
    for (int64_t r = 0; r < rows; ++r) {
      const float* query = s.queries + r * s.padded_size;
      Vec products[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        products[i] = Vec{};
        if (j + i >= count) continue;
        const float* key = keys + (j + i) * stride;
        int64_t k = 0;
        for (; k + kLanes <= size; k += kLanes) products[i] = fma(load(query + k), load(key + k), products[i]);
        if (k < size) products[i] = fma(load(query + k), load_part(key + k, size - k), products[i]);
      }
      store(s.scores + r * kKeys + j, lane_sums(products));
    }
}

// sums += P V over `count` keys, for Vectors vectors of each row of V.
template <int Rows, int Vectors>
void add_values(const float* scores, const float* values, int64_t value_stride, int64_t count, float* sums, int64_t sum_stride) {
  // Few sums would wait for each other: then there are two sets, for even and odd keys.
  constexpr int kSets = Rows * Vectors <= 4 ? 2 : 1;
  Vec acc[kSets][Rows][Vectors] = {};
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) acc[0][r][v] = load(sums + r * sum_stride + v * kLanes);
  int64_t j = 0;
#pragma GCC unroll 4
  for (; j + kSets <= count; j += kSets)
    for (int set = 0; set < kSets; ++set) {
      Vec b[Vectors];
      for (int v = 0; v < Vectors; ++v) b[v] = load(values + (j + set) * value_stride + v * kLanes);
      for (int r = 0; r < Rows; ++r) {
        const Vec p = splat(scores[r * kKeys + j + set]);
        for (int v = 0; v < Vectors; ++v) acc[set][r][v] = fma(p, b[v], acc[set][r][v]);
      }
    }
  if (j < count)
    for (int r = 0; r < Rows; ++r)
      for (int v = 0; v < Vectors; ++v)
        acc[0][r][v] = fma(splat(scores[r * kKeys + j]), load(values + j * value_stride + v * kLanes), acc[0][r][v]);
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v)
      store(sums + r * sum_stride + v * kLanes, kSets == 2 ? acc[0][r][v] + acc[kSets - 1][r][v] : acc[0][r][v]);
}

template <int Rows>
void add_all_values(const float* scores, const float* values, int64_t value_stride, int64_t count, float* sums, int64_t padded) {
  int64_t i = 0;
  for (; i + kTileVectors * kLanes <= padded; i += kTileVectors * kLanes)
    add_values<Rows, kTileVectors>(scores, values + i, value_stride, count, sums + i, padded);
  for (; i + 2 * kLanes <= padded; i += 2 * kLanes) add_values<Rows, 2>(scores, values + i, value_stride, count, sums + i, padded);
  for (; i < padded; i += kLanes) add_values<Rows, 1>(scores, values + i, value_stride, count, sums + i, padded);
}

// The mask of keys [j, j + kLanes) as numbers to add; j + count is the end of the mask or beyond.
CAMEO_INLINE Vec mask_at(const AttentionBlock& block, const void* mask, int64_t j) {
  const int64_t width = block.mask_length - j;
  if (width <= 0) return splat(-kInfinity);
  if (block.mask_is_bool) {
    const auto* bytes = static_cast<const uint8_t*>(mask) + j;
    VecI seen = {};
    if (width >= kLanes) {
      typedef uint8_t Bytes __attribute__((vector_size(kLanes)));
      Bytes b;
      __builtin_memcpy(&b, bytes, sizeof b);
      seen = __builtin_convertvector(b, VecI);
    } else {
      for (int64_t i = 0; i < width; ++i) seen[i] = bytes[i];
    }
    return select(seen != 0, Vec{}, splat(-kInfinity));
  }
  const float* numbers = static_cast<const float*>(mask) + j;
  if (width >= kLanes) return load(numbers);
  return load_part_or(numbers, width, splat(-kInfinity));
}

// Whether no row of the tile sees any of the keys [j, j + count).
bool hides_all(const AttentionBlock& block, int64_t row, int64_t rows, int64_t j, int64_t count) {
  for (int64_t r = row; r < row + rows; ++r) {
    const AttentionQuery& q = block.queries[r];
    const int64_t begin = larger(j, q.first), end = smaller(j + count, q.last);
    if (begin >= end) continue;
    if (q.mask == nullptr) return false;
    for (int64_t i = j; i < j + count; i += kLanes)
      if (any(mask_at(block, q.mask, i) != splat(-kInfinity))) return false;
  }
  return true;
}

// Turns the scores of one row into weights, relative to its bound. Whole: they fill kKeys / kLanes vectors. Full: there are
// kKeys of them, all to be seen as they are.
template <bool Whole, bool Full>
CAMEO_INLINE void weigh(const State& s, int64_t row, float* scores, int64_t j, int64_t count) {
  const AttentionBlock& block = s.block;
  const AttentionQuery& q = block.queries[row];
  constexpr int64_t kVectors = kKeys / kLanes;
  const int64_t vectors = Whole ? kVectors : (count + kLanes - 1) / kLanes;
  const int64_t begin = q.first - j, end = smaller(q.last - j, count);
  const bool limited = !Full && (begin > 0 || end < vectors * kLanes);
  Vec x[kVectors], largest = splat(-kInfinity);
  for (int64_t v = 0; v < vectors; ++v) {
    x[v] = load(scores + v * kLanes);
    if (!Full && block.softcap > 0) x[v] = block.softcap * kLog2E * vtanh(x[v] / block.softcap);
    if (!Full && q.mask != nullptr) {
      // The lowest number is still one: where all have it, all have the same weight.
      const Vec mask = mask_at(block, q.mask, j + v * kLanes);
      const Vec sum = vmax(splat(-kLargest), fma(mask, splat(kLog2E), x[v]));
      x[v] = select(mask == splat(-kInfinity), mask + x[v], sum);
    }
    if (limited) {
      const Vec lane = lane_numbers() + static_cast<float>(v * kLanes);
      const VecI inside = (lane >= splat(static_cast<float>(larger(begin, 0)))) & (lane < splat(static_cast<float>(larger(end, 0))));
      x[v] = select(inside, x[v], splat(-kInfinity));
    }
    largest = vmax(x[v], largest);
  }
  float bound = s.bounds[row];
  if (any(largest > splat(bound + kSlack))) {
    const float next = max_lane(largest);
    if (bound != -kInfinity) {  // before, all sums are zero
      const Vec factor = vexp2(splat(bound - next));
      float* sums = s.sums + row * s.padded_value;
      for (int64_t i = 0; i < s.padded_value; i += kLanes) store(sums + i, load(sums + i) * factor);
      float* weights = s.weights + row * 16;
      store(weights, load(weights) * factor);
    }
    s.bounds[row] = bound = next;
  }
  const Vec base = splat(bound == -kInfinity ? 0.f : bound);
  Vec weight = load(s.weights + row * 16);
  for (int64_t v = 0; v < vectors; ++v) {
    const Vec p = vexp2(x[v] - base);
    store(scores + v * kLanes, p);
    weight += p;
  }
  store(s.weights + row * 16, weight);
}

// Whether the row sees all kKeys keys from j on, as they are.
CAMEO_INLINE bool sees_all(const AttentionBlock& block, const AttentionQuery& q, int64_t j, int64_t count) {
  return count == kKeys && q.mask == nullptr && block.softcap <= 0 && q.first <= j && q.last >= j + kKeys;
}

template <int Rows>
void run_tile(const State& s, int64_t row, int64_t j, int64_t count) {
  const AttentionBlock& block = s.block;
  if (block.packed != nullptr) {
    const float* packed = block.packed + j / kKeys * attention_packed_block(block.size, block.value_size);
    multiply_all_keys<Rows>(s.queries + row * s.padded_size, s.padded_size, packed, count, block.size, s.scores);
  } else {
    multiply_plain_keys(Rows, s, block.keys + j * block.key_stride, count);
  }
  for (int r = 0; r < Rows; ++r) {
    float* scores = s.scores + r * kKeys;
    if (sees_all(block, block.queries[row + r], j, count))
      weigh<true, true>(s, row + r, scores, j, count);
    else if (count > kKeys - kLanes)
      weigh<true, false>(s, row + r, scores, j, count);
    else
      weigh<false, false>(s, row + r, scores, j, count);
  }
  const float* values = block.values + j * block.value_stride;
  int64_t stride = block.value_stride;
  if (block.packed != nullptr) {
    values = block.packed + j / kKeys * attention_packed_block(block.size, block.value_size) + block.size * kKeys;
    stride = s.padded_value;
  }
  add_all_values<Rows>(s.scores, values, stride, count, s.sums + row * s.padded_value, s.padded_value);
}

// Asks for rows that are read next: their distance is too long for the processor to guess.
CAMEO_INLINE void prefetch(const float* rows, int64_t stride, int64_t count, int64_t size) {
  for (int64_t j = 0; j < count; ++j)
    for (int64_t i = 0; i < size; i += 16) __builtin_prefetch(rows + j * stride + i, 0, 2);
}

// Whether the row sees a key at all.
bool sees_some(const AttentionBlock& block, const AttentionQuery& q) {
  for (int64_t j = q.first; j < q.last; ++j) {
    if (q.mask == nullptr) return true;
    if (j >= block.mask_length) return false;
    if (block.mask_is_bool ? static_cast<const uint8_t*>(q.mask)[j] != 0 : static_cast<const float*>(q.mask)[j] != -kInfinity) return true;
  }
  return false;
}

// Divides the sums by the weights.
void finish(const AttentionBlock& block, const AttentionQuery& q, const float* sums, Vec weights) {
  float weight = sum(weights);
  // No weight at all: nothing to be seen gives zeros, nothing but -infinity the NaN of 0 / 0.
  if (weight == 0.f && !sees_some(block, q)) weight = 1.f;
  for (int64_t i = 0; i < block.value_size; i += kLanes) {
    const Vec y = load(sums + i) / weight;
    const int64_t width = block.value_size - i;
    if (width >= kLanes)
      store(q.output + i, y);
    else
      store_part(q.output + i, y, width);
  }
}

void run(const AttentionBlock& block, float* scratch) {
  State s = {block, attention_padded(block.size), attention_padded(block.value_size), scratch, nullptr, nullptr, nullptr, nullptr};
  s.sums = s.queries + kAttentionRows * s.padded_size;
  s.weights = s.sums + kAttentionRows * s.padded_value;
  s.bounds = s.weights + kAttentionRows * 16;
  s.scores = s.bounds + kAttentionRows * 16;
  int64_t first = INT64_MAX, last = 0;
  const float scale = block.softcap > 0 ? block.scale : block.scale * kLog2E;
  for (int64_t r = 0; r < block.rows; ++r) {
    const AttentionQuery& q = block.queries[r];
    float* to = s.queries + r * s.padded_size;
    for (int64_t k = 0; k < s.padded_size; k += kLanes) {
      const int64_t width = block.size - k;
      store(to + k, scale * (width >= kLanes ? load(q.query + k) : width > 0 ? load_part(q.query + k, width) : Vec{}));
    }
    for (int64_t i = 0; i < s.padded_value; i += kLanes) store(s.sums + r * s.padded_value + i, Vec{});
    store(s.weights + r * 16, Vec{});
    s.bounds[r] = -kInfinity;
    if (q.first < q.last) {
      first = smaller(first, q.first);
      last = larger(last, q.last);
    }
  }
  const int64_t tiles = (block.rows + kTileRows - 1) / kTileRows;
  for (int64_t j = first / kKeys * kKeys; j < last; j += kKeys) {
    const int64_t count = smaller(kKeys, last - j), next = j + kKeys;
    if (block.packed == nullptr && next < last) {
      prefetch(block.keys + next * block.key_stride, block.key_stride, smaller(kKeys, last - next), block.size);
      prefetch(block.values + next * block.value_stride, block.value_stride, smaller(kKeys, last - next), block.value_size);
    }
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t row = block.rows * tile / tiles, rows = block.rows * (tile + 1) / tiles - row;
      if (hides_all(block, row, rows, j, count)) continue;
      switch (rows) {
        case 1:
          run_tile<1>(s, row, j, count);
          break;
        case 2:
          run_tile<2>(s, row, j, count);
          break;
        case 3:
          run_tile<3>(s, row, j, count);
          break;
        case 4:
          run_tile<4>(s, row, j, count);
          break;
        case 5:
          run_tile<5>(s, row, j, count);
          break;
        default:
          run_tile<kTileRows>(s, row, j, count);
      }
    }
  }
  for (int64_t r = 0; r < block.rows; ++r) {
    const float* sums = s.sums + r * s.padded_value;
    if (block.parts == nullptr) {
      finish(block, block.queries[r], sums, load(s.weights + r * 16));
      continue;
    }
    float* to = block.parts + r * attention_part(block.value_size);
    for (int64_t i = 0; i < s.padded_value; i += kLanes) store(to + i, load(sums + i));
    store(to + s.padded_value, load(s.weights + r * 16));
    to[s.padded_value + 16] = s.bounds[r];
  }
}

void merge(const AttentionBlock& block, float* parts, int64_t count) {
  const int64_t padded = attention_padded(block.value_size), size = attention_part(block.value_size), step = block.rows * size;
  for (int64_t r = 0; r < block.rows; ++r) {
    float* sums = parts + r * size;
    float most = -kInfinity;
    for (int64_t i = 0; i < count; ++i) most = sums[i * step + padded + 16] > most ? sums[i * step + padded + 16] : most;
    for (int64_t i = 0; i < count; ++i) {
      const float* part = sums + i * step;
      const float bound = part[padded + 16];
      const Vec factor = bound == most ? splat(1.f) : vexp2(splat(bound - most));
      // The bound stays: only the sums and weights of the first part change.
      for (int64_t k = 0; k < padded + kLanes; k += kLanes) {
        const Vec scaled = load(part + k) * factor;
        store(sums + k, i == 0 ? scaled : load(sums + k) + scaled);
      }
    }
    finish(block, block.queries[r], sums, load(sums + padded));
  }
}

}  // namespace

extern const AttentionKernels attention_kernels = {.pack = &pack, .run = &run, .merge = &merge};

}  // namespace cameo::cpu::CAMEO_ISA
