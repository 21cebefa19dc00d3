// GatherElements (ai.onnx 11, 13): y[i..] = data[.., indices[i..], ..], where the index replaces the position along `axis`.
#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct GatherElementsAttrs : ir::AttrsOf<GatherElementsAttrs> {
  int64_t axis = 0;
  void visit(ir::AttrVisitor& v) override { v("axis", axis); }
};

Status infer(InferContext& c) {
  c.set_output(0, tensor_type(c.dtype(0), c.shape(1)));
  if (!c.shape(0)) return {};
  const ir::Shape& data = *c.shape(0);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(c.attrs<GatherElementsAttrs>().axis, data.size()));
  CAMEO_TRY(check_rank(c, 1, data.size(), "the indices"));
  if (!c.shape(1)) return {};
  for (size_t i = 0; i < data.size(); ++i) {
    const ir::Dim& n = (*c.shape(1))[i];
    if (i != axis && n.is_const() && data[i].is_const() && n.value() > data[i].value())
      return error(ErrorCode::kInvalidInput, "indices have the extent {} along axis {}, but the data has only {}", n.value(), i,
                   data[i].value());
  }
  return {};
}

Status reference(KernelContext& c) {
  const Tensor &x = c.input(0), &indices = c.input(1);
  Tensor& y = c.output(0);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(c.attrs<GatherElementsAttrs>().axis, x.rank()));
  const auto at = c.scratch<int64_t>(indices.num_elements());
  CAMEO_TRY(read_indices(indices, x.dim(axis), at));
  Dims written = strides_of(y.dims()), read = strides_of(x.dims());
  const int64_t step = read[axis];
  read[axis] = 0;
  return dispatch_storage(x.dtype(), "GatherElements", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    T* to = y.data<T>();
    for_each_offset(y.dims(), {&written, &read},
                    [&](const int64_t* offset) { to[offset[0]] = from[offset[1] + at[static_cast<size_t>(offset[0])] * step]; });
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(GatherElements) = {
    .name = "GatherElements",
    .min_version = 11,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kAllTypes, kIndexTypes},
    .make_attrs = &ir::make_attrs<GatherElementsAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
