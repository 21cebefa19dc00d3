// What QuantizeLinear and DequantizeLinear share: which scale and zero point belong to an element.
#pragma once

#include "ops/op.h"

namespace cameo::ops {

struct QuantizeLinearAttrs : ir::AttrsOf<QuantizeLinearAttrs> {
  int64_t axis = 1, saturate = 1, block_size = 0, output_dtype = 0, precision = 0;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("saturate", saturate);
    v("block_size", block_size);
    v("output_dtype", output_dtype);
    v("precision", precision);
  }
};

// x seen as [outer, length, inner]; the scale of element (o, d, i) stands at
// o * outer_step + d / block * block_step + i * inner_step.
struct QuantLayout {
  int64_t outer = 1, length = 1, inner = 1;
  int64_t block = 1, outer_step = 0, block_step = 0, inner_step = 0;
};

// The layout that the shape of the scale asks for: a scalar (or one element) for the whole tensor, a list for one scale an
// index of `axis`, a tensor of x's rank for blocks of block_size along `axis`. Errors name both shapes.
Result<QuantLayout> quant_layout(const Dims& x, const Dims& scale, int64_t axis, int64_t block_size);
// The same checks as far as the shapes are known, and whether scale and zero point have one shape.
Status infer_quant_layout(InferContext& context, int64_t axis, int64_t block_size);

// Calls fn(first, count, scale_index, scale_step) for runs of elements that stand side by side, in order.
template <class Fn>
void for_each_run(const QuantLayout& q, Fn fn) {
  if (q.block_step == 0 && q.outer_step == 0) return fn(int64_t{0}, q.outer * q.length * q.inner, int64_t{0}, int64_t{0});
  for (int64_t o = 0; o < q.outer; ++o)
    if (q.inner == 1 && q.block == 1) {
      fn(o * q.length, q.length, o * q.outer_step, q.block_step);
    } else {
      for (int64_t d = 0; d < q.length; ++d)
        fn((o * q.length + d) * q.inner, q.inner, o * q.outer_step + d / q.block * q.block_step, q.inner_step);
    }
}

}  // namespace cameo::ops
