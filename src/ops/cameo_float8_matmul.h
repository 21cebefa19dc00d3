// The attributes of ai.cameo.Float8MatMul.
#pragma once

#include "ops/cameo_pointwise.h"

namespace cameo::ops {

struct CameoFloat8MatMulAttrs : ir::AttrsOf<CameoFloat8MatMulAttrs>, ProgramAttrs {
  int64_t n = 0, k = 0;         // W is [n, k], X [..., k]
  float x_scale = 0;            // of X; 0: the largest |x| of the tensor by 448, for X of float32 alone
  int64_t y_type = 1;           // as ONNX numbers types: 1 float32, 17 float8e4m3fn
  float y_scale = 1;            // of y of float8e4m3fn
  std::vector<int64_t> splits;  // numbers of columns; empty: one output
  void visit(ir::AttrVisitor& v) override {
    v("n", n);
    v("k", k);
    v("x_scale", x_scale);
    v("y_type", y_type);
    v("y_scale", y_scale);
    visit_program(v);
    v("splits", splits);
  }
};

// Inputs: X, W, scales, then the operands of the program.
inline constexpr size_t kFloat8Operands = 3;
// The largest finite number of float8e4m3fn.
inline constexpr float kFloat8Most = 448;

}  // namespace cameo::ops
