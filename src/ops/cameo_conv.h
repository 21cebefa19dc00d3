// The attributes of ai.cameo.Conv.
#pragma once

#include "ops/cameo_pointwise.h"
#include "ops/window.h"

namespace cameo::ops {

// Padding is always in numbers: WindowAttrs::auto_pad stays as it is.
struct CameoConvAttrs : ir::AttrsOf<CameoConvAttrs>, WindowAttrs, ProgramAttrs {
  int64_t group = 1;
  int64_t channels_last = 0;  // 1: X and Y are [N, spatial…, C]
  void visit(ir::AttrVisitor& v) override {
    v("kernel_shape", kernel_shape);
    v("strides", strides);
    v("dilations", dilations);
    v("pads", pads);
    v("group", group);
    v("channels_last", channels_last);
    visit_program(v);
  }
};

}  // namespace cameo::ops
