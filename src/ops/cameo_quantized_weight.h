// Weight matrices of 4, 8 or 16 bits in packed form, as ai.cameo.QuantizedWeightMatMul reads them.
//
// A matrix W of k rows and n columns lies in panels of 16 columns, the last one padded:
//    8 bits  uint8 [panels, ceil(k/4), 16, 4]: rows 4 i to 4 i + 3 of a column side by side
//    4 bits  uint8 [panels, ceil(k/8), 16, 4]: byte j of a column holds row 8 i + j in its low half and row 8 i + 4 + j in its high half
//   16 bits  float16 or bfloat16 [panels, k, 16]
// For 4 and 8 bits W = (value - zero) * scale, with one scale, and one zero, for each group of rows and each column:
//   scales   float32 or float16 [panels, groups, 16]
//   zeros    uint8 [panels, groups, 16], or absent: 8 for 4 bits, 128 for 8 bits; or of the type of the scales, and then they are
//            offsets: W = value * scale + offset
#pragma once

#include <span>

#include "ops/op.h"

namespace cameo::ops {

struct QuantizedWeightAttrs {
  int64_t bits = 8;
  int64_t k = 0, n = 0;
  int64_t group_size = 0;  // rows that share a scale, a multiple of 16; 0: all of them

  void visit_weight(ir::AttrVisitor& v) {
    v("bits", bits);
    v("k", k);
    v("n", n);
    v("group_size", group_size);
  }
  int64_t panels() const { return (n + 15) / 16; }
  int64_t group() const { return group_size == 0 ? std::max<int64_t>(k, 1) : group_size; }
  int64_t groups() const { return (k + group() - 1) / group(); }
  Dims value_dims() const;
  Dims scale_dims() const { return {panels(), groups(), 16}; }
};

// The tensors of a matrix; undefined where absent.
struct QuantizedWeightTensors {
  Tensor values, scales, zeros;
};

// Whether the attributes are sound and the tensors have the types and extents that they ask for. Their data need not be there.
Status check_quantized_weight(const QuantizedWeightAttrs& attrs, const QuantizedWeightTensors& weight);

// Row r (0 ≤ r < k) of column c as float. The tensors must have passed check_quantized_weight.
float dequantized(const QuantizedWeightAttrs& attrs, const QuantizedWeightTensors& weight, int64_t r, int64_t c);

// Packs codes (4 or 8 bits, one a byte) given by code(r, c). Errors: kOutOfMemory, or attributes that are not sound.
Result<Tensor> pack_codes(const QuantizedWeightAttrs& attrs, const std::function<uint8_t(int64_t r, int64_t c)>& code);

}  // namespace cameo::ops
