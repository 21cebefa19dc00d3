// TensorScatter (ai.onnx 24): the cache [batch, .., length, ..] with `update`, which may be shorter along `axis`, written from
// position write_indices[batch] on (0 by default); in mode circular positions wrap around at the end of the axis. The output may have the memory of the cache.
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct TensorScatterAttrs : ir::AttrsOf<TensorScatterAttrs> {
  int64_t axis = -2;
  std::string mode = "linear";
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("mode", mode);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<TensorScatterAttrs>();
  if (attrs.mode != "linear" && attrs.mode != "circular")
    return error(ErrorCode::kInvalidModel, "mode is '{}'; allowed: linear, circular", attrs.mode);
  CAMEO_TRY(check_same_dtype(c, {0, 1}));
  CAMEO_TRY(check_rank(c, 2, 1, "write_indices"));
  c.set_output(0, c.input(0));
  if (!c.shape(0)) return {};
  const ir::Shape& cache = *c.shape(0);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(attrs.axis, cache.size()));
  if (axis == 0) return error(ErrorCode::kInvalidModel, "axis is {}, the batch axis; it must be another", attrs.axis);
  if (c.has_input(2) && c.shape(2)) CAMEO_TRY(agree(cache[0], (*c.shape(2))[0], "the extent of write_indices"));
  CAMEO_TRY(check_rank(c, 1, cache.size(), "update"));
  if (!c.shape(1)) return {};
  for (size_t i = 0; i < cache.size(); ++i) {
    const ir::Dim& n = (*c.shape(1))[i];
    if (i != axis) CAMEO_TRY(agree(cache[i], n, "the extents of update"));
    if (i == axis && n.is_const() && cache[i].is_const() && n.value() > cache[i].value())
      return error(ErrorCode::kInvalidInput, "update has {} positions along axis {}, but the cache only {}", n.value(), axis,
                   cache[i].value());
  }
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<TensorScatterAttrs>();
  const Tensor &cache = c.input(0), &update = c.input(1);
  Tensor& y = c.output(0);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(attrs.axis, cache.rank()));
  // In the cache's own memory, only what is new is written.
  if (y.raw() != cache.raw()) CAMEO_TRY(copy_input(c));
  if (update.num_elements() == 0) return {};
  const int64_t batch = cache.dim(0), middle = product(cache.dims(), 1, axis), inner = product(cache.dims(), axis + 1, cache.rank());
  const int64_t length = cache.dim(axis), count = update.dim(axis);
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t first = c.has_input(2) ? c.input(2).data<int64_t>()[b] : 0;
    if (first < 0 || (attrs.mode == "linear" && first > length - count))
      return error(ErrorCode::kInvalidInput, "write_indices[{}] is {}; {} positions from it on must fit into {}", b, first, count, length);
    for (int64_t m = b * middle; m < (b + 1) * middle; ++m)
      for (int64_t i = 0; i < count; ++i) {
        const int64_t at = (first % length + i) % length;
        copy_elements(y.dtype(), address(update, (m * count + i) * inner), address(y, (m * length + at) * inner), inner);
      }
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(TensorScatter) = {
    .name = "TensorScatter",
    .min_version = 24,
    .min_inputs = 2,
    .max_inputs = 3,
    .input_types = {kAllTypes, kAllTypes, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<TensorScatterAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
