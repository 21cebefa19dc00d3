// What Cameo's own fused operators (domain ai.cameo) share: the attributes that hold a program (pointwise_program.h), and its
// run over whole tensors. Also the attributes of ai.cameo.Pointwise.
#pragma once

#include "ops/op.h"
#include "ops/pointwise_program.h"

namespace cameo::ops {

inline constexpr std::string_view kCameoDomain = "ai.cameo";

// The program as attributes; without instructions it is the identity of its only input.
struct ProgramAttrs {
  std::vector<int64_t> program;
  std::vector<float> constants;

  void visit_program(ir::AttrVisitor& v) {
    v("program", program);
    v("constants", constants);
  }
  // Checked for that many inputs.
  Result<PointProgram> decode(size_t num_inputs) const;
};

struct CameoPointwiseAttrs : ir::AttrsOf<CameoPointwiseAttrs>, ProgramAttrs {
  void visit(ir::AttrVisitor& v) override { visit_program(v); }
};

// Checks an epilogue: the program, and its operands, the node's inputs from `first` on, which must be of the type of input 0
// and broadcast to `shape` (where known) without changing it. Register 0 is the result that the epilogue works on.
Status check_epilogue(const InferContext& c, const ProgramAttrs& attrs, size_t first, const std::optional<ir::Shape>& shape);

// The plain reference of an epilogue: y = program(y, operands…), element by element in place; `y` has these extents, and the
// operands are the node's inputs from `first` on.
Status apply_epilogue(KernelContext& c, const ProgramAttrs& attrs, size_t first, const Dims& dims, float* y);

}  // namespace cameo::ops
