// ConstantOfShape (ai.onnx 9, 20, 21, 23, 24, 25): a tensor of the given shape, filled with the one element of the
// attribute `value`, by default the float32 zero.
#include <cstring>

#include "ops/move.h"

namespace cameo::ops {
namespace {

struct ConstantOfShapeAttrs : ir::AttrsOf<ConstantOfShapeAttrs> {
  Tensor value;
  void visit(ir::AttrVisitor& v) override { v("value", value); }
};

std::optional<int64_t> integer_value(const Tensor& t) {
  if (t.dtype() == DType::kInt64) return t.data<int64_t>()[0];
  if (t.dtype() == DType::kInt32) return t.data<int32_t>()[0];
  return std::nullopt;
}

Status infer(InferContext& c) {
  const Tensor& value = c.attrs<ConstantOfShapeAttrs>().value;
  if (value.defined() && value.num_elements() != 1)
    return error(ErrorCode::kInvalidModel, "the attribute value must have one element, its shape is {}", value.dims().to_string());
  const DType dtype = value.defined() ? value.dtype() : DType::kFloat32;
  CAMEO_TRY(check_rank(c, 0, 1, "the shape"));
  auto shape = c.values(0);
  const auto length = list_length(c, 0);
  if (length.value_or(0) > static_cast<int64_t>(kMaxRank))
    return error(ErrorCode::kUnsupported, "the shape has {} extents; at most {} are supported", *length, kMaxRank);
  if (!shape && length && *length >= 0) shape.emplace(*length);
  if (shape) {
    for (const ir::Dim& d : *shape)
      if (d.is_const() && d.value() < 0)
        return error(ErrorCode::kInvalidInput, "the shape {} has the negative extent {}", ir::to_string(*shape), d.value());
    if (const auto number = value.defined() ? integer_value(value) : std::nullopt) {
      const ir::Dim n = shape->empty() ? ir::Dim(1) : shape->front();
      if (shape->size() <= 1 && n.is_const() && n.value() <= 1024)
        c.set_values(0, ir::Shape(static_cast<size_t>(n.value()), ir::Dim(*number)));
    }
  }
  c.set_output(0, tensor_type(dtype, std::move(shape)));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& value = c.attrs<ConstantOfShapeAttrs>().value;
  Tensor& y = c.output(0);
  const float zero = 0;
  fill_elements(y.dtype(), value.defined() ? value.raw() : &zero, y.raw(), y.num_elements());
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(ConstantOfShape) = {
    .name = "ConstantOfShape",
    .min_version = 9,
    .input_types = {{DType::kInt64}},
    .make_attrs = &ir::make_attrs<ConstantOfShapeAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
