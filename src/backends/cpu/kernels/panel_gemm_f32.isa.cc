// Tiles of Rows x Vectors sums that stay in registers while both operands are read once, in order:
//   avx512    up to 14 rows x 2, 8 x 3 or 6 x 4 vectors of 16 columns: 24 to 28 of 32 registers
//   avx2      up to 6 rows x 2 vectors of 8 columns: 12 of 16 registers
//   portable  up to 6 rows x 2 vectors of 4 columns
// Where 2 vectors leave an odd panel, the last three panels go together. Heights are spread so that no tile is left with
// few rows. The rows of A are reached from a base for each three of them, which keeps the addresses in registers.
#include "backends/cpu/kernels/tile_epilogue.isa.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

constexpr int kMaxRows2 = kLanes == 16 ? 14 : 6, kMaxRows3 = 8, kMaxRows4 = 6;

// Column `column` + lane of row 0 of B.
CAMEO_INLINE const float* panel_at(const PanelGemm& g, int64_t column) {
  return g.b + column / kPanelWidth * g.panel_step + column % kPanelWidth;
}

#if !defined(__AVX512F__)
// The end of a tile whose last vectors are not full: from memory, a vector at a time.
__attribute__((noinline)) void finish(const PanelGemm& g, int64_t row, int64_t column, int rows, int vectors, const float* sums) {
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v, sums += kLanes) {
      const int64_t at = column + v * kLanes, n = g.columns - at < kLanes ? g.columns - at : kLanes;
      if (n <= 0) continue;
      const int64_t offset = (row + r) * g.ldc + at;
      Vec x[1] = {load(sums)};
      if (g.accumulate) x[0] += load_part(g.c + offset, n);
      if (g.epilogue != nullptr) {
        if (g.epilogue->bias != nullptr) x[0] += load_part(g.epilogue->bias + at, n);
        if (g.epilogue->residual != nullptr) x[0] += load_part(g.epilogue->residual + offset, n);
        activate(*g.epilogue, x);
      }
      store_part(g.c + offset, x[0], n);
    }
}
#endif

// An activation that takes many instructions, where a tile was stored: in a loop, to keep the tiles short.
__attribute__((noinline)) void swish_stored(float* c, int64_t ldc, int rows, int64_t columns) {
  for (int r = 0; r < rows; ++r, c += ldc) {
    int64_t i = 0;
    for (; i + kLanes <= columns; i += kLanes) store(c + i, swish(load(c + i)));
    if (i < columns) store_part(c + i, swish(load_part(c + i, columns - i)), columns - i);
  }
}

// The panels after those of a tile, of which it asks for `lines` rows in four of its own depth, to have them near in time.
struct NextPanels {
  const float* b = nullptr;
  int lines = 0;
};

template <int Rows, int Vectors>
__attribute__((noinline)) void tile(const PanelGemm& g, int64_t row, int64_t column, NextPanels next) {
  // The loops over a tile are unrolled by name: else the compiler keeps the sums in memory for a part of the way.
  constexpr int kBases = (Rows + 2) / 3;
  Vec sums[Rows][Vectors];
#pragma GCC unroll 32
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) sums[r][v] = Vec{};
  const char* bases[kBases];
#pragma GCC unroll 32
  for (int i = 0; i < kBases; ++i) {
    bases[i] = reinterpret_cast<const char*>(g.a + (row + 3 * i) * g.lda);
    __asm__("" : "+r"(bases[i]));  // keeps the compiler from computing each row's address from the first
  }
  const int64_t step = g.lda * static_cast<int64_t>(sizeof(float));
  const float* b[Vectors];
#pragma GCC unroll 32
  for (int v = 0; v < Vectors; ++v) b[v] = panel_at(g, column + v * kLanes);
  const auto multiply_row = [&](int k) __attribute__((always_inline)) {
    Vec w[Vectors];
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) w[v] = load(b[v] + k * kPanelWidth);
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
      const Vec x = splat(reinterpret_cast<const float*>(bases[r / 3] + r % 3 * step)[k]);
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) sums[r][v] = fma(x, w[v], sums[r][v]);
    }
  };
  const auto advance = [&](int k) __attribute__((always_inline)) {
#pragma GCC unroll 32
    for (int i = 0; i < kBases; ++i) bases[i] += k * static_cast<int>(sizeof(float));
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) b[v] += k * kPanelWidth;
  };
