// Expand (ai.onnx 8, 13): repeats a tensor along extents of 1, so that it has the broadcast of its own shape and the one
// given. As broadcasting goes both ways, an extent given as 1 leaves the input's.
#include "ops/move.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  CAMEO_TRY(check_rank(c, 1, 1, "the shape"));
  auto target = c.values(1);
  const auto length = list_length(c, 1);
  if (length.value_or(0) > static_cast<int64_t>(kMaxRank))
    return error(ErrorCode::kUnsupported, "the shape has {} extents; at most {} are supported", *length, kMaxRank);
  if (!target && length && *length >= 0) target.emplace(*length);
  if (!c.shape(0) || !target) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  for (const ir::Dim& d : *target)
    if (d.is_const() && d.value() < 0)
      return error(ErrorCode::kInvalidInput, "the shape {} has the negative extent {}", ir::to_string(*target), d.value());
  CAMEO_ASSIGN(ir::Shape out, broadcast(*c.shape(0), *target));
  auto values = c.values(0);
  if (values && out.size() == 1 && out[0].is_const() && out[0].value() <= 1024) {
    if (values->size() == 1 && out[0].value() != 1) values->assign(static_cast<size_t>(out[0].value()), ir::Dim(values->front()));
    c.set_values(0, *values);
  } else if (values && out.empty()) {
    c.set_values(0, *values);
  }
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  copy_strided(x.dtype(), y.dims(), x.raw(), broadcast_strides(x.dims(), y.dims()), y.raw(), strides_of(y.dims()));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Expand) = {
    .name = "Expand",
    .min_version = 8,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kAllTypes, {DType::kInt64}},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
