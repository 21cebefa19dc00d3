// Products with weights of few bits.
//
// multiply_split needs int8 dot products (VNNI). A weight is the unsigned operand and an activation the signed one, so the
// zero point of the weights costs one multiple of the sum of the activations a group, and no column sums. Activations take 16
// bits in two halves: two dot products a weight, still twice the work a cycle of float multiply-add, one load of the weights,
// and the results stay as near to float as bfloat16 activations would be in the worst case and far nearer in the usual one.
// One row runs with four sums a half to hide the latency; up to eight rows share each load of the weights.
//
// multiply_float is for 16-bit weights, for processors without VNNI and for rows that have no scale (NaN, infinity).
#include "backends/cpu/kernels/quantized_weight.h"

#include "backends/cpu/simd/bytes.h"

// GCC 12 takes the undefined vectors in its own intrinsics for uninitialised variables.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace cameo::cpu::CAMEO_ISA {
namespace {

constexpr int kPanel = 16;               // columns
constexpr int kParts = kPanel / kLanes;  // vectors a panel
constexpr int64_t kAhead = 2048;         // bytes between what is multiplied and what is asked for from memory
constexpr int64_t kFewBlocks = 4;
constexpr int kRows = kLanes == 16 ? 12 : kLanes == 8 ? 5 : 2;

CAMEO_INLINE float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, rest = h & 0x7fff;
  uint32_t bits;
  if (rest >= 0x7c00) {
    bits = sign | 0x7f800000 | (rest & 0x3ff) << 13;
  } else if (rest >= 0x400) {
    bits = sign | ((rest << 13) + 0x38000000);
  } else {
    const float small = static_cast<float>(rest) * 0x1p-24f;
    __builtin_memcpy(&bits, &small, 4);
    bits |= sign;
  }
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

CAMEO_INLINE Vec load_half(const uint8_t* p) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__AVX2__)
  return (Vec)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  uint16_t h[kLanes];
  __builtin_memcpy(h, p, sizeof h);
  Vec v;
  for (int i = 0; i < kLanes; ++i) v[i] = half_to_float(h[i]);
  return v;
#endif
}

CAMEO_INLINE Vec load_bfloat(const uint8_t* p) { return as_float(load_u16(p) << 16); }

CAMEO_INLINE Vec load_scale(const QuantizedWeight& w, int64_t index) {
  return w.half_scales ? load_half(static_cast<const uint8_t*>(w.scales) + 2 * index) : load(static_cast<const float*>(w.scales) + index);
}

CAMEO_INLINE Vec load_offset(const QuantizedWeight& w, int64_t index) {
  return w.half_scales ? load_half(static_cast<const uint8_t*>(w.offsets) + 2 * index) : load(static_cast<const float*>(w.offsets) + index);
}

CAMEO_INLINE VecI load_zero(const QuantizedWeight& w, int64_t index) {
  if (w.offsets != nullptr) return VecI{};
  if (w.zeros == nullptr) return splat_i(w.bits == 4 ? 8 : 128);
  return load_u8(w.zeros + index);
}

// Rows first to last - 1 of a panel as floats, 16 a row; first is a multiple of 8, and all rows are of one group.
template <int Bits>
CAMEO_INLINE void dequantize(const QuantizedWeight& w, int64_t panel, int64_t first, int64_t last, float* to) {
  if constexpr (Bits == 16) {
    const uint8_t* from = w.values + (panel * w.depth + first) * kPanel * 2;
    for (int64_t i = 0; i < (last - first) * kParts; ++i) {
      const uint8_t* p = from + i * kLanes * 2;
      store(to + i * kLanes, w.bfloat16 ? load_bfloat(p) : load_half(p));
    }
  } else {
    // Each 32-bit lane holds 4 (8 bits) or 8 (4 bits) rows of one column.
    constexpr int kRowsPerLane = Bits == 8 ? 4 : 8;
    const int64_t lanes_deep = (w.depth + kRowsPerLane - 1) / kRowsPerLane;
    const int64_t index = (panel * w.groups + first / w.group) * kPanel;
    for (int part = 0; part < kParts; ++part) {
      const Vec scale = load_scale(w, index + part * kLanes);
      const VecI zero = load_zero(w, index + part * kLanes);
      const Vec offset = w.offsets == nullptr ? Vec{} : load_offset(w, index + part * kLanes);
      const uint8_t* from = w.values + ((panel * lanes_deep + first / kRowsPerLane) * kPanel + part * kLanes) * 4;
      for (int64_t k = first; k < last; k += kRowsPerLane, from += kPanel * 4) {
        VecI lanes;
        __builtin_memcpy(&lanes, from, sizeof lanes);
        const auto unpack = [&](int64_t j) __attribute__((always_inline)) {
          // Four bits: the low halves of the bytes are rows 0 to 3, the high ones rows 4 to 7.
          const int shift = Bits == 8 ? static_cast<int>(8 * j) : static_cast<int>(j < 4 ? 8 * j : 8 * (j - 4) + 4);
          const VecI q = (lanes >> shift) & splat_i(Bits == 8 ? 0xff : 0x0f);
          store(to + (k - first + j) * kPanel + part * kLanes, fma(to_float(q - zero), scale, offset));
        };
        if (last - k >= kRowsPerLane)
          for (int64_t j = 0; j < kRowsPerLane; ++j) unpack(j);
        else
          for (int64_t j = 0; j < last - k; ++j) unpack(j);
      }
    }
  }
}

