// DepthToSpace (ai.onnx 1, 11, 13, 28): x [N, C, H, W] -> y [N, C / b^2, H * b, W * b], b the blocksize. In mode DCR channel
// (i * b + j) * C / b^2 + c goes to place (i, j) of the block of channel c, in mode CRD (11) channel c * b^2 + i * b + j does.
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct DepthToSpaceAttrs : ir::AttrsOf<DepthToSpaceAttrs> {
  int64_t blocksize = 0;
  std::string mode = "DCR";
  void visit(ir::AttrVisitor& v) override {
    v("blocksize", blocksize);
    v("mode", mode);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<DepthToSpaceAttrs>();
  if (attrs.blocksize < 1 || attrs.blocksize > INT32_MAX)
    return error(ErrorCode::kInvalidModel, "blocksize is {}; it must be 1 or more", attrs.blocksize);
  if (attrs.mode != "DCR" && attrs.mode != "CRD") return error(ErrorCode::kInvalidModel, "mode is '{}'; allowed: DCR, CRD", attrs.mode);
  CAMEO_TRY(check_rank(c, 0, 4, "the input"));
  ir::Shape out(4);
  if (c.shape(0)) {
    const ir::Shape& in = *c.shape(0);
    const int64_t area = attrs.blocksize * attrs.blocksize;
    if (in[1].is_const() && in[1].value() % area != 0)
      return error(ErrorCode::kInvalidInput, "{} channels are no multiple of the blocksize {} squared", in[1].value(), attrs.blocksize);
    out = {in[0], floor_div(in[1], ir::Dim(area)), in[2] * ir::Dim(attrs.blocksize), in[3] * ir::Dim(attrs.blocksize)};
  }
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<DepthToSpaceAttrs>();
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  if (y.num_elements() == 0) return {};
  const int64_t b = attrs.blocksize, channels = y.dim(1), width = x.dim(3), plane = x.dim(2) * width;
  const bool depth_first = attrs.mode == "DCR";
  const int64_t channel = depth_first ? plane : b * b * plane, place = depth_first ? channels * plane : plane;
  const Dims dims = {x.dim(0), channels, x.dim(2), b, width, b};
  copy_strided(x.dtype(), dims, x.raw(), {x.dim(1) * plane, channel, width, b * place, 1, place}, y.raw(), strides_of(dims));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(DepthToSpace) = {
    .name = "DepthToSpace",
    .make_attrs = &ir::make_attrs<DepthToSpaceAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
