// The fused program that ends an operator (ops/cameo_pointwise.h), run on pieces of rows while they are in cache.
#pragma once

#include "backends/cpu/kernels/pointwise.h"
#include "ops/cameo_pointwise.h"

namespace cameo::cpu {

// Views the tensors of the context and lives no longer than the kernel's run.
class RowEpilogue {
 public:
  // For a result of these extents; the operands are the node's inputs from `first` on. Everything is checked: the program, and
  // that the operands are float32 and broadcast to the result.
  static Result<RowEpilogue> make(ops::KernelContext& context, const ops::ProgramAttrs& attrs, size_t first, const Dims& dims);

  // y holds `count` elements of row `row` (all axes but the last as one) from `column` on; they become the program's result.
  void run(int64_t row, int64_t column, int64_t count, float* y) const;
  bool empty() const { return program_.code.empty(); }

 private:
  struct Operand {
    const float* data;
    Dims strides;  // in the order of the result's axes, 0 along broadcast ones
  };
  ops::PointProgram program_;
  Dims dims_;
  Operand operands_[ops::kMaxPointInputs] = {};
  bool by_row_ = false;  // some operand depends on the row
};

}  // namespace cameo::cpu
