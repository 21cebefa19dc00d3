// Register-tiled float32 matrix products over packed panels (gemm_f32.h).
//
// A tile is R rows by P panels of 16 columns whose sums stay in registers over one block of the depth. Per step of k it
// loads P panels of B and broadcasts R elements of A. Variants by what fills the registers:
//   AVX-512 (32 registers)  14 x 2 panels; for few rows 9 x 3, 6 x 4
//   AVX2 (16)               6 x 1; 2 x 2; 1 x 3
//   portable (16 of SSE)    2 x 1
// A block of rows of A is first copied to scratch with a fixed row stride: the copy costs a load and a store for every
// `columns` multiplications, makes all addresses constants from one pointer, and keeps rows whose stride is a power of two
// from evicting each other. The block stays in the L2 cache, the panels in use stay in L1 while all tiles of the block pass
// over them, and the next panels are fetched meanwhile.
// Few rows of A by rows of B (multiply_rows) are dot products: vectors of sums along the depth, 4 x 4 at a time (AVX-512),
// 2 x 4 (others), or up to 6 x 1.
#include "backends/cpu/kernels/gemm_f32.h"

#include "backends/cpu/simd/math.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

constexpr int64_t kPanel = kPanelColumns;
constexpr int kPanelVectors = kPanel / kLanes;
constexpr int64_t kTileFloats = 512;

constexpr int max_rows(int panels) {
  const int vectors = panels * kPanelVectors, rows = (kVectorRegisters - 1 - vectors) / vectors;
  return rows > 14 ? 14 : rows;
}
// Panels of a tile when there are many rows.
constexpr int kManyPanels = kLanes == 16 ? 2 : 1;
constexpr int kMaxPanels = 4;

struct Tile {
  const float* a;  // kGemmRowStride between rows
  const float* b;
  int64_t b_step, b_panel;
  int64_t depth;
  const float* fetch;  // of the panels to come, what this tile brings into the cache: fetch_step floats a step of k
  int64_t fetch_step;
  float* c;
  int64_t c_stride;
  int64_t columns;               // of C, at most 16 * panels
  bool add;                      // C holds the sums over the depth before this block
  const GemmEpilogue* epilogue;  // null: only the sums are stored
  int64_t row, column;           // of the tile in C
};

CAMEO_INLINE const float* operand_row(const GemmOperand& operand, int64_t row, int64_t column) {
  const float* p = operand.data + (operand.by_column ? column : 0);
  if (row < operand.rows_per_step) return p + row * operand.row_stride;
  return p + row / operand.rows_per_step * operand.step_stride + row % operand.rows_per_step * operand.row_stride;
}

CAMEO_INLINE Vec clip(Vec x, Vec low, Vec high) {
  x = low > x ? low : x;  // NaN stays
  return high < x ? high : x;
}

CAMEO_INLINE Vec load_columns(const float* p, int64_t count) { return count >= kLanes ? load(p) : load_part(p, count < 0 ? 0 : count); }
CAMEO_INLINE void store_columns(float* p, Vec v, int64_t count) {
  if (count >= kLanes)
    store(p, v);
  else if (count > 0)
    store_part(p, v, count);
}

// A tile in memory, and where the result of a step goes: to the tile itself, or to C if its columns are all there.
struct Step {
  float* tile;
  int rows;
  int64_t width;
  float* to;
  int64_t to_stride;
};

template <class Fn>
CAMEO_INLINE void for_all(const Step& s, Fn fn) {
  const float* from = s.tile;
  float* to = s.to;
  for (int r = 0; r < s.rows; ++r, from += s.width, to += s.to_stride)
    for (int64_t j = 0; j < s.width; j += kLanes) store(to + j, fn(load(from + j)));
}

