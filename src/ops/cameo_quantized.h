// What ai.cameo.QuantizedMatMul and ai.cameo.QuantizedConv share: activations of 8 bits times weights of 8 bits, summed in int32.
//
//   y = quantize(program(x_scale * w_scale[column] * sum((x - x_zero) * w), e1, …, ek))
//
// Inputs: X (uint8 or int8), W (int8, packed or for depthwise convolutions [taps, channels]), w_scale (float32, one a column),
// then the operands of the program, float32, or uint8 or int8 that stand for (e - operand_zeros[i]) * operand_scales[i]. Packed W
// is [ceil(n / 16), ceil(k / 4), 16, 4]: rows 4 i to 4 i + 3 of a column side by side, zero where there are none.
// The output is float32, or where y_type is 2 (uint8) or 3 (int8) nearest(y / y_scale) + y_zero, saturated; halves go to even.
#pragma once

#include <span>

#include "ops/cameo_pointwise.h"
#include "ops/window.h"

namespace cameo::ops {

struct QuantizedAttrs : ProgramAttrs {
  int64_t n = 0;  // columns of W
  float x_scale = 1, y_scale = 1;
  int64_t x_zero = 0, y_zero = 0;
  int64_t y_type = 1;                  // as ONNX numbers types: 1 float32, 2 uint8, 3 int8
  std::vector<float> operand_scales;   // one an operand, or none: all are float32. 0 for an operand of float32
  std::vector<int64_t> operand_zeros;  // likewise

  void visit_quantized(ir::AttrVisitor& v) {
    v("n", n);
    v("x_scale", x_scale);
    v("x_zero", x_zero);
    v("y_scale", y_scale);
    v("y_zero", y_zero);
    v("y_type", y_type);
    v("operand_scales", operand_scales);
    v("operand_zeros", operand_zeros);
    visit_program(v);
  }
  float operand_scale(size_t i) const { return i < operand_scales.size() ? operand_scales[i] : 0; }
  int64_t operand_zero(size_t i) const { return i < operand_zeros.size() ? operand_zeros[i] : 0; }
};

inline constexpr size_t kQuantizedOperands = 3;  // inputs before those of the program

struct CameoQuantizedMatMulAttrs : ir::AttrsOf<CameoQuantizedMatMulAttrs>, QuantizedAttrs {
  int64_t k = 0;  // rows of W; X is [..., k]
  void visit(ir::AttrVisitor& v) override {
    v("k", k);
    visit_quantized(v);
  }
};

// X is [batch, spatial…, channels], y [batch, spatial…, n]. Row tap * channels + c of W belongs to channel c at that position of the
// kernel. group is 1, or the number of channels, which then is n.
struct CameoQuantizedConvAttrs : ir::AttrsOf<CameoQuantizedConvAttrs>, WindowAttrs, QuantizedAttrs {
  int64_t channels = 0, group = 1;
  void visit(ir::AttrVisitor& v) override {
    v("kernel_shape", kernel_shape);
    v("strides", strides);
    v("dilations", dilations);
    v("pads", pads);
    v("channels", channels);
    v("group", group);
    visit_quantized(v);
  }
  // Positions of the kernel; 0 where kernel_shape is empty, not positive or huge.
  int64_t taps() const;
  bool depthwise() const { return group != 1; }
};

// Whether the attributes are sound for that many operands, W (k rows, or a depthwise convolution's) has the type and extents that they
// ask for, and so has w_scale. Data need not be there.
Status check_quantized(const QuantizedAttrs& attrs, int64_t k, bool depthwise, const Tensor& w, const Tensor& w_scale);
// The type of the output, and what infer() checks of the operands and the weight; `shape` is the output's.
Result<ir::Type> infer_quantized(InferContext& c, const QuantizedAttrs& attrs, int64_t k, bool depthwise, std::optional<ir::Shape> shape);
// Weight of row k and column j of a packed matrix of `rows` rows.
int8_t packed_weight(const int8_t* w, int64_t rows, int64_t k, int64_t j);
Result<Tensor> pack_int8(int64_t rows, int64_t columns, const std::function<int8_t(int64_t k, int64_t j)>& weight);

// The plain reference of the sums: a panel of 16 columns of packed W as numbers, [rows, 16], and
// sums[j] += sum over i < count of (x[at + i] - zero) * w[16 * i + j], modulo 2^32, for the 16 columns. x is uint8 or int8.
void unpack_panel(const int8_t* packed, int64_t rows, int64_t panel, int32_t* w);
void add_products(const Tensor& x, int64_t at, int64_t count, int64_t zero, const int32_t* w, uint32_t* sums);

// The plain reference of what follows the sums: y of these extents from acc, one sum an element.
Status finish_quantized(KernelContext& c, const QuantizedAttrs& attrs, const Dims& dims, const int32_t* acc);

}  // namespace cameo::ops
