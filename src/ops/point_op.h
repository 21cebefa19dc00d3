// The operations and the instruction format of fused element-by-element programs (pointwise_program.h), apart from
// everything else so that vector kernels can include them.
#pragma once

#include <cstdint>

namespace cameo::ops {

// The numbers are part of the plan format. Formulas are those of the ONNX operators of the same name.
enum class PointOp : int8_t {
  // two operands
  kAdd = 0,
  kSub = 1,
  kMul = 2,
  kDiv = 3,
  kMin = 4,  // NaN where either is NaN
  kMax = 5,
  kPow = 6,
  // one operand
  kNeg = 16,
  kAbs = 17,
  kSqrt = 18,
  kExp = 19,
  kLog = 20,
  kErf = 21,
  kTanh = 22,
  kSigmoid = 23,
  kRelu = 24,
  kGelu = 25,      // x / 2 * (1 + erf(x / sqrt 2))
  kGeluTanh = 26,  // x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  kSwish = 27,     // x * sigmoid(x)
  kHardSwish = 28,
  kMish = 29,
  kSoftplus = 30,
  kReciprocal = 31,
  kSquare = 32,
  kFloor = 33,
  kCeil = 34,
  kSin = 35,
  kCos = 36,
  // three operands
  kClip = 48,         // min(max(a, b), c)
  kFma = 49,          // a * b + c
  kLeaky = 50,        // a < 0 ? a * b : a; c is not read: LeakyRelu, PRelu
  kHardSigmoid = 51,  // min(max(a * b + c, 0), 1)
  kElu = 52,          // a < 0 ? b * (exp(a) - 1) : a; c is not read
};

struct PointInstruction {
  PointOp op;
  int16_t a = 0, b = 0, c = 0;  // registers, or constants where negative; 0 where not read
};

}  // namespace cameo::ops