// Applies fn(x, operand) to all elements of a tile of which `columns` columns exist.
template <class Fn>
CAMEO_INLINE void with_operand(const Step& s, const Tile& t, const GemmStep& step, Fn fn) {
  if (step.operand < 0) return for_all(s, [&, y = splat(step.constants[0])](Vec x) { return fn(x, y); });
  const GemmOperand& operand = t.epilogue->operands[step.operand];
  const float* from = s.tile;
  float* to = s.to;
  for (int r = 0; r < s.rows; ++r, from += s.width, to += s.to_stride) {
    const float* p = operand_row(operand, t.row + r, t.column);
    if (!operand.by_column) {
      const Vec y = splat(*p);
      for (int64_t j = 0; j < s.width; j += kLanes) store(to + j, fn(load(from + j), y));
    } else {
      for (int64_t j = 0; j < t.columns; j += kLanes) store(to + j, fn(load(from + j), load_columns(p + j, t.columns - j)));
    }
  }
}

void run_step(const Step& s, const Tile& t, const GemmStep& step) {
  using ops::PointOp;
  const float* c = step.constants;
  switch (step.op) {
    case PointOp::kAdd:
      return with_operand(s, t, step, [](Vec x, Vec y) { return x + y; });
    case PointOp::kMul:
      return with_operand(s, t, step, [](Vec x, Vec y) { return x * y; });
    case PointOp::kSub:
      if (step.swapped) return with_operand(s, t, step, [](Vec x, Vec y) { return y - x; });
      return with_operand(s, t, step, [](Vec x, Vec y) { return x - y; });
    case PointOp::kDiv:
      if (step.swapped) return with_operand(s, t, step, [](Vec x, Vec y) { return y / x; });
      return with_operand(s, t, step, [](Vec x, Vec y) { return x / y; });
    case PointOp::kRelu:
      return for_all(s, [](Vec x) { return Vec{} > x ? Vec{} : x; });
    case PointOp::kClip:
      return for_all(s, [low = splat(c[0]), high = splat(c[1])](Vec x) { return clip(x, low, high); });
    case PointOp::kGelu:
      return for_all(s, [](Vec x) { return x * 0.5f * (1.f + verf(x * 0.707106781f)); });
    case PointOp::kGeluTanh:  // (1 + tanh u) / 2 = 1 / (1 + e^-2u)
      return for_all(
          s, [](Vec x) { return x / (1.f + vexp2(vmin(splat(200.f), x * fma(x * x, splat(-0.102943240f), splat(-2.30220819f))))); });
    case PointOp::kTanh:
      return for_all(s, [](Vec x) { return vtanh(x); });
    case PointOp::kSigmoid:
      return for_all(s, [](Vec x) { return vsigmoid(x); });
    case PointOp::kSwish:
      return for_all(s, [](Vec x) { return x * vsigmoid(x); });
    case PointOp::kHardSigmoid:
      return for_all(s, [a = splat(c[0]), b = splat(c[1])](Vec x) { return clip(fma(x, a, b), Vec{}, splat(1)); });
    case PointOp::kHardSwish:
      return for_all(s, [](Vec x) { return x * clip(x * (1.f / 6.f) + 0.5f, Vec{}, splat(1)); });
    default: {
      // One operation on the tile, by the kernels of element-by-element programs.
      const ops::PointInstruction code = {step.op, 0, -1, -2};
      const float* inputs[1] = {s.tile};
      const uint8_t steps[1] = {1};
      t.epilogue->run_row({&code, 1, 1, step.constants, inputs, steps, s.tile, s.rows * s.width});
      if (s.to != s.tile) for_all(s, [](Vec x) { return x; });
    }
  }
}

// The program over the whole tile, with the operands copied beside it.
void run_program(float* tile, int rows, int64_t width, const Tile& t) {
  const GemmEpilogue& e = *t.epilogue;
  alignas(64) float copies[kMaxGemmOperands - 1][kTileFloats];
  const float* inputs[kMaxGemmOperands] = {tile};
  uint8_t steps[kMaxGemmOperands] = {1};
  for (int i = 0; i < e.num_operands; ++i) {
    const GemmOperand& operand = e.operands[i];
    inputs[i + 1] = copies[i];
    if (!operand.by_column && operand.row_stride == 0 && operand.step_stride == 0) {
      inputs[i + 1] = operand.data;
      steps[i + 1] = 0;
      continue;
    }
    steps[i + 1] = 1;
    for (int r = 0; r < rows; ++r) {
      const float* p = operand_row(operand, t.row + r, t.column);
      for (int64_t j = 0; j < width; j += kLanes)
        store(copies[i] + r * width + j, operand.by_column ? load_columns(p + j, t.columns - j) : splat(*p));
    }
  }
  e.run_row({e.code, e.num_instructions, e.num_operands + 1, e.constants, inputs, steps, tile, rows * width});
}