// The memory of the result is on its way while the sums are made.
#pragma GCC unroll 32
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 32
    for (int v = 0; v < Vectors * kLanes; v += 16) __builtin_prefetch(g.c + (row + r) * g.ldc + column + v, 1);
  for (int64_t segment = 0; segment < g.segments; ++segment) {
    int64_t k = g.depth;
    for (; k >= 4; k -= 4) {
      for (int i = 0; i < next.lines; ++i) {
#pragma GCC unroll 32
        for (int v = 0; v < Vectors * kLanes; v += 16) __builtin_prefetch(next.b + v / 16 * g.panel_step, 0, 2);
        next.b += kPanelWidth;
      }
      multiply_row(0);
      multiply_row(1);
      multiply_row(2);
      multiply_row(3);
      advance(4);
    }
    for (; k > 0; --k) {
      multiply_row(0);
      advance(1);
    }
#pragma GCC unroll 32
    for (int i = 0; i < kBases; ++i) bases[i] += (g.segment_step - g.depth) * static_cast<int64_t>(sizeof(float));
  }
  const TileEpilogue* e = g.epilogue;
  const int64_t left = g.columns - column - (Vectors - 1) * kLanes;  // columns of the last vector
#if defined(__AVX512F__)
  // Masks cost nothing there.
  const auto mask = static_cast<__mmask16>(left >= kLanes ? 0xffff : (1u << left) - 1);
  const auto load_at = [&](const float* p, int v) __attribute__((always_inline)) {
    return v + 1 < Vectors ? load(p) : (Vec)_mm512_maskz_loadu_ps(mask, p);
  };
  const auto store_at = [&](float* p, int v, Vec x) __attribute__((always_inline)) {
    if (v + 1 < Vectors)
      store(p, x);
    else
      _mm512_mask_storeu_ps(p, mask, (__m512)x);
  };
#else
  const bool is_short = left < kLanes;
  const auto load_at = [](const float* p, int) __attribute__((always_inline)) { return load(p); };
  const auto store_at = [](float* p, int, Vec x) __attribute__((always_inline)) { store(p, x); };
#endif
#if !defined(__AVX512F__)
  if (is_short) {
    float memory[Rows * Vectors * kLanes];
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) store(memory + (r * Vectors + v) * kLanes, sums[r][v]);
    finish(g, row, column, Rows, Vectors, memory);
    return;
  }
#endif
  float* c = g.c + row * g.ldc + column;
  if (g.accumulate)
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) sums[r][v] += load_at(c + r * g.ldc + v * kLanes, v);
  if (e != nullptr) {
    if (e->bias != nullptr) {
      Vec bias[Vectors];
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) bias[v] = load_at(e->bias + column + v * kLanes, v);
#pragma GCC unroll 32
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 32
        for (int v = 0; v < Vectors; ++v) sums[r][v] += bias[v];
    }
    if (e->residual != nullptr) {
      const float* residual = e->residual + row * g.ldc + column;
#pragma GCC unroll 32
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 32
        for (int v = 0; v < Vectors; ++v) sums[r][v] += load_at(residual + r * g.ldc + v * kLanes, v);
    }
    if (e->activation == Activation::kClamp) {
      const Vec low = splat(e->low), high = splat(e->high);
#pragma GCC unroll 32
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 32
        for (int v = 0; v < Vectors; ++v) sums[r][v] = clamp(sums[r][v], low, high);
    } else if (e->activation == Activation::kHardSwish) {
#pragma GCC unroll 32
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 32
        for (int v = 0; v < Vectors; ++v) sums[r][v] = hard_swish(sums[r][v]);
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) store_at(c + r * g.ldc + v * kLanes, v, sums[r][v]);
  if (e != nullptr && e->activation == Activation::kSwish)
    swish_stored(c, g.ldc, Rows, left < kLanes ? (Vectors - 1) * kLanes + left : Vectors * kLanes);
}

using Tile = void (*)(const PanelGemm&, int64_t, int64_t, NextPanels);

