// Tile (ai.onnx 6, 13): repeats the whole tensor repeats[i] times along each axis i. (Version 1's definition contradicts
// itself and is not covered.)
#include "ops/move.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  CAMEO_TRY(check_rank(c, 1, 1, "repeats"));
  const auto repeats = c.values(1);
  if (!c.shape(0)) {
    const auto n = list_length(c, 1);
    const bool known = n && *n >= 0 && *n <= static_cast<int64_t>(kMaxRank);
    c.set_output(0, tensor_type(c.dtype(0), known ? std::optional(ir::Shape(static_cast<size_t>(*n))) : std::nullopt));
    return {};
  }
  ir::Shape out = *c.shape(0);
  if (const auto n = list_length(c, 1); n && *n != static_cast<int64_t>(out.size()))
    return error(ErrorCode::kInvalidInput, "repeats has {} entries, but the input has shape {}", *n, ir::to_string(out));
  if (repeats && repeats->size() != out.size()) return error(ErrorCode::kInvalidInput, "repeats must have rank 1");
  for (size_t i = 0; i < out.size(); ++i) {
    const ir::Dim n = repeats ? (*repeats)[i] : ir::Dim::unknown();
    if (n.is_const() && n.value() < 0) return error(ErrorCode::kInvalidInput, "repeats has the negative entry {}", n.value());
    const ir::Dim product = out[i] * n;
    if (product.is_unknown() && out[i].is_const() && n.is_const())
      return error(ErrorCode::kInvalidInput, "an extent of {} cannot be repeated {} times: the limit is 2^62", out[i].value(), n.value());
    out[i] = product;
  }
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  if (y.num_elements() == 0) return {};
  // Each axis as two: the repeats, which read the same place, and the input's own extent.
  Dims dims(2 * x.rank(), 0), from(2 * x.rank(), 0), to(2 * x.rank(), 0);
  const Dims read = strides_of(x.dims()), written = strides_of(y.dims());
  for (size_t i = 0; i < x.rank(); ++i) {
    dims[2 * i] = y.dim(i) / x.dim(i);
    dims[2 * i + 1] = x.dim(i);
    from[2 * i + 1] = read[i];
    to[2 * i] = written[i] * x.dim(i);
    to[2 * i + 1] = written[i];
  }
  copy_strided(x.dtype(), dims, x.raw(), from, y.raw(), to);
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Tile) = {
    .name = "Tile",
    .min_version = 6,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kAllTypes, {DType::kInt64}},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
