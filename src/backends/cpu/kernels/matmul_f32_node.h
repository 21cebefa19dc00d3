// What the tactics for products of float32 matrices share: MatMul and Gemm of ONNX and ai.cameo.MatMul as one problem.
#pragma once

#include "backends/cpu/kernels/gemm_f32_parallel.h"
#include "ops/infer.h"

namespace cameo::cpu {

// The three operators as one: y = program(alpha * A' · B', e1, …), in parts of `splits` columns.
struct MatMulForm {
  bool trans_a = false, trans_b = false;
  float alpha = 1;
  std::span<const int64_t> program;
  std::span<const float> constants;
  std::span<const int64_t> splits;
  size_t num_operands = 0;  // which are the inputs from 2 on
};
MatMulForm matmul_form(const ir::Node& node);

// A node at run time as `outer` products of rows x depth by depth x columns. Leading axes along which B stays the same are
// rows of one product where A and the operands allow it.
class MatMulF32Node {
 public:
  // Checks types and extents of all that the node reads and writes. B's elements may be elided.
  Status init(ops::KernelContext& context);

  int64_t outer = 1, rows = 0, depth = 0, columns = 0;
  int64_t num_b = 1;  // matrices in B
  const MatMulForm& form() const { return form_; }

  // The columns of one output: all, or those of a split.
  struct Part {
    float* c;  // of product 0; null where nobody wants it
    int64_t begin, columns;
  };
  size_t num_parts() const { return form_.splits.empty() ? 1 : form_.splits.size(); }
  Part part(ops::KernelContext& context, size_t i) const;

  // A, C and the epilogue of product `index` for one part; B is left to the caller. The result refers to `epilogue`.
  GemmF32 product(const Part& part, int64_t index, GemmEpilogue& epilogue) const;
  // Which of B's matrices product `index` reads.
  int64_t b_index(int64_t index) const { return offset(index, b_steps_); }

 private:
  static constexpr size_t kMaxRank = 8;
  using Steps = int64_t[kMaxRank];
  int64_t offset(int64_t index, const Steps& steps) const;
  bool set_operands(ops::KernelContext& context, const Dims& dims, size_t first_row_axis, GemmOperand* operands);

  MatMulForm form_;
  const float* a_ = nullptr;
  int64_t a_row_stride_ = 0, a_step_ = 1;
  size_t outer_rank_ = 0;
  Steps outer_dims_, a_steps_, b_steps_;  // of outer axes: in elements of A, in matrices of B
  Steps operand_steps_[kMaxGemmOperands];
  GemmEpilogue epilogue_;
  ops::PointInstruction code_[ops::kMaxPointInstructions];
};

// supports() of the tactics: whether the inputs are float32 tensors of known rank, and B of rank 2 or more.
Status supports_matmul_f32(const ir::Node& node, std::span<const ops::Fact> facts);

}  // namespace cameo::cpu
