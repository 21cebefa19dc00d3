// The float32 matrix product that MatMul and Gemm run on: C = epilogue(A B), where B lies in packed panels.
//
// B as panels of 16 columns, [ceil(N/16)][K][16], the last one padded with zeros: pack_panels makes them. Every element of
// C is one sum over k in order, whatever the split and the number of rows: results do not depend on threads or on the batch.
#pragma once

#include <cstdint>

#include "backends/cpu/kernels/pointwise.h"
#include "backends/cpu/simd/isa.h"
#include "ops/point_op.h"

namespace cameo::cpu {

inline constexpr int64_t kPanelColumns = 16;

// An operand of an epilogue: its element for row r and column j of C is
//   data[(r / rows_per_step) * step_stride + (r % rows_per_step) * row_stride + (j if by_column)].
struct GemmOperand {
  const float* data = nullptr;
  int64_t row_stride = 0;
  int64_t rows_per_step = INT64_MAX;
  int64_t step_stride = 0;
  bool by_column = true;
};

// One link of a chain: x = op(x, operand or constants).
struct GemmStep {
  ops::PointOp op;
  int8_t operand = -1;      // index of the operand, or -1: constants
  bool swapped = false;     // op(operand, x): Sub and Div
  float constants[2] = {};  // what the operation reads beside x
};

inline constexpr int kMaxGemmSteps = 8, kMaxGemmOperands = 16;

// What becomes of alpha * A B before it is stored. gemm_epilogue() (gemm_f32_parallel.h) makes one of a program.
struct GemmEpilogue {
  float alpha = 1;
  int num_operands = 0;
  GemmOperand operands[kMaxGemmOperands] = {};
  // First, in registers: + bias (a row, or -1), + residual (a matrix, or -1), then between low and high.
  int8_t bias = -1, residual = -1;
  bool clip = false;
  float low = 0, high = 0;
  // Then a chain of steps on tiles in the L1 cache;
  int num_steps = 0;
  GemmStep steps[kMaxGemmSteps] = {};
  // or a whole program over the product and the operands.
  const ops::PointInstruction* code = nullptr;
  int num_instructions = 0;
  const float* constants = nullptr;
  void (*run_row)(const PointwiseRow& row) = nullptr;  // for what steps and programs need beyond arithmetic
};

struct GemmF32 {
  // A, rows x depth: element (r, k) is a[r * a_row_stride + k * a_step], one of which is 1.
  const float* a = nullptr;
  int64_t a_row_stride = 0;
  int64_t a_step = 1;
  int64_t depth = 0;
  // B: element (k, j) is b[(j / 16) * b_panel + k * b_step + j % 16]. Packed: b_step = 16, b_panel = 16 K. Rows of a plain
  // matrix can be read in place (b_step = its row stride, b_panel = 16) where the columns are whole panels.
  const float* b = nullptr;
  int64_t b_step = kPanelColumns;
  int64_t b_panel = 0;
  int64_t b_first_panel = 0;  // the panel that lies at b
  int64_t columns = 0;
  // C: row r at c + r * c_stride. It must not overlap A or B.
  float* c = nullptr;
  int64_t c_stride = 0;
  const GemmEpilogue* epilogue = nullptr;  // null: C = A B
};

// The most rows that one call of multiply() should get: A's share of the L2 cache.
inline constexpr int64_t kGemmBlockRows = 168;
// The depth is cut into blocks of equal size, of at most kGemmDepth. Rows of A are copied block by block,
// [blocks][rows][kGemmRowStride], so that no two lines of a tile compete for a place in the cache.
inline constexpr int64_t kGemmDepth = 256, kGemmRowStride = kGemmDepth + 16;
constexpr int64_t gemm_depth_blocks(int64_t depth) { return depth > kGemmDepth ? (depth + kGemmDepth - 1) / kGemmDepth : 1; }
// Floats of scratch (64-byte aligned) that multiply() needs.
inline constexpr int64_t kGemmScratch = kGemmBlockRows * kGemmRowStride * 4;

struct GemmF32Kernels {
  // Rows [row_begin, row_end), at most kGemmBlockRows, of panels [panel_begin, panel_end), on the calling thread. The rows are
  // read from `packed` where that is not null, else they are packed into scratch.
  void (*multiply)(const GemmF32& gemm, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end, const float* packed,
                   float* scratch);
  // Copies one block of the depth of rows [row_begin, row_end) of A to its place in `packed`.
  void (*pack_rows)(const GemmF32& gemm, int64_t row_begin, int64_t row_end, int64_t block, float* packed);
  // The same for few rows of A and a B whose element (k, j) is b[j * b_panel + k]: dot products of rows of A (a_step 1)
  // with rows of B where they lie, for columns [column_begin, column_end); column_begin is a multiple of 16.
  void (*multiply_rows)(const GemmF32& gemm, int64_t rows, int64_t column_begin, int64_t column_end);
  // Packs columns [0, columns) of a matrix whose element (k, j) is b[k * row_stride + j * column_stride], one stride being
  // 1, into panels of depth * 16 floats.
  void (*pack_panels)(const float* b, int64_t row_stride, int64_t column_stride, int64_t depth, int64_t columns, float* panels);
};
CAMEO_ISA_TABLE(GemmF32Kernels, gemm_f32_kernels)

}  // namespace cameo::cpu
