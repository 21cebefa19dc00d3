// The attributes of ai.cameo.MatMul.
#pragma once

#include "ops/cameo_pointwise.h"

namespace cameo::ops {

struct CameoMatMulAttrs : ir::AttrsOf<CameoMatMulAttrs>, ProgramAttrs {
  int64_t trans_a = 0, trans_b = 0;  // whether the last two axes of A, of B, are swapped
  float alpha = 1;
  std::vector<int64_t> splits;  // numbers of columns; empty: one output
  void visit(ir::AttrVisitor& v) override {
    v("trans_a", trans_a);
    v("trans_b", trans_b);
    v("alpha", alpha);
    visit_program(v);
    v("splits", splits);
  }
};

}  // namespace cameo::ops