// Adds `Rows` rows of A, from column `first` on, times `depth` rows of floats to y; `fresh` starts from zero.
template <int Rows>
CAMEO_INLINE void multiply_block(const float* a, int64_t lda, const float* b, int64_t depth, float* y, int64_t ldy, bool fresh) {
  Vec sums[Rows][kParts];
  for (int r = 0; r < Rows; ++r)
    for (int part = 0; part < kParts; ++part) sums[r][part] = fresh ? Vec{} : load(y + r * ldy + part * kLanes);
  for (int64_t k = 0; k < depth; ++k) {
    Vec row[kParts];
    for (int part = 0; part < kParts; ++part) row[part] = load(b + k * kPanel + part * kLanes);
    for (int r = 0; r < Rows; ++r) {
      const Vec x = splat(a[r * lda + k]);
      for (int part = 0; part < kParts; ++part) sums[r][part] = fma(x, row[part], sums[r][part]);
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int part = 0; part < kParts; ++part) store(y + r * ldy + part * kLanes, sums[r][part]);
}

template <int Bits>
void multiply_float_bits(const QuantizedWeightProduct& p) {
  const QuantizedWeight& w = p.w;
  const float* a = p.a + p.first_row * p.lda;
  const int64_t rows = p.last_row - p.first_row;
  for (int64_t panel = p.first_panel; panel < p.last_panel; ++panel) {
    float* y = p.y + (panel - p.first_panel) * kPanel;
    if (w.depth == 0)
      for (int64_t r = 0; r < rows; ++r)
        for (int part = 0; part < kParts; ++part) store(y + r * p.ldy + part * kLanes, Vec{});
    for (int64_t first = 0; first < w.depth; first += kDequantizedRows) {
      const int64_t last = first + kDequantizedRows < w.depth ? first + kDequantizedRows : w.depth;
      for (int64_t k = first; k < last;) {
        int64_t end = Bits == 16 ? last : (k / w.group + 1) * w.group;
        if (end > last) end = last;
        dequantize<Bits>(w, panel, k, end, p.buffer + (k - first) * kPanel);
        k = end;
      }
      int64_t r = 0;
      for (; r + kRows <= rows; r += kRows)
        multiply_block<kRows>(a + r * p.lda + first, p.lda, p.buffer, last - first, y + r * p.ldy, p.ldy, first == 0);
      for (; r + 4 <= rows; r += 4)
        multiply_block<4>(a + r * p.lda + first, p.lda, p.buffer, last - first, y + r * p.ldy, p.ldy, first == 0);
      for (; r < rows; ++r) multiply_block<1>(a + r * p.lda + first, p.lda, p.buffer, last - first, y + r * p.ldy, p.ldy, first == 0);
    }
  }
}

void multiply_float(const QuantizedWeightProduct& p) {
  if (p.w.bits == 4)
    multiply_float_bits<4>(p);
  else if (p.w.bits == 8)
    multiply_float_bits<8>(p);
  else
    multiply_float_bits<16>(p);
}

#if defined(__AVX512F__)
#define CAMEO_VNNI __attribute__((target("avx512vnni,avx512vl")))

CAMEO_VNNI bool split_row(const float* a, int64_t depth, int64_t group, const SplitRows& to, int64_t row) {
  constexpr int32_t kMost = 127 * 256 + 127;
  const auto load_row = [&](int64_t k) { return depth - k >= 16 ? load(a + k) : load_part(a + k, depth - k); };
  // As integers, magnitudes of floats compare as the floats do, and NaN and infinity are the greatest.
  __m512i most = _mm512_setzero_si512();
  for (int64_t k = 0; k < depth; k += 16)
    most = _mm512_max_epi32(most, _mm512_and_si512((__m512i)load_row(k), _mm512_set1_epi32(0x7fffffff)));
  const int32_t bits = _mm512_reduce_max_epi32(most);
  constexpr int32_t kInfinity = 0x7f800000, kSmallest = 0x0c000000;  // 2^-103
  if (bits >= kInfinity || (bits != 0 && bits < kSmallest)) return false;
  float largest;
  __builtin_memcpy(&largest, &bits, 4);
  to.scales[row] = largest / static_cast<float>(kMost);
  const Vec inverse = splat(largest == 0 ? 0 : static_cast<float>(kMost) / largest);

  const int64_t block = split_block(row, to.rows), in_block = row - split_block_start(row, to.rows);
  int8_t* values = to.values + (row - in_block) * to.depth * 2 + in_block * 8;
  const int64_t groups = depth == 0 ? 0 : (depth + group - 1) / group;
  int32_t* sums = to.sums + row * groups * 2;
  const __m128i ones = _mm_set1_epi8(1), unit = _mm_set1_epi32(to.unit);
  __m128i high_sums = _mm_setzero_si128(), low_sums = _mm_setzero_si128();
  int64_t group_end = group;
  for (int64_t k = 0; k < depth; k += 16) {
    const __m512i q = _mm512_cvtps_epi32((__m512)(load_row(k) * inverse));
    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(128)), 8);
    const __m512i low = _mm512_sub_epi32(q, _mm512_slli_epi32(high, 8));
    const __m128i high_bytes = _mm512_cvtepi32_epi8(high), low_bytes = _mm512_cvtepi32_epi8(low);
    high_sums = _mm_dpbusd_epi32(high_sums, ones, high_bytes);
    low_sums = _mm_dpbusd_epi32(low_sums, ones, low_bytes);
    const __m128i first = _mm_unpacklo_epi32(high_bytes, low_bytes), second = _mm_unpackhi_epi32(high_bytes, low_bytes);
    int8_t* part = values + k / 4 * block * 8;
    _mm_storel_epi64(reinterpret_cast<__m128i*>(part), first);
    _mm_storeh_pd(reinterpret_cast<double*>(part + block * 8), _mm_castsi128_pd(first));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(part + block * 16), second);
    _mm_storeh_pd(reinterpret_cast<double*>(part + block * 24), _mm_castsi128_pd(second));
    if (k + 16 >= group_end || k + 16 >= depth) {
      const __m128i pairs = _mm_hadd_epi32(high_sums, low_sums);
      const __m128i both = _mm_mullo_epi32(_mm_hadd_epi32(pairs, pairs), unit);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(sums), both);
      if (to.unit > 0) {
        const float whole = 256.f * static_cast<float>(sums[0]) + static_cast<float>(sums[1]);
        __builtin_memcpy(sums, &whole, sizeof whole);
      }
      sums += 2;
      high_sums = low_sums = _mm_setzero_si128();
      group_end += group;
    }
  }
  return true;
}