// All rows by the `width` columns from `column` on; tiles[i] takes i + 1 rows.
void column_of_tiles(const PanelGemm& g, int64_t column, int64_t width, const Tile* tiles, int64_t max_rows) {
  const int64_t count = (g.rows + max_rows - 1) / max_rows, height = g.rows / count, higher = g.rows % count;
  // The first tiles ask for the next panels, each for its share. Long panels the processor sees coming, and they would push
  // the rows out of the second cache.
  constexpr int64_t kMaxAhead = 1024;
  const bool last = column + width >= g.columns;
  const bool more = g.segments == 1 && g.depth <= kMaxAhead && (last ? g.next_b != nullptr : column + 2 * width <= g.columns);
  const int sharing = count >= 4 ? 4 : count >= 2 ? 2 : 1;
  const float* b = !more ? nullptr : last ? g.next_b : panel_at(g, column + width);
  int64_t row = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t rows = height + (i < higher ? 1 : 0);
    NextPanels next;
    if (more && i < sharing) next = {b + i * (g.depth / sharing) * kPanelWidth, 4 / sharing};
    tiles[rows - 1](g, row, column, next);
    row += rows;
  }
}

constexpr Tile kTiles2[] = {
    &tile<1, 2>, &tile<2, 2>, &tile<3, 2>, &tile<4, 2>,  &tile<5, 2>,  &tile<6, 2>,
#if defined(__AVX512F__)
    &tile<7, 2>, &tile<8, 2>, &tile<9, 2>, &tile<10, 2>, &tile<11, 2>, &tile<12, 2>, &tile<13, 2>, &tile<14, 2>,
#endif
};
#if defined(__AVX512F__)
constexpr Tile kTiles1[] = {&tile<1, 1>, &tile<2, 1>, &tile<3, 1>,  &tile<4, 1>,  &tile<5, 1>,  &tile<6, 1>,  &tile<7, 1>,
                            &tile<8, 1>, &tile<9, 1>, &tile<10, 1>, &tile<11, 1>, &tile<12, 1>, &tile<13, 1>, &tile<14, 1>};
constexpr Tile kTiles3[] = {&tile<1, 3>, &tile<2, 3>, &tile<3, 3>, &tile<4, 3>, &tile<5, 3>, &tile<6, 3>, &tile<7, 3>, &tile<8, 3>};
constexpr Tile kTiles4[] = {&tile<1, 4>, &tile<2, 4>, &tile<3, 4>, &tile<4, 4>, &tile<5, 4>, &tile<6, 4>};
#endif

// All columns of some rows.
void multiply_rows(const PanelGemm& g) {
  for (int64_t column = 0; column < g.columns;) {
#if defined(__AVX512F__)
    const int64_t panels = (g.columns - column + kPanelWidth - 1) / kPanelWidth;
    if (panels >= 4 && g.rows <= kMaxRows4) {
      column_of_tiles(g, column, 4 * kPanelWidth, kTiles4, kMaxRows4);
      column += 4 * kPanelWidth;
      continue;
    }
    if (panels == 3) {
      column_of_tiles(g, column, 3 * kPanelWidth, kTiles3, kMaxRows3);
      return;
    }
    if (panels == 1) {
      column_of_tiles(g, column, kPanelWidth, kTiles1, kMaxRows2);
      return;
    }
#endif
    column_of_tiles(g, column, 2 * kLanes, kTiles2, kMaxRows2);
    column += 2 * kLanes;
  }
}

void multiply(const PanelGemm& g) {
  // While B fits into the second cache it is read again for every few rows, and both A and C are passed over once. Else as
  // many rows as fit there share each pass over B.
  constexpr int64_t kFewRows = 56, kCachedFloats = 96 << 10;
  int64_t rows = kFewRows;
  if (g.columns * g.depth > kCachedFloats && kCachedFloats / g.depth > rows) rows = kCachedFloats / g.depth / kFewRows * kFewRows;
  if (g.rows < 2 * rows) {
    if (g.rows > 0) multiply_rows(g);
    return;
  }
  PanelGemm part = g;
  TileEpilogue epilogue;
  if (g.epilogue != nullptr) {
    epilogue = *g.epilogue;
    part.epilogue = &epilogue;
  }
  for (int64_t row = 0; row < g.rows; row += part.rows) {
    part.rows = g.rows - row < 2 * rows ? g.rows - row : rows;
    multiply_rows(part);
    part.a += part.rows * g.lda;
    part.c += part.rows * g.ldc;
    if (epilogue.residual != nullptr) epilogue.residual += part.rows * g.ldc;
  }
}

CAMEO_INLINE void copy(const float* from, float* to, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, load(from + i));
  if (i < n) store_part(to + i, load_part(from + i, n - i), n - i);
}
CAMEO_INLINE void clear(float* to, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, Vec{});
  if (i < n) store_part(to + i, Vec{}, n - i);
}

