// ArrayFeatureExtractor (ai.onnx.ml 1): selects elements along the last axis, Z[..., k] = X[..., Y[k]]. A vector gives a matrix of
// one row.
#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  ir::Type type = ir::Type::tensor(c.dtype(0));
  if (c.shape(0)) {
    if (c.shape(0)->empty()) return error(ErrorCode::kInvalidInput, "the input is a scalar; it needs an axis to select from");
    type.shape = *c.shape(0);
    if (type.shape->size() == 1) type.shape->insert(type.shape->begin(), 1);
    type.shape->back() = c.shape(1) ? num_elements(*c.shape(1)) : ir::Dim::unknown();
  }
  c.set_output(0, std::move(type));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& z = c.output(0);
  const int64_t features = x.dims().back();
  const auto indices = c.input(1).span<int64_t>();
  for (int64_t index : indices)
    if (index < 0 || index >= features)
      return error(ErrorCode::kInvalidInput, "an index is {}; the last axis has the elements 0 to {}", index, features - 1);
  if (z.num_elements() == 0) return {};
  return dispatch_storage(x.dtype(), "ArrayFeatureExtractor", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    T* to = z.data<T>();
    const T* const end = x.data<T>() + x.num_elements();
    for (const T* row = x.data<T>(); row != end; row += features)
      for (int64_t index : indices) *to++ = row[index];
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(ArrayFeatureExtractor) = {
    .name = "ArrayFeatureExtractor",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {{DType::kFloat32, DType::kFloat64, DType::kInt64, DType::kInt32, DType::kString}, {DType::kInt64}},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
