// Scaler (ai.onnx.ml 1): y = (x - offset) scale, with one offset and scale for each feature (the last axis) or for all.
#include "ops/dispatch.h"
#include "ops/ml_matrix.h"

namespace cameo::ops {
namespace {

struct ScalerAttrs : ir::AttrsOf<ScalerAttrs> {
  std::vector<float> offset, scale;
  void visit(ir::AttrVisitor& v) override {
    v("offset", offset);
    v("scale", scale);
  }
};

Status check(const ScalerAttrs& a, int64_t features) {
  for (const auto* list : {&a.offset, &a.scale})
    if (list->size() > 1 && std::ssize(*list) != features)
      return error(ErrorCode::kInvalidInput, "{} has {} entries; the input has {} features", list == &a.offset ? "offset" : "scale",
                   list->size(), features);
  return {};
}

Status infer(InferContext& c) {
  ir::Type type = c.input(0);
  type.dtype = DType::kFloat32;
  if (type.shape && type.shape->empty()) return error(ErrorCode::kInvalidInput, "the input is a scalar; its last axis holds the features");
  if (type.shape && type.shape->back().is_const()) CAMEO_TRY(check(c.attrs<ScalerAttrs>(), type.shape->back().value()));
  c.set_output(0, std::move(type));
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<ScalerAttrs>();
  const Tensor& x = c.input(0);
  const int64_t features = x.dims().back(), rows = features == 0 ? 0 : x.num_elements() / features;
  CAMEO_TRY(check(a, features));
  const auto of = [](const std::vector<float>& list, int64_t i, float otherwise) {
    return list.empty() ? otherwise : list.size() == 1 ? list[0] : list[static_cast<size_t>(i)];
  };
  return dispatch_numbers(x.dtype(), "Scaler", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    float* to = c.output(0).data<float>();
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < features; ++i)
        *to++ = static_cast<float>((static_cast<double>(static_cast<compute_t<T>>(*from++)) - of(a.offset, i, 0)) * of(a.scale, i, 1));
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Scaler) = {
    .name = "Scaler",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .input_types = {kMlTypes},
    .make_attrs = &ir::make_attrs<ScalerAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