// Runs what follows the first part of the epilogue on a tile and stores it.
__attribute__((noinline)) void store_tile(float* tile, int rows, int64_t width, const Tile& t) {
  if (const GemmEpilogue* e = t.epilogue) {
    Step step = {tile, rows, width, tile, width};
    for (int i = 0; i < e->num_steps; ++i) {
      const bool last = i + 1 == e->num_steps && t.columns == width;
      if (last) step.to = t.c, step.to_stride = t.c_stride;
      run_step(step, t, e->steps[i]);
      if (last) return;
    }
    if (e->num_instructions > 0) run_program(tile, rows, width, t);
  }
  for (int r = 0; r < rows; ++r)
    for (int64_t j = 0; j < t.columns; j += kLanes) store_columns(t.c + r * t.c_stride + j, load(tile + r * width + j), t.columns - j);
}

// The same for a tile of sums that is not whole vectors of C, from the start.
__attribute__((noinline)) void finish_tile(float* tile, int rows, int64_t width, const Tile& t) {
  if (t.add)
    for (int r = 0; r < rows; ++r)
      for (int64_t j = 0; j < t.columns; j += kLanes)
        store(tile + r * width + j, load(tile + r * width + j) + load_columns(t.c + r * t.c_stride + j, t.columns - j));
  if (const GemmEpilogue* e = t.epilogue) {
    const Step step = {tile, rows, width, tile, width};
    if (e->alpha != 1) for_all(step, [alpha = splat(e->alpha)](Vec x) { return x * alpha; });
    GemmStep add{ops::PointOp::kAdd};
    for (int8_t operand : {e->bias, e->residual}) {
      add.operand = operand;
      if (operand >= 0) run_step(step, t, add);
    }
    if (e->clip) for_all(step, [low = splat(e->low), high = splat(e->high)](Vec x) { return clip(x, low, high); });
  }
  store_tile(tile, rows, width, t);
}

template <int R, int P>
void multiply_tile(const Tile& t) {
  constexpr int V = P * kPanelVectors;
  Vec sums[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sums[r][v] = Vec{};
  const float *a = t.a, *b = t.b;
  const float* fetch = t.fetch;
  const int64_t b_step = t.b_step, b_panel = t.b_panel, fetch_step = t.fetch_step;
  for (int64_t k = 0; k < t.depth; ++k, ++a, b += b_step, fetch += fetch_step) {
    Vec y[V];
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) y[v] = load(b + v / kPanelVectors * b_panel + v % kPanelVectors * kLanes);
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) __builtin_prefetch(fetch + p * b_panel);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec x = splat(a[r * kGemmRowStride]);
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) sums[r][v] = fma(x, y[v], sums[r][v]);
    }
  }

  const GemmEpilogue* e = t.epilogue;
  alignas(64) float tile[kTileFloats];
  const auto spill = [&]() __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) store(tile + (r * V + v) * kLanes, sums[r][v]);
  };
  if (t.columns < P * kPanel) {
    spill();
    return finish_tile(tile, R, P * kPanel, t);
  }
  if (t.add) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) sums[r][v] += load(t.c + r * t.c_stride + v * kLanes);
  }
  if (e != nullptr) {
    if (e->alpha != 1) {
      const Vec alpha = splat(e->alpha);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) sums[r][v] *= alpha;
    }
    if (e->bias >= 0) {
      const float* bias = e->operands[e->bias].data + t.column;
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        const Vec y = load(bias + v * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) sums[r][v] += y;
      }
    }
    if (e->residual >= 0) {
      const GemmOperand& operand = e->operands[e->residual];
      const float* residual = operand.data + t.row * operand.row_stride + t.column;
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) sums[r][v] += load(residual + r * operand.row_stride + v * kLanes);
    }
    if (e->clip) {
      const Vec low = splat(e->low), high = splat(e->high);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) sums[r][v] = clip(sums[r][v], low, high);
    }
    if (e->num_steps > 0 || e->num_instructions > 0) {
      spill();
      return store_tile(tile, R, P * kPanel, t);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) store(t.c + r * t.c_stride + v * kLanes, sums[r][v]);
}