// sums += dot products of the weights with four bytes. (The compiler's own way with sums in arrays is a load and some copies more.)
CAMEO_INLINE void add_products(__m512i& sums, __m512i weights, const int8_t* four) {
  typedef int32_t Four __attribute__((may_alias, aligned(1)));
  __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums) : "v"(weights), "m"(*reinterpret_cast<const Four*>(four)));
}

CAMEO_INLINE void add_products(__m512i& sums, __m512i weights, __m512i four) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(weights), "v"(four));
}

// Rows of A by Panels panels, one behind the other. Chains: independent sums a row and half, so that one row does not wait for its
// own results. Whole: 256 * high + low of a group fits int32, so that the sums become floats but once. Block: rows of the block that
// the rows lie in. With two panels each load of an activation serves both: loads are then no longer what limits the products.
template <int Bits, int Rows, int Chains, bool Whole, int Panels = 1, int Block = Rows>
CAMEO_VNNI void split_panel(const QuantizedWeightProduct& p, int64_t panel, int64_t row, float* y) {
  const QuantizedWeight& w = p.w;
  const SplitRows& s = p.split;
  constexpr int kRowsPerLane = Bits == 8 ? 4 : 8;
  const int64_t deep = (w.depth + kRowsPerLane - 1) / kRowsPerLane;
  const int64_t group_deep = w.groups <= 1 ? deep : w.group / kRowsPerLane;
  const uint8_t* values = w.values + panel * deep * 64;
  const int64_t in_block = Block == Rows ? 0 : row - split_block_start(row, s.rows);
  const int8_t* a = s.values + (row - in_block) * s.depth * 2 + in_block * 8;
  const __m512i nibble = _mm512_set1_epi8(0x0f);
  Vec total[Panels][Rows] = {};
  int64_t at = 0;
  for (int64_t g = 0; g < w.groups; ++g) {
    const int64_t end = at + group_deep < deep ? at + group_deep : deep;
    // The zero point's part is known before the sums.
    __m512i highs[Panels][Rows][Chains], lows[Panels][Rows][Chains];
    for (int q = 0; q < Panels; ++q) {
      for (int r = 0; r < Rows; ++r) {
        const int32_t* sums = s.sums + ((row + r) * w.groups + g) * 2;
        highs[q][r][0] = w.offsets != nullptr ? _mm512_setzero_si512() : _mm512_set1_epi32(sums[0]);
        lows[q][r][0] = w.offsets != nullptr ? _mm512_setzero_si512() : _mm512_set1_epi32(sums[1]);
        for (int c = 1; c < Chains; ++c) highs[q][r][c] = lows[q][r][c] = _mm512_setzero_si512();
      }
      if (w.zeros != nullptr) {
        const __m512i zero = (__m512i)load_zero(w, ((panel + q) * w.groups + g) * kPanel);
        for (int r = 0; r < Rows; ++r) {
          highs[q][r][0] = _mm512_mullo_epi32(highs[q][r][0], zero);
          lows[q][r][0] = _mm512_mullo_epi32(lows[q][r][0], zero);
        }
      }
    }
    const auto step = [&](int64_t i, int chain) CAMEO_VNNI __attribute__((always_inline)) {
      __m512i packed[Panels];
      for (int q = 0; q < Panels; ++q) {
        packed[q] = _mm512_loadu_si512(values + (i + q * deep) * 64);
        _mm_prefetch(reinterpret_cast<const char*>(values + q * deep * 64 + p.ahead + i * p.ahead_step), _MM_HINT_T0);
      }
      const int8_t* x = a + i * Block * kRowsPerLane * 2;
      const auto multiply = [&](const __m512i* weights, const int8_t* four) CAMEO_VNNI __attribute__((always_inline)) {
        for (int r = 0; r < Rows; ++r) {
          if constexpr (Panels == 1) {
            add_products(highs[0][r][chain], weights[0], four + r * 8);
            add_products(lows[0][r][chain], weights[0], four + r * 8 + 4);
          } else {
            int32_t high, low;
            __builtin_memcpy(&high, four + r * 8, 4);
            __builtin_memcpy(&low, four + r * 8 + 4, 4);
            const __m512i high_all = _mm512_set1_epi32(high), low_all = _mm512_set1_epi32(low);
            for (int q = 0; q < Panels; ++q) {
              add_products(highs[q][r][chain], weights[q], high_all);
              add_products(lows[q][r][chain], weights[q], low_all);
            }
          }
        }
      };
      if constexpr (Bits == 8) {
        multiply(packed, x);
      } else {
        __m512i half[Panels];
        for (int q = 0; q < Panels; ++q) half[q] = _mm512_and_si512(packed[q], nibble);
        multiply(half, x);
        for (int q = 0; q < Panels; ++q) half[q] = _mm512_and_si512(_mm512_srli_epi16(packed[q], 4), nibble);
        multiply(half, x + Block * 8);
      }
    };
    for (; at + Chains <= end; at += Chains)
      for (int c = 0; c < Chains; ++c) step(at + c, c);
    if constexpr (Chains > 1)
      for (; at < end; ++at) step(at, 0);
    for (int q = 0; q < Panels; ++q) {
      const int64_t index = ((panel + q) * w.groups + g) * kPanel;
      const Vec scale = load_scale(w, index);
      for (int r = 0; r < Rows; ++r) {
        for (int c = 1; c < Chains; ++c) {
          highs[q][r][0] = _mm512_add_epi32(highs[q][r][0], highs[q][r][c]);
          lows[q][r][0] = _mm512_add_epi32(lows[q][r][0], lows[q][r][c]);
        }
        const VecI high = (VecI)highs[q][r][0], low = (VecI)lows[q][r][0];
        if constexpr (Whole)
          total[q][r] = fma(to_float((high << 8) + low), scale, total[q][r]);
        else
          total[q][r] = fma(fma(to_float(high), splat(256.f), to_float(low)), scale, total[q][r]);
      }
      if (w.offsets != nullptr) {
        const Vec offset = load_offset(w, index);
        for (int r = 0; r < Rows; ++r) {
          float whole;
          __builtin_memcpy(&whole, s.sums + ((row + r) * w.groups + g) * 2, sizeof whole);
          total[q][r] = fma(splat(whole), offset, total[q][r]);
        }
      }
    }
  }
  for (int q = 0; q < Panels; ++q)
    for (int r = 0; r < Rows; ++r) store(y + r * p.ldy + q * kPanel, total[q][r] * splat(s.scales[row + r]));
}

