// MatMul of float32 by constant weights: [..., K] x [K, N].
//
// Variants, chosen by what the processor has:
//   avx512  tiles of 8 rows x 32 columns: 16 sums, 2 vectors of B and 1 of A fill 19 of 32 registers
//   avx2    tiles of 4 rows x 16 columns: 8 sums, 2 vectors of B and 1 of A fill 11 of 16 registers
//   plain   the reference implementation
// A panel of B as wide as a tile is copied to contiguous memory and then used for all rows of A, so that the inner loop
// reads B in order. Sums run over k in order, with fused multiply-add: results differ from the reference by rounding only,
// and are the same whatever the number of rows.
#include <algorithm>

#include "ops/op.h"
#include "tactics/tactic.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define CAMEO_X86 1
#endif

namespace cameo::tactics {
namespace {

struct Problem {
  const float* a;  // rows x depth
  const float* b;  // depth x columns
  float* c;        // rows x columns
  int64_t rows, depth, columns;
};

#ifdef CAMEO_X86

// Multiplies the rows of A by one panel of B (depth x 2 vectors, padded with zeros) into `width` columns of C from
// `column` on. The bodies of both variants differ in the vector type alone.
#define CAMEO_PANEL(name, isa, Vector, lanes, tile, zero, load, broadcast, fma, store)                                              \
  template <int Rows>                                                                                                               \
  __attribute__((target(isa))) void name##_tile(const Problem& p, const float* panel, int64_t row, int64_t column, int64_t width) { \
    Vector sums[Rows][2];                                                                                                           \
    for (int r = 0; r < Rows; ++r) sums[r][0] = sums[r][1] = zero();                                                                \
    const float* a = p.a + row * p.depth;                                                                                           \
    for (int64_t k = 0; k < p.depth; ++k) {                                                                                         \
      const Vector b0 = load(panel + k * 2 * lanes), b1 = load(panel + k * 2 * lanes + lanes);                                      \
      for (int r = 0; r < Rows; ++r) {                                                                                              \
        const Vector x = broadcast(a[r * p.depth + k]);                                                                             \
        sums[r][0] = fma(x, b0, sums[r][0]);                                                                                        \
        sums[r][1] = fma(x, b1, sums[r][1]);                                                                                        \
      }                                                                                                                             \
    }                                                                                                                               \
    for (int r = 0; r < Rows; ++r) {                                                                                                \
      alignas(64) float out[2 * lanes];                                                                                             \
      store(out, sums[r][0]);                                                                                                       \
      store(out + lanes, sums[r][1]);                                                                                               \
      std::copy_n(out, width, p.c + (row + r) * p.columns + column);                                                                \
    }                                                                                                                               \
  }                                                                                                                                 \
  void name##_panel(const Problem& p, const float* panel, int64_t column, int64_t width) {                                          \
    int64_t row = 0;                                                                                                                \
    for (; row + tile <= p.rows; row += tile) name##_tile<tile>(p, panel, row, column, width);                                      \
    for (; row + 2 <= p.rows; row += 2) name##_tile<2>(p, panel, row, column, width);                                               \
    if (row < p.rows) name##_tile<1>(p, panel, row, column, width);                                                                 \
  }

CAMEO_PANEL(avx512, "avx512f", __m512, 16, 8, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps)
CAMEO_PANEL(avx2, "avx2,fma", __m256, 8, 4, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps)
#undef CAMEO_PANEL

bool has_avx512() { return __builtin_cpu_supports("avx512f"); }
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

Status multiply(ops::KernelContext& c, const Problem& p) {
  const bool wide = has_avx512();
  const int64_t step = wide ? 32 : 16;
  const auto panel = c.scratch<float>(p.depth * step);
  for (int64_t column = 0; column < p.columns; column += step) {
    const int64_t width = std::min(step, p.columns - column);
    for (int64_t k = 0; k < p.depth; ++k) {
      float* to = panel.data() + k * step;
      std::copy_n(p.b + k * p.columns + column, width, to);
      std::fill(to + width, to + step, 0.f);
    }
    (wide ? avx512_panel : avx2_panel)(p, panel.data(), column, width);
  }
  return {};
}

bool runs_here() { return has_avx512() || has_avx2(); }

#else

bool runs_here() { return false; }
Status multiply(ops::KernelContext&, const Problem&) { return error(ErrorCode::kInternal, "matmul_f32_tiled is for x86-64"); }

#endif

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  if (!runs_here()) return refuse("the processor has neither AVX-512 nor AVX2");
  const ir::Type &a = facts[node.inputs[0]].type, &b = facts[node.inputs[1]].type;
  if (a.dtype != DType::kFloat32 || b.dtype != DType::kFloat32) return refuse("the inputs are not both float32");
  if (!facts[node.inputs[1]].constant.defined() || !b.shape || b.shape->size() != 2) return refuse("the right side is no constant matrix");
  if (!a.shape || a.shape->size() < 2) return refuse("the left side is not known to be a matrix or a stack of them");
  return {};
}

Status run(ops::KernelContext& c) {
  const Tensor &a = c.input(0), &b = c.input(1);
  // A plan may have been altered since supports() was asked.
  const bool fits = a.dtype() == DType::kFloat32 && b.dtype() == DType::kFloat32 && a.rank() >= 2 && b.rank() == 2 && runs_here();
  const int64_t columns = fits ? b.dim(1) : 0;
  Tensor& y = c.output(0);
  const int64_t rows = columns > 0 ? y.num_elements() / columns : 0;
  // Few rows cost less to multiply than B costs to copy; the reference reads B where it lies.
  if (rows < 4 || b.dim(0) == 0) return c.node().op->reference(c);
  return multiply(c, {a.data<float>(), b.data<float>(), y.data<float>(), rows, b.dim(0), columns});
}

}  // namespace

CAMEO_DEFINE_TACTIC(matmul_f32_tiled) = {
    .name = "matmul_f32_tiled",
    .op = "MatMul",
    .supports = &supports,
    .run = &run,
};

}  // namespace cameo::tactics
