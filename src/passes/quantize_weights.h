// Weight-only quantisation: constant matrices of matrix products in 4, 8 or 16 bits.
#pragma once

#include <functional>

#include "cameo/builder.h"
#include "ops/cameo_quantized_weight.h"
#include "passes/pass.h"

namespace cameo {
class ThreadPool;
}

namespace cameo::passes {

// Bits, and rows that share a scale (0: all), of a node's weight; kFloat32 leaves the node alone.
using ChooseWeightType = std::function<WeightType(const ir::Node&)>;

// Turns MatMul, Gemm and ai.cameo.MatMul with a constant right side into ai.cameo.QuantizedWeightMatMul. Gather from rows
// of a constant matrix (embeddings) reads float16 instead, bfloat16 where that is asked for. Products that cannot be turned, or are too
// small to gain, keep float32; the report's notes say why. group_size: a multiple of 16, 0 for one scale a column. The graph is to be
// optimised already; results change by the rounding of the weights.
Status quantize_weights(ir::Graph& graph, const ChooseWeightType& choose, int64_t group_size, PassReport& report);

// Whether the node is a product with a constant float32 matrix that is large enough to gain.
bool has_constant_weight(const ir::Graph& graph, const ir::Node& node);

// A float32 matrix, element (r, c) at data[r * row_stride + c * column_stride].
struct WeightMatrix {
  const float* data;
  int64_t rows, columns, row_stride, column_stride;
};

// The matrix rounded to that type; scales are float16 where they are many and fit it. Errors: kUnsupported where the weights do
// not fit the type (NaN, infinity, too large for float16).
struct QuantizedWeight {
  ops::QuantizedWeightAttrs attrs;
  ops::QuantizedWeightTensors tensors;
};
Result<QuantizedWeight> quantize_weight(const WeightMatrix& matrix, WeightType type, int64_t group_size, ThreadPool& threads);

}  // namespace cameo::passes