// Vectors of weights a panel.
template <int Bits>
CAMEO_INLINE int64_t steps_of(const QuantizedWeight& w) {
  constexpr int kRowsPerLane = Bits == 8 ? 4 : 8;
  return (w.depth + kRowsPerLane - 1) / kRowsPerLane;
}

template <int Bits, int Rows, int Chains>
CAMEO_VNNI void multiply_rows(const QuantizedWeightProduct& p, int64_t row) {
  const bool whole = p.w.group <= (Bits == 4 ? 4096 : 256);
  int64_t panel = p.first_panel;
  float* y = p.y + (row - p.first_row) * p.ldy;
  if constexpr (Rows == 8) {
    // Not for one block alone, which waits for memory.
    for (; p.split.rows > 8 && panel + 2 <= p.last_panel; panel += 2, y += 2 * kPanel) {
      QuantizedWeightProduct half = p;
      for (int64_t r = 0; r < 8; r += 4, half.ahead += half.ahead_step < 64 ? steps_of<Bits>(p.w) * half.ahead_step : 0) {
        if (whole)
          split_panel<Bits, 4, 1, true, 2, 8>(half, panel, row + r, y + r * p.ldy);
        else
          split_panel<Bits, 4, 1, false, 2, 8>(half, panel, row + r, y + r * p.ldy);
      }
    }
  }
  for (; panel < p.last_panel; ++panel, y += kPanel) {
    if (whole)
      split_panel<Bits, Rows, Chains, true>(p, panel, row, y);
    else
      split_panel<Bits, Rows, Chains, false>(p, panel, row, y);
  }
}

