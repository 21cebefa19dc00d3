// IsInf and IsNaN: a bool for each element of a tensor of floats of any width.
#pragma once

#include "ops/pointwise.h"

namespace cameo::ops {

template <class Test>
Status float_predicate(KernelContext& c, const char* what, Test test) {
  const auto apply = [&](auto tag) -> Status {
    map_unary<typename decltype(tag)::type, bool>(c.input(0), c.output(0), test);
    return {};
  };
  switch (c.input(0).dtype()) {
    case DType::kFloat8E4M3FN:
      return apply(TypeTag<Float8E4M3FN>{});
    case DType::kFloat8E4M3FNUZ:
      return apply(TypeTag<Float8E4M3FNUZ>{});
    case DType::kFloat8E5M2:
      return apply(TypeTag<Float8E5M2>{});
    case DType::kFloat8E5M2FNUZ:
      return apply(TypeTag<Float8E5M2FNUZ>{});
    default:
      return dispatch_floats(c.input(0).dtype(), what, apply);
  }
}

inline Status infer_float_predicate(InferContext& c) {
  ir::Type output = c.input(0);
  output.dtype = DType::kBool;
  c.set_output(0, std::move(output));
  return {};
}

}  // namespace cameo::ops
