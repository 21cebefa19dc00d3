// What ai.cameo.MaxPool and ai.cameo.AveragePool, which pool [N, spatial…, C], share: attributes, shape rules, geometry.
#pragma once

#include "ops/cameo_pointwise.h"
#include "ops/pool.h"

namespace cameo::ops {

// Padding is always in numbers: WindowAttrs::auto_pad stays as it is.
struct CameoPoolAttrs : WindowAttrs {
  void visit_pool(ir::AttrVisitor& v) {
    v("kernel_shape", kernel_shape);
    v("strides", strides);
    v("dilations", dilations);
    v("pads", pads);
    v("ceil_mode", ceil_mode);
  }
};

struct CameoMaxPoolAttrs : ir::AttrsOf<CameoMaxPoolAttrs>, CameoPoolAttrs {
  void visit(ir::AttrVisitor& v) override { visit_pool(v); }
};

struct CameoAveragePoolAttrs : ir::AttrsOf<CameoAveragePoolAttrs>, CameoPoolAttrs {
  int64_t count_include_pad = 0;
  void visit(ir::AttrVisitor& v) override {
    visit_pool(v);
    v("count_include_pad", count_include_pad);
  }
};

// Output 0 [N, o…, C] of the input's type.
Status infer_channels_last_pool(InferContext& c, const WindowAttrs& attrs);

// The geometry for x and y [N, spatial…, C]: a plane is a sample, and its last axis are the channels, with windows of one.
Result<PoolGeometry> channels_last_geometry(const WindowAttrs& attrs, const Dims& x, const Dims& y);

}  // namespace cameo::ops
