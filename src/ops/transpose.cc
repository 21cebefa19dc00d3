// Transpose (ai.onnx 1, 13, 21, 23, 24, 25): output axis i is input axis perm[i]; without perm the axes are reversed.
#include "ops/move.h"
#include "ops/move_attrs.h"

namespace cameo::ops {
namespace {

Status check_permutation(const std::vector<int64_t>& perm) {
  std::vector<char> seen(perm.size(), 0);
  for (int64_t axis : perm) {
    if (axis < 0 || axis >= static_cast<int64_t>(perm.size()))
      return error(ErrorCode::kInvalidModel, "perm has the axis {}, but its {} entries allow 0 to {}", axis, perm.size(),
                   static_cast<int64_t>(perm.size()) - 1);
    if (seen[static_cast<size_t>(axis)]) return error(ErrorCode::kInvalidModel, "perm names axis {} twice", axis);
    seen[static_cast<size_t>(axis)] = 1;
  }
  return {};
}

Status infer(InferContext& c) {
  const auto& perm = c.attrs<TransposeAttrs>().perm;
  if (perm) CAMEO_TRY(check_permutation(*perm));
  if (!c.shape(0)) {
    c.set_output(0, tensor_type(c.dtype(0), perm ? std::optional(ir::Shape(perm->size())) : std::nullopt));
    return {};
  }
  const ir::Shape& in = *c.shape(0);
  if (perm && perm->size() != in.size())
    return error(ErrorCode::kInvalidModel, "perm has {} axes, but the input has shape {}", perm->size(), ir::to_string(in));
  ir::Shape out(in.rbegin(), in.rend());
  if (perm)
    for (size_t i = 0; i < out.size(); ++i) out[i] = in[static_cast<size_t>((*perm)[i])];
  c.set_output(0, c.dtype(0), std::move(out));
  if (auto values = c.values(0); values && in.size() <= 1) c.set_values(0, std::move(*values));
  return {};
}

Status reference(KernelContext& c) {
  const auto& perm = c.attrs<TransposeAttrs>().perm;
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  const Dims strides = strides_of(x.dims());
  Dims from(x.rank(), 0);
  for (size_t i = 0; i < x.rank(); ++i) from[i] = strides[perm ? static_cast<size_t>((*perm)[i]) : x.rank() - 1 - i];
  copy_strided(x.dtype(), y.dims(), x.raw(), from, y.raw(), strides_of(y.dims()));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Transpose) = {
    .name = "Transpose",
    .make_attrs = &ir::make_attrs<TransposeAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
