// EyeLike (ai.onnx 9, 22): a matrix of the input's shape with ones on diagonal k (positive above the main one) and zeros
// elsewhere, in the type of the input unless dtype names another.
#include <algorithm>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct EyeLikeAttrs : ir::AttrsOf<EyeLikeAttrs> {
  std::optional<int64_t> dtype;
  int64_t k = 0;
  void visit(ir::AttrVisitor& v) override {
    v("dtype", dtype);
    v("k", k);
  }
};

Status infer(InferContext& c) {
  CAMEO_TRY(check_rank(c, 0, 2, "the input"));
  DType type = c.dtype(0);
  if (const auto& dtype = c.attrs<EyeLikeAttrs>().dtype) {
    CAMEO_ASSIGN(type, dtype_of_attribute(*dtype, kNumericTypes | kBoolType));
  } else if (type != DType::kUndefined && !(kNumericTypes | kBoolType).contains(type)) {
    return error(ErrorCode::kInvalidModel, "the input is {} and dtype is not given; there is no 1 of that type", dtype_name(type));
  }
  c.set_output(0, tensor_type(type, c.shape(0)));
  return {};
}

Status reference(KernelContext& c) {
  Tensor& y = c.output(0);
  const int64_t rows = y.dim(0), columns = y.dim(1), k = std::clamp(c.attrs<EyeLikeAttrs>().k, -rows, columns);
  const auto fill = [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    std::fill_n(y.data<T>(), y.num_elements(), T{});
    for (int64_t i = std::max<int64_t>(0, -k); i < std::min(rows, columns - k); ++i)
      y.data<T>()[i * columns + i + k] = static_cast<T>(compute_t<T>{1});
    return {};
  };
  return y.dtype() == DType::kBool ? fill(TypeTag<bool>{}) : dispatch_numbers(y.dtype(), "EyeLike", fill);
}

}  // namespace

CAMEO_DEFINE_OP(EyeLike) = {
    .name = "EyeLike",
    .min_version = 9,
    .make_attrs = &ir::make_attrs<EyeLikeAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
