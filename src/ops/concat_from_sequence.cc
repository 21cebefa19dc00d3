// ConcatFromSequence (ai.onnx 11): joins the tensors of a sequence along an axis, or along a new one (new_axis = 1).
#include <algorithm>

#include "ops/dispatch.h"
#include "ops/sequence.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

struct ConcatFromSequenceAttrs : ir::AttrsOf<ConcatFromSequenceAttrs> {
  int64_t axis = 0;
  int64_t new_axis = 0;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("new_axis", new_axis);
  }
};

Status infer(InferContext& c) {
  const auto& a = c.attrs<ConcatFromSequenceAttrs>();
  if (a.new_axis != 0 && a.new_axis != 1) return error(ErrorCode::kInvalidModel, "new_axis is {}; it must be 0 or 1", a.new_axis);
  CAMEO_ASSIGN(ir::Type element, element_type(c, 0));
  if (element.shape) {
    CAMEO_ASSIGN(const size_t axis, normalize_axis(a.axis, element.shape->size() + static_cast<size_t>(a.new_axis)));
    if (a.new_axis)
      element.shape->insert(element.shape->begin() + static_cast<std::ptrdiff_t>(axis), ir::Dim::unknown());
    else
      (*element.shape)[axis] = ir::Dim::unknown();
  }
  c.set_output(0, std::move(element));
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<ConcatFromSequenceAttrs>();
  CAMEO_ASSIGN(const auto elements, sequence_elements(c, 0));
  if (elements.empty()) return error(ErrorCode::kInvalidInput, "the sequence is empty: there is nothing to concatenate");
  Dims dims = elements[0].tensor.dims();
  const DType dtype = elements[0].tensor.dtype();
  CAMEO_ASSIGN(const size_t axis, normalize_axis(a.axis, dims.rank() + static_cast<size_t>(a.new_axis)));
  if (a.new_axis) dims.insert(axis, 1);
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < dims.rank(); ++i)
    if (i != axis) (i < axis ? outer : inner) *= dims[i];
  dims[axis] = 0;
  for (size_t k = 0; k < elements.size(); ++k) {
    const Tensor& t = elements[k].tensor;
    Dims own = t.dims();
    if (a.new_axis && own.rank() + 1 == dims.rank()) own.insert(axis, 1);
    bool fits = t.dtype() == dtype && own.rank() == dims.rank();
    for (size_t i = 0; fits && i < own.rank(); ++i) fits = i == axis || own[i] == dims[i];
    if (!fits || __builtin_add_overflow(dims[axis], own[axis], &dims[axis]))
      return error(ErrorCode::kInvalidInput, "element {} of the sequence is {}[{}] and does not fit element 0, {}[{}]", k,
                   dtype_name(t.dtype()), t.dims().to_string(), dtype_name(dtype), elements[0].tensor.dims().to_string());
  }
  CAMEO_TRY(c.allocate_output(0, dtype, dims));
  Tensor& y = c.output(0);
  return dispatch_storage(dtype, "ConcatFromSequence", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    int64_t start = 0;
    for (const RtValue& element : elements) {
      const int64_t length = a.new_axis ? 1 : element.tensor.dim(axis);
      for (int64_t o = 0; o < outer; ++o)
        std::copy_n(element.tensor.data<T>() + o * length * inner, length * inner, y.data<T>() + (o * dims[axis] + start) * inner);
      start += length;
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(ConcatFromSequence) = {
    .name = "ConcatFromSequence",
    .min_version = 11,
    .make_attrs = &ir::make_attrs<ConcatFromSequenceAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kDataDependent,
};

}  // namespace cameo::ops
