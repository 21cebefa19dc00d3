// Float32 matrix products over all threads of a pool, and the epilogues of fused operators (gemm_f32.h).
#pragma once

#include <span>

#include "backends/cpu/kernels/gemm_f32.h"
#include "ops/pointwise_program.h"

namespace cameo {
class ThreadPool;
}

namespace cameo::cpu {

// Rows [0, rows) of all columns of products that share A (one, or those of a node whose result is split), dealt out to the
// pool evenly. `scratch` holds gemm_f32_scratch() floats.
void gemm_f32(ThreadPool& pool, std::span<const GemmF32> parts, int64_t rows, float* scratch);
int64_t gemm_f32_scratch(const ThreadPool& pool, std::span<const GemmF32> parts, int64_t rows);

// About how long one thread takes for a product, in nanoseconds: what decisions to split rest on.
int64_t gemm_cost(int64_t rows, int64_t depth, int64_t columns);
// Fewer nanoseconds than this are not worth waking another thread for.
inline constexpr int64_t kMinParallelCost = 4000;

// The same on the calling thread, for panels [panel_begin, panel_end). `scratch`: kGemmScratch floats.
void gemm_f32_serial(const GemmF32& gemm, int64_t rows, int64_t panel_begin, int64_t panel_end, float* scratch);

// The epilogue that computes a program (ops/pointwise_program.h) whose register 0 is alpha * product and whose other inputs
// are the operands, at most kMaxGemmOperands - 1. It views the code, which decode_point_program gave, and the constants.
GemmEpilogue gemm_epilogue(std::span<const ops::PointInstruction> code, std::span<const float> constants,
                           std::span<const GemmOperand> operands, float alpha = 1);

}  // namespace cameo::cpu
