// MaxUnpool (ai.onnx 9, 11, 22): puts x[i] at the element indices[i] of zeros of the shape
// [N, C, (extent - 1) * stride - pads + kernel, …]. With the input output_shape that lies in the corner of zeros of
// that shape. Version 22 adds bfloat16.
#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/shapes.h"
#include "ops/window.h"

namespace cameo::ops {
namespace {

struct MaxUnpoolAttrs : ir::AttrsOf<MaxUnpoolAttrs>, WindowAttrs {
  void visit(ir::AttrVisitor& v) override {
    v("kernel_shape", kernel_shape);
    v("strides", strides);
    v("pads", pads);
  }
};

// The shape that the pooled tensor had.
Result<ir::Shape> pooled_from(const MaxUnpoolAttrs& attrs, const ir::Shape& x) {
  if (x.size() < 3) return error(ErrorCode::kInvalidInput, "the input is {}; it must have rank 3 or more", ir::to_string(x));
  CAMEO_ASSIGN(const Window window, make_window(attrs, x.size() - 2));
  ir::Shape y = {x[0], x[1]};
  for (size_t a = 0; a < window.rank; ++a) {
    const WindowAxis& axis = window.axes[a];
    y.push_back((x[a + 2] - 1) * axis.stride - axis.begin - axis.end + axis.kernel);
    if (y.back().is_const() && y.back().value() < 0)
      return error(ErrorCode::kInvalidInput, "the output's extent along spatial axis {} would be {}", a, y.back().value());
  }
  return y;
}

Status infer(InferContext& c) {
  const auto& x = c.shape(0);
  if (c.dtype(1) != DType::kInt64 && c.dtype(1) != DType::kUndefined)
    return error(ErrorCode::kInvalidModel, "the indices are {}; they must be int64", dtype_name(c.dtype(1)));
  ir::Type y = ir::Type::tensor(c.dtype(0));
  if (x) {
    CAMEO_TRY(check_shape(c, 1, *x, "I"));
    CAMEO_ASSIGN(y.shape, pooled_from(c.attrs<MaxUnpoolAttrs>(), *x));
  }
  if (c.has_input(2)) {
    CAMEO_TRY(check_rank(c, 2, 1, "output_shape"));
    auto shape = c.values(2);
    if (shape && x && shape->size() != x->size())
      return error(ErrorCode::kInvalidInput, "output_shape has {} values for an input of rank {}", shape->size(), x->size());
    if (shape)
      for (size_t a = 0; a < shape->size(); ++a) {
        const ir::Dim& extent = (*shape)[a];
        if (!extent.is_const()) continue;
        if (extent.value() < 0 || (y.shape && (*y.shape)[a].is_const() && extent.value() < (*y.shape)[a].value()))
          return error(ErrorCode::kInvalidInput, "output_shape is {}, but the unpooled extents are {}", ir::to_string(*shape),
                       y.shape ? ir::to_string(*y.shape) : "?");
      }
    if (shape || x) y.shape = shape ? *shape : ir::Shape(x->size());
  }
  c.set_output(0, std::move(y));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor &x = c.input(0), &indices = c.input(1);
  Tensor& y = c.output(0);
  CAMEO_ASSIGN(const ir::Shape shape, pooled_from(c.attrs<MaxUnpoolAttrs>(), ir::to_shape(x.dims())));
  const Dims inner = *ir::to_dims(shape);
  CAMEO_ASSIGN(const int64_t limit, inner.checked_num_elements());
  const Dims strides = strides_of(y.dims());
  return dispatch_floats(x.dtype(), "MaxUnpool", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    std::fill_n(y.data<T>(), y.num_elements(), T{});
    for (int64_t i = 0; i < x.num_elements(); ++i) {
      int64_t rest = indices.data<int64_t>()[i], at = 0;
      if (rest < 0 || rest >= limit) return error(ErrorCode::kInvalidInput, "index {} is {}; allowed: 0 to {}", i, rest, limit - 1);
      for (size_t a = inner.rank(); a-- > 0; rest /= inner[a]) at += rest % inner[a] * strides[a];
      y.data<T>()[at] = x.data<T>()[i];
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(MaxUnpool) = {
    .name = "MaxUnpool",
    .min_version = 9,
    .min_inputs = 2,
    .max_inputs = 3,
    .input_types = {kFloatTypes, TypeSet{DType::kInt64}},
    .make_attrs = &ir::make_attrs<MaxUnpoolAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
