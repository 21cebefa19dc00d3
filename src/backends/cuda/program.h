// Fused element-by-element programs (ops/pointwise_program.h) as source.
#pragma once

#include "backends/cuda/source.h"
#include "ops/pointwise_program.h"

namespace cameo::cuda {

// The program of the node, whose inputs from `first` on are its operands; with first > 0 its register 0 is what the operator
// itself makes.
Result<ops::PointProgram> program_of(const StepBuilder& b, size_t first);
// Adds lines that compute it, for a result of that type; gives its name.
std::string emit_program(Source& s, const ops::PointProgram& program, std::span<const std::string> inputs, DType result = DType::kFloat32);
// to = program(from, the node's inputs from `first` on): what follows a product or convolution that stands in `from`.
Status apply_program(StepBuilder& b, const ops::PointProgram& program, const Operand& from, size_t first, const Operand& to);

}  // namespace cameo::cuda
