// SpaceToDepth (ai.onnx 1, 13, 28): x [N, C, H, W] -> y [N, C * b^2, H / b, W / b], b the blocksize. Place (i, j) of a block of
// channel c goes to channel (i * b + j) * C + c in mode DCR, and in mode CRD (28) to channel c * b^2 + i * b + j.
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct SpaceToDepthAttrs : ir::AttrsOf<SpaceToDepthAttrs> {
  int64_t blocksize = 0;
  std::string mode = "DCR";
  void visit(ir::AttrVisitor& v) override {
    v("blocksize", blocksize);
    v("mode", mode);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<SpaceToDepthAttrs>();
  if (attrs.blocksize < 1 || attrs.blocksize > INT32_MAX)
    return error(ErrorCode::kInvalidModel, "blocksize is {}; it must be 1 or more", attrs.blocksize);
  if (attrs.mode != "DCR" && attrs.mode != "CRD") return error(ErrorCode::kInvalidModel, "mode is '{}'; allowed: DCR, CRD", attrs.mode);
  CAMEO_TRY(check_rank(c, 0, 4, "the input"));
  ir::Shape out(4);
  if (c.shape(0)) {
    const ir::Shape& in = *c.shape(0);
    for (size_t i : {2, 3})
      if (in[i].is_const() && in[i].value() % attrs.blocksize != 0)
        return error(ErrorCode::kInvalidInput, "the extent {} is no multiple of the blocksize {}", in[i].value(), attrs.blocksize);
    const ir::Dim b = attrs.blocksize;
    out = {in[0], in[1] * b * b, floor_div(in[2], b), floor_div(in[3], b)};
  }
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<SpaceToDepthAttrs>();
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  if (y.num_elements() == 0) return {};
  const int64_t b = attrs.blocksize, channels = x.dim(1), width = x.dim(3), plane = x.dim(2) * width;
  if (attrs.mode == "DCR") {
    const Dims dims = {x.dim(0), b, b, channels, y.dim(2), y.dim(3)};
    copy_strided(x.dtype(), dims, x.raw(), {channels * plane, width, 1, plane, b * width, b}, y.raw(), strides_of(dims));
  } else {
    const Dims dims = {x.dim(0), channels, b, b, y.dim(2), y.dim(3)};
    copy_strided(x.dtype(), dims, x.raw(), {channels * plane, plane, width, 1, b * width, b}, y.raw(), strides_of(dims));
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(SpaceToDepth) = {
    .name = "SpaceToDepth",
    .make_attrs = &ir::make_attrs<SpaceToDepthAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
