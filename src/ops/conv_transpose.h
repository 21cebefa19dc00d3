// The attributes and the geometry of ConvTranspose.
#pragma once

#include "ops/convolve.h"

namespace cameo::ops {

struct ConvTransposeAttrs : ir::AttrsOf<ConvTransposeAttrs>, WindowAttrs {
  int64_t group = 1;
  std::vector<int64_t> output_padding, output_shape;
  void visit(ir::AttrVisitor& v) override {
    visit_window(v);
    v("group", group);
    v("output_padding", output_padding);
    v("output_shape", output_shape);
  }
};

// The geometry of the convolution whose transpose it is: its input is y and its output x, its `in_channels` are y's.
Result<ConvGeometry> conv_transpose_geometry(const ConvTransposeAttrs& attrs, const Dims& x, const Dims& w, const Dims& y);

}  // namespace cameo::ops
