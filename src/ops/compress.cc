// Compress (ai.onnx 9, 11, 28): the slices along `axis`, or without it the elements of the flattened input, whose entry in
// `condition` is true. The condition may be shorter than the axis: what it does not reach is left out.
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct CompressAttrs : ir::AttrsOf<CompressAttrs> {
  std::optional<int64_t> axis;
  void visit(ir::AttrVisitor& v) override { v("axis", axis); }
};

int64_t count_true(const Tensor& condition) {
  int64_t count = 0;
  for (int64_t i = 0; i < condition.num_elements(); ++i) count += condition.data<bool>()[i];
  return count;
}

Status infer(InferContext& c) {
  CAMEO_TRY(check_rank(c, 1, 1, "condition"));
  const ir::Dim count = c.constant(1) != nullptr ? ir::Dim(count_true(*c.constant(1))) : ir::Dim::unknown();
  const auto& axis = c.attrs<CompressAttrs>().axis;
  std::optional<ir::Shape> out = c.shape(0);
  if (!axis) {
    out = ir::Shape{count};
  } else if (out) {
    CAMEO_ASSIGN(const size_t a, normalize_axis(*axis, out->size()));
    (*out)[a] = count;
  }
  c.set_output(0, tensor_type(c.dtype(0), std::move(out)));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor &x = c.input(0), &condition = c.input(1);
  const auto& named = c.attrs<CompressAttrs>().axis;
  Dims dims = x.dims();
  size_t axis = 0;
  if (named) {
    CAMEO_ASSIGN(axis, normalize_axis(*named, x.rank()));
  } else {
    dims = {x.num_elements()};
  }
  const int64_t extent = dims[axis], outer = product(dims, 0, axis), inner = product(dims, axis + 1, dims.rank());
  for (int64_t i = extent; i < condition.num_elements(); ++i)
    if (condition.data<bool>()[i])
      return error(ErrorCode::kInvalidInput, "entry {} of condition is true, but there are only {} elements to choose from", i, extent);
  dims[axis] = count_true(condition);
  CAMEO_TRY(c.allocate_output(0, x.dtype(), dims));
  Tensor& y = c.output(0);
  int64_t to = 0;
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < std::min(extent, condition.num_elements()); ++i)
      if (condition.data<bool>()[i]) {
        copy_elements(x.dtype(), address(x, (o * extent + i) * inner), address(y, to), inner);
        to += inner;
      }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Compress) = {
    .name = "Compress",
    .min_version = 9,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kAllTypes, kBoolType},
    .make_attrs = &ir::make_attrs<CompressAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kDataDependent,
};

}  // namespace cameo::ops