void gather(const WindowRows& w, int64_t first, int64_t rows, int64_t first_tap, int64_t last_tap, float* to, int64_t ld) {
  const int64_t out_size = w.out_height * w.out_width;
  int64_t image = first / out_size, oy = first % out_size / w.out_width, ox = first % w.out_width;
  const int64_t ky0 = first_tap / w.kernel_width, ky1 = (last_tap - 1) / w.kernel_width;
  const int64_t kx0 = first_tap % w.kernel_width, kx1 = last_tap - ky1 * w.kernel_width;
  // Where a window's row lies contiguously it is copied as one.
  const bool joined = w.dilation_width == 1 && w.channels == w.pixel_step;
  for (int64_t row = 0; row < rows; ++row, to += ld) {
    const int64_t left = ox * w.stride_width - w.pad_left;
    int64_t iy = oy * w.stride_height - w.pad_top + ky0 * w.dilation_height;
    const float* line = w.x + (image * w.height + iy) * w.width * w.pixel_step;
    float* out = to;
    for (int64_t ky = ky0; ky <= ky1; ++ky, iy += w.dilation_height, line += w.dilation_height * w.width * w.pixel_step) {
      const int64_t begin = ky == ky0 ? kx0 : 0, end = ky == ky1 ? kx1 : w.kernel_width;
      if (iy < 0 || iy >= w.height) {
        clear(out, (end - begin) * w.channels);
        out += (end - begin) * w.channels;
      } else if (joined) {
        if (left + begin >= 0 && left + end <= w.width) {
          copy(line + (left + begin) * w.channels, out, (end - begin) * w.channels);
        } else {
          int64_t lo = -left < begin ? begin : -left, hi = w.width - left > end ? end : w.width - left;
          if (lo > end) lo = end;
          if (hi < lo) hi = lo;
          clear(out, (lo - begin) * w.channels);
          copy(line + (left + lo) * w.channels, out + (lo - begin) * w.channels, (hi - lo) * w.channels);
          clear(out + (hi - begin) * w.channels, (end - hi) * w.channels);
        }
        out += (end - begin) * w.channels;
      } else {
        for (int64_t k = begin; k < end; ++k, out += w.channels) {
          const int64_t ix = left + k * w.dilation_width;
          if (ix < 0 || ix >= w.width)
            clear(out, w.channels);
          else
            copy(line + ix * w.pixel_step, out, w.channels);
        }
      }
    }
    if (++ox == w.out_width) {
      ox = 0;
      if (++oy == w.out_height) {
        oy = 0;
        ++image;
      }
    }
  }
}

using Four = float __attribute__((vector_size(16)));

void transpose(const float* from, int64_t ldf, int64_t rows, int64_t columns, float* to, int64_t ldt) {
  constexpr int64_t kBlock = 16;  // a block's lines are read and written whole while they are in the first cache
  for (int64_t i0 = 0; i0 < rows; i0 += kBlock)
    for (int64_t j0 = 0; j0 < columns; j0 += kBlock) {
      const int64_t i1 = i0 + kBlock < rows ? i0 + kBlock : rows, j1 = j0 + kBlock < columns ? j0 + kBlock : columns;
      int64_t j = j0;
      for (; j + 4 <= j1; j += 4) {
        int64_t i = i0;
        for (; i + 4 <= i1; i += 4) {
          Four r[4];
          for (int k = 0; k < 4; ++k) __builtin_memcpy(&r[k], from + (i + k) * ldf + j, sizeof(Four));
          const Four a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
          const Four c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
          r[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
          r[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
          r[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
          r[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
          for (int k = 0; k < 4; ++k) __builtin_memcpy(to + (j + k) * ldt + i, &r[k], sizeof(Four));
        }
        for (; i < i1; ++i)
          for (int k = 0; k < 4; ++k) to[(j + k) * ldt + i] = from[i * ldf + j + k];
      }
      for (; j < j1; ++j)
        for (int64_t i = i0; i < i1; ++i) to[j * ldt + i] = from[i * ldf + j];
    }
}

}  // namespace

extern const PanelGemmKernels panel_gemm_kernels = {.multiply = &multiply, .gather = &gather, .transpose = &transpose};

}  // namespace cameo::cpu::CAMEO_ISA
