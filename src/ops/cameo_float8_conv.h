// The attributes of ai.cameo.Float8Conv.
#pragma once

#include "ops/cameo_float8_matmul.h"
#include "ops/window.h"

namespace cameo::ops {

struct CameoFloat8ConvAttrs : ir::AttrsOf<CameoFloat8ConvAttrs>, WindowAttrs, ProgramAttrs {
  int64_t n = 0, channels = 0;        // X is [batch, spatial…, channels], y [batch, spatial…, n]
  float x_scale = 1, y_scale = 1;     // of X, and of y of float8e4m3fn
  int64_t y_type = 1;                 // as ONNX numbers types: 1 float32, 17 float8e4m3fn
  std::vector<float> operand_scales;  // one an operand, or none: all are float32. 0 for an operand of float32
  void visit(ir::AttrVisitor& v) override {
    v("kernel_shape", kernel_shape);
    v("strides", strides);
    v("dilations", dilations);
    v("pads", pads);
    v("channels", channels);
    v("n", n);
    v("x_scale", x_scale);
    v("y_type", y_type);
    v("y_scale", y_scale);
    v("operand_scales", operand_scales);
    visit_program(v);
  }
  float operand_scale(size_t i) const { return i < operand_scales.size() ? operand_scales[i] : 0; }
};

}  // namespace cameo::ops
