// The attributes of ai.cameo.QuantizedWeightMatMul.
#pragma once

#include "ops/cameo_pointwise.h"
#include "ops/cameo_quantized_weight.h"

namespace cameo::ops {

struct CameoQuantizedWeightMatMulAttrs : ir::AttrsOf<CameoQuantizedWeightMatMulAttrs>, QuantizedWeightAttrs, ProgramAttrs {
  std::vector<int64_t> splits;  // numbers of columns; empty: one output
  void visit(ir::AttrVisitor& v) override {
    visit_weight(v);
    visit_program(v);
    v("splits", splits);
  }
};

// Inputs: A, values, scales, zero points, then the operands of the epilogue.
inline constexpr size_t kQuantizedWeightOperands = 4;

// The tensors of the node's weight, checked.
Result<QuantizedWeightTensors> quantized_weight_of(KernelContext& context);

}  // namespace cameo::ops