using TileFn = void (*)(const Tile&);
struct TileTable {
  TileFn fn[kMaxPanels + 1][16] = {};
};
template <int P, int R>
constexpr void fill(TileTable& table) {
  if constexpr (R <= max_rows(P)) {
    table.fn[P][R] = &multiply_tile<R, P>;
    fill<P, R + 1>(table);
  }
}
constexpr TileTable make_tiles() {
  TileTable table;
  fill<1, 1>(table);
  fill<2, 1>(table);
  fill<3, 1>(table);
  fill<4, 1>(table);
  return table;
}
constexpr TileTable kTiles = make_tiles();

void copy(const float* from, float* to, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, load(from + i));
  if (i < count) store_part(to + i, load_part(from + i, count - i), count - i);
}

// Four floats, the unit of transposition.
using Vec4 = float __attribute__((vector_size(16)));

CAMEO_INLINE void transpose(Vec4& a, Vec4& b, Vec4& c, Vec4& d) {
  const Vec4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), AB = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Vec4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  b = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  c = __builtin_shufflevector(AB, CD, 0, 1, 4, 5);
  d = __builtin_shufflevector(AB, CD, 2, 3, 6, 7);
}

// to[r * to_stride + k] = from[k * stride + r]
void copy_transposed(const float* from, int64_t stride, int64_t rows, int64_t depth, float* to, int64_t to_stride) {
  const int64_t whole = depth / 4 * 4;
  for (int64_t k = 0; k < whole; k += 4) {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
      Vec4 v[4];
      for (int64_t i = 0; i < 4; ++i) __builtin_memcpy(&v[i], from + (k + i) * stride + r, sizeof v[i]);
      transpose(v[0], v[1], v[2], v[3]);
      for (int64_t i = 0; i < 4; ++i) __builtin_memcpy(to + (r + i) * to_stride + k, &v[i], sizeof v[i]);
    }
    for (; r < rows; ++r)
      for (int64_t i = 0; i < 4; ++i) to[r * to_stride + k + i] = from[(k + i) * stride + r];
  }
  for (int64_t k = whole; k < depth; ++k)
    for (int64_t r = 0; r < rows; ++r) to[r * to_stride + k] = from[k * stride + r];
}

// Elements [begin, end) of the depth make up a block.
struct Block {
  int64_t begin, end;
};
CAMEO_INLINE Block depth_block(int64_t depth, int64_t blocks, int64_t block) {
  return {depth * block / blocks, depth * (block + 1) / blocks};
}

void pack_rows(const GemmF32& g, int64_t row_begin, int64_t row_end, int64_t block, float* packed) {
  const int64_t rows = row_end - row_begin;
  const auto [begin, end] = depth_block(g.depth, gemm_depth_blocks(g.depth), block);
  float* to = packed + block * rows * kGemmRowStride;
  if (g.a_step == 1) {
    for (int64_t r = 0; r < rows; ++r) copy(g.a + (row_begin + r) * g.a_row_stride + begin, to + r * kGemmRowStride, end - begin);
  } else {
    copy_transposed(g.a + row_begin + begin * g.a_step, g.a_step, rows, end - begin, to, kGemmRowStride);
  }
}

