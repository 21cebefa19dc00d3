// A chain of element-by-element float operations as one small program: what fused operators compute on each element.
//
// Registers: 0 to num_inputs - 1 are the inputs (in a fused MatMul or Conv, register 0 is the product and the others are
// the operands that follow the operator's own); each instruction writes the next register, and the last one is the result.
// A negative operand -1 - k stands for constants[k]. Inputs are broadcast to the output as NumPy does it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cameo/error.h"
#include "ops/point_op.h"

namespace cameo::ops {

// How many operands it reads (kLeaky and kElu: 2).
int num_operands(PointOp op);
std::string_view name_of(PointOp op);
// Whether the number is one of the above.
bool is_point_op(int64_t number);

struct PointProgram {
  int num_inputs = 0;
  std::vector<PointInstruction> code;
  std::vector<float> constants;
};

// As attributes: four numbers an instruction (op, a, b, c).
std::vector<int64_t> encode(const PointProgram& program);
// The error says which instruction is wrong and how: an unknown operation, an operand that is not there yet, more than
// kMaxPointInstructions instructions, or more than kMaxPointInputs inputs.
Result<PointProgram> decode_point_program(int num_inputs, std::span<const int64_t> code, std::span<const float> constants);
inline constexpr int kMaxPointInstructions = 64, kMaxPointInputs = 16;
// The same without memory of its own: writes the instructions, returns their number. `constants` is only checked.
Result<int> decode_point_program(int num_inputs, std::span<const int64_t> code, std::span<const float> constants,
                                 PointInstruction (&instructions)[kMaxPointInstructions]);

// "r2 = Add(x0, x1); r3 = Relu(r2)", for people.
std::string to_string(const PointProgram& program);

// The plain reference: the result for one element, given the inputs' elements.
float evaluate(const PointProgram& program, const float* inputs);

}  // namespace cameo::ops
