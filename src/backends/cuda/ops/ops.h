// The families of operators that the device has; registry.cc lists them.
#pragma once

#include <vector>

#include "backends/cuda/source.h"
#include "backends/cuda/step.h"
#include "ops/op.h"

namespace cameo::cuda {

std::vector<DeviceOp> pointwise_ops();
std::vector<DeviceOp> layout_ops();            // Transpose, Slice, Concat, Pad, …
std::vector<DeviceOp> gather_ops();            // Gather, Scatter, OneHot, …
std::vector<DeviceOp> generator_ops();         // Range, ConstantOfShape, EyeLike, …
std::vector<DeviceOp> reduce_ops();            // Reduce…, ArgMax, global pools, CumSum
std::vector<DeviceOp> norm_ops();              // Softmax, LayerNormalization, …
std::vector<DeviceOp> matmul_ops();            // MatMul, Gemm, Einsum
std::vector<DeviceOp> einsum_ops();            // Einsum
std::vector<DeviceOp> conv_ops();              // Conv, ConvTranspose
std::vector<DeviceOp> pool_ops();              // MaxPool, AveragePool, LpPool
std::vector<DeviceOp> image_ops();             // Resize, GridSample, RoiAlign
std::vector<DeviceOp> attention_ops();         // Attention, RotaryEmbedding
std::vector<DeviceOp> recurrent_ops();         // LSTM, GRU, RNN
std::vector<DeviceOp> sort_ops();              // TopK
std::vector<DeviceOp> select_ops();            // NonZero, Compress, NonMaxSuppression
std::vector<DeviceOp> grid_ops();              // GridSample, AffineGrid
std::vector<DeviceOp> region_ops();            // RoiAlign, MaxUnpool, Col2Im, DeformConv
std::vector<DeviceOp> fourier_ops();           // DFT, STFT, windows
std::vector<DeviceOp> state_ops();             // LinearAttention, CausalConvWithState
std::vector<DeviceOp> loss_ops();              // NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss
std::vector<DeviceOp> det_ops();               // Det
std::vector<DeviceOp> quantize_ops();          // QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear
std::vector<DeviceOp> quantized_ops();         // ai.cameo.QuantizedMatMul, ai.cameo.QuantizedConv
std::vector<DeviceOp> quantized_weight_ops();  // ai.cameo.QuantizedWeightMatMul
std::vector<DeviceOp> float8_ops();            // ai.cameo.Float8MatMul
std::vector<DeviceOp> float8_convolutions();   // ai.cameo.Float8Conv
std::vector<DeviceOp> integer_ops();           // MatMulInteger, ConvInteger, QLinearMatMul, QLinearConv

// y = x with axis i of y being axis perm[i] of x.
Status transpose(StepBuilder& b, const Operand& x, const Operand& y, const std::vector<int64_t>& perm);
// y = x shifted by `begin` along each axis, with what lies outside as ONNX's Pad has it; `s` may hold lines for `value`.
Status pad(StepBuilder& b, Source& s, const Operand& x, const Operand& y, const Dims& begin, const std::string& mode,
           const std::string& value);

// An axis of an attribute, from the front; the node was checked before.
inline size_t axis_of(int64_t axis, size_t rank) { return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis); }
inline int64_t product(const Dims& dims, size_t first, size_t last) {
  int64_t n = 1;
  for (size_t i = first; i < last; ++i) n *= dims[i];
  return n;
}

}  // namespace cameo::cuda
