#include "ops/class_loss.h"

namespace cameo::ops {

Status infer_class_loss(InferContext& c) {
  const auto& attrs = c.attrs<ClassLossAttrs>();
  CAMEO_TRY(check_same_dtype(c, {0, 2}));
  if (attrs.reduction != "none" && attrs.reduction != "sum" && attrs.reduction != "mean")
    return error(ErrorCode::kInvalidModel, "reduction is '{}'; allowed: none, sum, mean", attrs.reduction);
  ir::Type y = ir::Type::tensor(c.dtype(0));
  if (attrs.reduction != "none") y.shape = ir::Shape{};
  if (const auto& x = c.shape(0)) {
    if (x->size() < 2) return error(ErrorCode::kInvalidInput, "the input is {}; it must have rank 2 or more", ir::to_string(*x));
    ir::Shape labels = *x;
    labels.erase(labels.begin() + 1);
    CAMEO_TRY(check_shape(c, 1, labels, "labels"));
    CAMEO_TRY(check_shape(c, 2, {(*x)[1]}, "weight"));
    if (attrs.reduction == "none") y.shape = std::move(labels);
  } else if (attrs.reduction == "none" && c.shape(1)) {
    y.shape = c.shape(1);
  }
  c.set_output(0, std::move(y));
  return {};
}

}  // namespace cameo::ops