void multiply(const GemmF32& g, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end, const float* packed,
              float* scratch) {
  const int64_t rows = row_end - row_begin, depth = g.depth;
  if (rows <= 0 || panel_begin >= panel_end) return;
  int group = kManyPanels;
  // More panels keep the multipliers busy where there are few rows. What comes from memory is read faster from fewer places.
  constexpr int64_t kCachedFloats = 1 << 18;
  for (int p = kMaxPanels; p > kManyPanels && depth * g.columns <= kCachedFloats; --p)
    if (rows <= max_rows(p)) {
      group = p;
      break;
    }
  const int64_t tiles = (rows + max_rows(group) - 1) / max_rows(group);
  const int64_t blocks = gemm_depth_blocks(depth);
  // A single row is read where it lies: it needs no stride.
  const bool in_place = rows == 1 && g.a_step == 1;
  // As many blocks at once as stay in the cache.
  const int64_t fitting = kGemmScratch / (rows * kGemmRowStride), at_once = fitting < 1 ? 1 : fitting;
  for (int64_t first = 0; first < blocks; first += at_once) {
    const int64_t last = first + at_once < blocks ? first + at_once : blocks;
    const float* a = packed;
    if (packed == nullptr && !in_place) {
      float* to = scratch - first * rows * kGemmRowStride;
      for (int64_t block = first; block < last; ++block) pack_rows(g, row_begin, row_end, block, to);
      a = to;
    }
    int panels;
    for (int64_t panel = panel_begin; panel < panel_end; panel += panels) {
      panels = panel_end - panel < group ? static_cast<int>(panel_end - panel) : group;
      for (int64_t block = first; block < last; ++block) {
        const auto [k, k_end] = depth_block(depth, blocks, block);
        Tile t;
        t.b = g.b + (panel - g.b_first_panel) * g.b_panel + k * g.b_step;
        t.b_step = g.b_step;
        t.b_panel = g.b_panel;
        t.depth = k_end - k;
        t.c_stride = g.c_stride;
        t.column = panel * kPanel;
        t.columns = g.columns - t.column < panels * kPanel ? g.columns - t.column : panels * kPanel;
        t.add = block > 0;
        t.epilogue = block == blocks - 1 ? g.epilogue : nullptr;
        // The tiles share the work of fetching what follows this block of the panels.
        const int64_t back = k - depth_block(depth, blocks, first).begin;
        const float* next = t.b + (block + 1 < last ? t.depth * g.b_step : panels * g.b_panel - back * g.b_step);
        t.fetch_step = (g.b_step + tiles - 1) / tiles;
        int64_t row = 0;
        for (int64_t i = 0; i < tiles; ++i) {
          const int64_t end = rows * (i + 1) / tiles;
          t.a = in_place ? g.a + row_begin * g.a_row_stride + k : a + (block * rows + row) * kGemmRowStride;
          t.row = row_begin + row;
          t.c = g.c + t.row * g.c_stride + t.column;
          t.fetch = next + i * t.depth * t.fetch_step;
          kTiles.fn[panels][end - row](t);
          row = end;
        }
      }
    }
  }
}

// to[k * 16 + j] = from[j * stride + k] for j < 16, k < depth.
void transpose_panel(const float* from, int64_t stride, int64_t depth, float* to) {
  int64_t k = 0;
#if defined(__AVX512F__)
  for (; k + 16 <= depth; k += 16) {
    // Quarters of four rows make a register, whose 4 x 4 blocks are then transposed side by side.
    for (int64_t q = 0; q < 16; q += 4) {
      __m512 r[4];
#pragma GCC unroll 4
      for (int64_t i = 0; i < 4; ++i) {
        const float* p = from + i * stride + k + q;
        __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(p));
        x = _mm512_insertf32x4(x, _mm_loadu_ps(p + 4 * stride), 1);
        x = _mm512_insertf32x4(x, _mm_loadu_ps(p + 8 * stride), 2);
        r[i] = _mm512_insertf32x4(x, _mm_loadu_ps(p + 12 * stride), 3);
      }
      const __m512 ab = _mm512_maskz_unpacklo_ps(0xffff, r[0], r[1]), AB = _mm512_maskz_unpackhi_ps(0xffff, r[0], r[1]);
      const __m512 cd = _mm512_maskz_unpacklo_ps(0xffff, r[2], r[3]), CD = _mm512_maskz_unpackhi_ps(0xffff, r[2], r[3]);
      float* out = to + (k + q) * 16;
      _mm512_storeu_ps(out, _mm512_maskz_shuffle_ps(0xffff, ab, cd, 0x44));
      _mm512_storeu_ps(out + 16, _mm512_maskz_shuffle_ps(0xffff, ab, cd, 0xee));
      _mm512_storeu_ps(out + 32, _mm512_maskz_shuffle_ps(0xffff, AB, CD, 0x44));
      _mm512_storeu_ps(out + 48, _mm512_maskz_shuffle_ps(0xffff, AB, CD, 0xee));
    }
  }
