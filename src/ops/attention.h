// The attributes of Attention; attention.cc has the formula.
#pragma once

#include <optional>

#include "ir/attrs.h"

namespace cameo::ops {

struct AttentionAttrs : ir::AttrsOf<AttentionAttrs> {
  int64_t is_causal = 0, qk_matmul_output_mode = 0, left_window_size = -1, right_window_size = -1;
  std::optional<int64_t> q_num_heads, kv_num_heads, softmax_precision;
  std::optional<float> scale;
  float softcap = 0;
  void visit(ir::AttrVisitor& v) override {
    v("is_causal", is_causal);
    v("kv_num_heads", kv_num_heads);
    v("left_window_size", left_window_size);
    v("q_num_heads", q_num_heads);
    v("qk_matmul_output_mode", qk_matmul_output_mode);
    v("right_window_size", right_window_size);
    v("scale", scale);
    v("softcap", softcap);
    v("softmax_precision", softmax_precision);
  }
};

}  // namespace cameo::ops
