// The attributes of Gemm.
#pragma once

#include "ops/op.h"

namespace cameo::ops {

struct GemmAttrs : ir::AttrsOf<GemmAttrs> {
  float alpha = 1, beta = 1;
  int64_t trans_a = 0, trans_b = 0;
  int64_t broadcast = 0;
  void visit(ir::AttrVisitor& v) override {
    v("alpha", alpha);
    v("beta", beta);
    v("transA", trans_a);
    v("transB", trans_b);
    v("broadcast", broadcast);
  }
};

}  // namespace cameo::ops