#endif
  copy_transposed(from + k, stride, depth - k, kPanel, to + k * kPanel, kPanel);
}

// Row by row, a few panels at once, so that a row is read in long pieces.
void copy_panels(const float* b, int64_t row_stride, int64_t depth, int64_t columns, float* panels) {
  constexpr int64_t kAtOnce = 8 * kPanel;
  for (int64_t column = 0; column < columns; column += kAtOnce) {
    const int64_t width = columns - column < kAtOnce ? columns - column : kAtOnce;
    const int64_t whole = width / kPanel;
    for (int64_t k = 0; k < depth; ++k) {
      const float* from = b + k * row_stride + column;
      float* to = panels + column * depth + k * kPanel;
      for (int64_t p = 0; p < whole; ++p, from += kPanel, to += depth * kPanel)
        for (int64_t j = 0; j < kPanel; j += kLanes) store(to + j, load(from + j));
      const int64_t rest = width - whole * kPanel;
      if (rest > 0)
        for (int64_t j = 0; j < kPanel; j += kLanes) store(to + j, load_columns(from + j, rest - j));
    }
  }
}

void pack_panels(const float* b, int64_t row_stride, int64_t column_stride, int64_t depth, int64_t columns, float* panels) {
  if (column_stride == 1) return copy_panels(b, row_stride, depth, columns, panels);
  for (int64_t column = 0; column < columns; column += kPanel, panels += depth * kPanel) {
    const int64_t width = columns - column < kPanel ? columns - column : kPanel;
    if (row_stride == 1 && width == kPanel) {
      transpose_panel(b + column * column_stride, column_stride, depth, panels);
    } else {
      for (int64_t k = 0; k < depth; ++k)
        for (int64_t j = 0; j < kPanel; ++j) panels[k * kPanel + j] = j < width ? b[k * row_stride + (column + j) * column_stride] : 0;
    }
  }
}

CAMEO_INLINE Vec4 quarters(Vec v) {
#if defined(__AVX512F__)
  const auto half = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  return __builtin_shufflevector(half, half, 0, 1, 2, 3) + __builtin_shufflevector(half, half, 4, 5, 6, 7);
#elif defined(__AVX2__)
  return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
#else
  return v;
#endif
}

// R rows of A by J rows of B: sums[r * 16 + j]. Meanwhile J * fetch_step floats a
// vector of k are fetched from `fetch` on: in their order in memory, because processors foresee that themselves before long.
template <int R, int J>
CAMEO_INLINE void dot_products(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t depth, const float* fetch,
                               int64_t fetch_step, float* sums) {
  Vec v[R][J];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j) v[r][j] = Vec{};
  const auto step = [&](int64_t k, auto load_next) __attribute__((always_inline)) {
    Vec x[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) x[r] = load_next(a + r * a_stride + k);
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j) {
      const Vec y = load_next(b + j * b_stride + k);
      __builtin_prefetch(fetch);
      fetch += fetch_step;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) v[r][j] = fma(x[r], y, v[r][j]);
    }
  };
  int64_t k = 0;
  for (; k + kLanes <= depth; k += kLanes)
    step(
        k, [](const float* p) __attribute__((always_inline)) { return load(p); });
  if (k < depth)
    step(
        k, [count = depth - k](const float* p) __attribute__((always_inline)) { return load_part(p, count); });
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    if constexpr (J % 4 == 0) {
#pragma GCC unroll 8
      for (int j = 0; j < J; j += 4) {
        Vec4 q[4] = {quarters(v[r][j]), quarters(v[r][j + 1]), quarters(v[r][j + 2]), quarters(v[r][j + 3])};
        transpose(q[0], q[1], q[2], q[3]);
        const Vec4 total = (q[0] + q[1]) + (q[2] + q[3]);
        __builtin_memcpy(sums + r * kPanel + j, &total, sizeof total);
      }
    } else {
#pragma GCC unroll 8
      for (int j = 0; j < J; ++j) {
        const Vec4 q = quarters(v[r][j]);
        sums[r * kPanel + j] = (q[0] + q[1]) + (q[2] + q[3]);
      }
    }
  }
}

