// Imputer (ai.onnx.ml 1): replaces the elements that equal replaced_value (or are NaN when that is NaN) by imputed_values, one for
// each feature (the last axis) or one for all. Floats and integers have attributes of their own.
#include <cmath>

#include "ops/dispatch.h"
#include "ops/ml_matrix.h"

namespace cameo::ops {
namespace {

struct ImputerAttrs : ir::AttrsOf<ImputerAttrs> {
  std::vector<float> imputed_value_floats;
  std::vector<int64_t> imputed_value_int64s;
  float replaced_value_float = 0;
  int64_t replaced_value_int64 = 0;
  void visit(ir::AttrVisitor& v) override {
    v("imputed_value_floats", imputed_value_floats);
    v("imputed_value_int64s", imputed_value_int64s);
    v("replaced_value_float", replaced_value_float);
    v("replaced_value_int64", replaced_value_int64);
  }
};

bool is_float(DType type) { return type == DType::kFloat32 || type == DType::kFloat64; }

Status check(const ImputerAttrs& a, DType type, int64_t features) {
  const size_t given = is_float(type) ? a.imputed_value_floats.size() : a.imputed_value_int64s.size();
  if (given != 1 && static_cast<int64_t>(given) != features)
    return error(ErrorCode::kInvalidInput, "there are {} values to impute for {} features of {}", given, features, dtype_name(type));
  return {};
}

Status infer(InferContext& c) {
  const ir::Type& type = c.input(0);
  if (type.shape && type.shape->empty()) return error(ErrorCode::kInvalidInput, "the input is a scalar; its last axis holds the features");
  if (type.shape && type.shape->back().is_const() && type.dtype != DType::kUndefined)
    CAMEO_TRY(check(c.attrs<ImputerAttrs>(), type.dtype, type.shape->back().value()));
  c.set_output(0, type);
  return {};
}

template <class T, class V>
void impute(const Tensor& x, Tensor& y, const std::vector<V>& values, V replaced) {
  const int64_t features = x.dims().back();
  const bool replace_nan = std::isnan(static_cast<double>(replaced));
  for (int64_t i = 0; i < x.num_elements(); ++i) {
    const T v = x.data<T>()[i];
    const bool missing = replace_nan ? std::isnan(static_cast<double>(v)) : v == static_cast<T>(replaced);
    y.data<T>()[i] = missing ? static_cast<T>(values[values.size() == 1 ? 0 : static_cast<size_t>(i % features)]) : v;
  }
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<ImputerAttrs>();
  const Tensor& x = c.input(0);
  CAMEO_TRY(check(a, x.dtype(), x.dims().back()));
  return dispatch_numbers(x.dtype(), "Imputer", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_floating_point_v<T>)
      impute<T>(x, c.output(0), a.imputed_value_floats, a.replaced_value_float);
    else if constexpr (std::is_integral_v<T>)
      impute<T>(x, c.output(0), a.imputed_value_int64s, a.replaced_value_int64);
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Imputer) = {
    .name = "Imputer",
    .domain = "ai.onnx.ml",
    .max_version = 5,
    .input_types = {kMlTypes},
    .make_attrs = &ir::make_attrs<ImputerAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