template <int Bits>
CAMEO_VNNI void multiply_blocks(const QuantizedWeightProduct& p) {
  for (int64_t row = p.first_row; row < p.last_row;) {
    const int64_t rows = split_block(row, p.split.rows);
    if (rows == 8)
      multiply_rows<Bits, 8, 1>(p, row);
    else if (rows == 4)
      multiply_rows<Bits, 4, 2>(p, row);
    else if (rows == 2)
      multiply_rows<Bits, 2, 4>(p, row);
    else
      multiply_rows<Bits, 1, 4>(p, row);
    row += rows;
  }
}

// A few blocks of rows pass over two panels after the other. Each pass asks memory for its share of the next two, so that all passes
// compute at the same rate.
template <int Bits>
void multiply_split_bits(const QuantizedWeightProduct& p) {
  QuantizedWeightProduct part = p;
  part.ahead = kAhead;
  part.ahead_step = 64;
  const int64_t rows = p.last_row - p.first_row;
  if (rows <= 8 || rows > kFewBlocks * 8) return multiply_blocks<Bits>(part);
  const int64_t passes = rows / 8 * 2, panel_bytes = steps_of<Bits>(p.w) * 64;
  for (int64_t panels = 0; part.first_panel < p.last_panel; part.first_panel += panels, part.y += panels * kPanel) {
    panels = p.last_panel - part.first_panel > 1 ? 2 : 1;
    part.last_panel = part.first_panel + panels;
    part.ahead_step = panels == 2 ? 64 / passes : 64;
    QuantizedWeightProduct block = part;
    for (int64_t pass = 0; block.first_row < p.last_row; pass += 2, block.first_row = block.last_row, block.y += 8 * p.ldy) {
      block.last_row = block.first_row + 8 < p.last_row ? block.first_row + 8 : p.last_row;
      block.ahead = panels * panel_bytes + (panels == 2 ? pass * (panel_bytes / 64) * part.ahead_step : 0);
      multiply_blocks<Bits>(block);
    }
  }
}

void multiply_split(const QuantizedWeightProduct& p) {
  if (p.w.bits == 4)
    multiply_split_bits<4>(p);
  else
    multiply_split_bits<8>(p);
}
#endif

}  // namespace

const QuantizedWeightKernels quantized_weight_kernels = {
    .multiply_float = &multiply_float,
#if defined(__AVX512F__)
    .multiply_split = &multiply_split,
    .split_row = &split_row,
#endif
};

}  // namespace cameo::cpu::CAMEO_ISA