// All of up to kDotRows rows by J rows of B: a few rows share each load of B, and then all use it from the L1 cache. They
// share the work of fetching the next J rows of B.
constexpr int64_t kDotRows = 8;
template <int J>
void dot_columns(const GemmF32& g, int64_t row, int64_t rows, const float* b, float* tile) {
  constexpr int kRows = kVectorRegisters == 32 ? 4 : 2;
  const int64_t stride = g.a_row_stride, tiles = (rows + kRows - 1) / kRows;
  const int64_t fetch_step = (kLanes + tiles - 1) / tiles, fetched = J * (g.depth / tiles);
  const float *a = g.a + row * stride, *fetch = b + J * g.b_panel;
  const auto advance = [&](int64_t count) {
    a += count * stride;
    tile += count * kPanel;
    fetch += fetched;
    rows -= count;
  };
  for (; rows >= kRows; advance(kRows)) dot_products<kRows, J>(a, stride, b, g.b_panel, g.depth, fetch, fetch_step, tile);
  if constexpr (kRows == 4) {
    if (rows == 3) return dot_products<3, J>(a, stride, b, g.b_panel, g.depth, fetch, fetch_step, tile);
    if (rows == 2) return dot_products<2, J>(a, stride, b, g.b_panel, g.depth, fetch, fetch_step, tile);
  }
  if (rows == 1) dot_products<1, J>(a, stride, b, g.b_panel, g.depth, fetch, fetch_step, tile);
}

// All of up to kFewDotRows rows by one row of B after the other: a single stream is read fastest from memory.
constexpr int64_t kFewDotRows = 6;
void dot_column(const GemmF32& g, int64_t rows, const float* b, float* tile) {
  constexpr int64_t kAhead = 1024;  // floats
  const float* fetch = b + (g.b_panel < kAhead ? kAhead : g.b_panel);
  const int64_t stride = g.a_row_stride;
  switch (rows) {
    case 1:
      return dot_products<1, 1>(g.a, stride, b, g.b_panel, g.depth, fetch, kLanes, tile);
    case 2:
      return dot_products<2, 1>(g.a, stride, b, g.b_panel, g.depth, fetch, kLanes, tile);
    case 3:
      return dot_products<3, 1>(g.a, stride, b, g.b_panel, g.depth, fetch, kLanes, tile);
    case 4:
      return dot_products<4, 1>(g.a, stride, b, g.b_panel, g.depth, fetch, kLanes, tile);
    case 5:
      return dot_products<5, 1>(g.a, stride, b, g.b_panel, g.depth, fetch, kLanes, tile);
    default:
      return dot_products<6, 1>(g.a, stride, b, g.b_panel, g.depth, fetch, kLanes, tile);
  }
}

void multiply_rows(const GemmF32& g, int64_t rows, int64_t column_begin, int64_t column_end) {
  for (int64_t column = column_begin; column < column_end; column += kPanel) {
    const int64_t columns = column_end - column < kPanel ? column_end - column : kPanel;
    for (int64_t row = 0; row < rows; row += kDotRows) {
      const int64_t count = rows - row < kDotRows ? rows - row : kDotRows;
      alignas(64) float tile[kDotRows * kPanel] = {};
      const float* b = g.b + column * g.b_panel;
      int64_t j = 0;
      if (rows <= kFewDotRows)
        for (; j < columns; ++j) dot_column(g, rows, b + j * g.b_panel, tile + j);
      for (; j + 4 <= columns; j += 4) dot_columns<4>(g, row, count, b + j * g.b_panel, tile + j);
      for (; j < columns; ++j) dot_columns<1>(g, row, count, b + j * g.b_panel, tile + j);
      Tile t = {};
      t.c = g.c + row * g.c_stride + column;
      t.c_stride = g.c_stride;
      t.columns = columns;
      t.epilogue = g.epilogue;
      t.row = row;
      t.column = column;
      finish_tile(tile, static_cast<int>(count), kPanel, t);
    }
  }
}

}  // namespace

const GemmF32Kernels gemm_f32_kernels = {
    .multiply = &multiply, .pack_rows = &pack_rows, .multiply_rows = &multiply_rows, .pack_panels = &pack_panels};

}  // namespace cameo::cpu::CAMEO_ISA
