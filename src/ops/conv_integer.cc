// ConvInteger (ai.onnx 10): the convolution of x - x_zero_point with w - w_zero_point, sums in int32. The zero point of w is one
// number or one per output channel.
#include "ops/convolve_integers.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  CAMEO_TRY(check_same_dtype(c, {0, 2}));
  CAMEO_TRY(check_same_dtype(c, {1, 3}));
  CAMEO_TRY(check_quantizer(c, 2, "x_zero_point", {}));
  CAMEO_TRY(check_quantizer(c, 3, "w_zero_point", c.shape(1) && !c.shape(1)->empty() ? c.shape(1)->front() : ir::Dim()));
  return infer_convolution(c, 0, 1, std::nullopt, DType::kInt32);
}

Status reference(KernelContext& c) {
  const Tensor &x = c.input(0), &w = c.input(1);
  Tensor& y = c.output(0);
  CAMEO_ASSIGN(const ConvGeometry g, ConvGeometry::make(c.attrs<ConvAttrs>(), x.dims(), w.dims(), y.dims()));
  IntegerOperand from = IntegerOperand::make(x), weights = IntegerOperand::make(w);
  if (c.has_input(2)) from.with_zero_point(c.input(2));
  if (c.has_input(3)) weights.with_zero_point(c.input(3));
  return convolve_integers(c, g, from, weights, y.data<int32_t>(), [](const uint32_t* sums, int64_t, int64_t n, int32_t* to) {
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<int32_t>(sums[i]);
  });
}

}  // namespace

CAMEO_DEFINE_OP(ConvInteger) = {
    .name = "ConvInteger",
    .min_version = 10,
    .min_inputs = 2,
    .max_inputs = 4,
    .input_types = {TypeSet{DType::kInt8, DType::kUint8}},
    .make_attrs = &ir::make_attrs<ConvAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
