// OneHot (ai.onnx 9, 11, 28): adds an axis of extent `depth`, along which each index has values[1] at its place and values[0]
// elsewhere. Indices in [-depth, -1] count from the end (11); others out of [0, depth) give values[0] everywhere. Indices and
// depth of float types are cut to whole numbers.
#include <algorithm>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct OneHotAttrs : ir::AttrsOf<OneHotAttrs> {
  int64_t axis = -1;
  void visit(ir::AttrVisitor& v) override { v("axis", axis); }
};

// Element i as an integer; numbers beyond int64 and NaN become INT64_MIN.
template <class T>
int64_t whole(const Tensor& t, int64_t i) {
  if constexpr (std::is_same_v<T, uint64_t>) {
    return t.data<T>()[i] > static_cast<uint64_t>(INT64_MAX) ? INT64_MIN : static_cast<int64_t>(t.data<T>()[i]);
  } else if constexpr (std::is_integral_v<T>) {
    return t.data<T>()[i];
  } else {
    const auto v = static_cast<double>(static_cast<compute_t<T>>(t.data<T>()[i]));
    return v > -0x1p63 && v < 0x1p63 ? static_cast<int64_t>(v) : INT64_MIN;
  }
}

Result<int64_t> depth_of(const Tensor& t) {
  if (t.num_elements() != 1) return error(ErrorCode::kInvalidInput, "depth must be a scalar, its shape is {}", t.dims().to_string());
  int64_t depth = 0;
  CAMEO_TRY(dispatch_numbers(t.dtype(), "depth", [&](auto tag) -> Status {
    depth = whole<typename decltype(tag)::type>(t, 0);
    return {};
  }));
  if (depth < 0) return error(ErrorCode::kInvalidInput, "depth is {}; it must not be negative", depth);
  return depth;
}

Result<size_t> new_axis(const OneHotAttrs& attrs, size_t rank) { return normalize_axis(attrs.axis, rank + 1); }

Status infer(InferContext& c) {
  CAMEO_TRY(check_rank(c, 2, 1, "values"));
  if (c.shape(2)) CAMEO_TRY(agree(2, (*c.shape(2))[0], "the extent of values"));
  ir::Dim depth;
  if (const auto values = c.values(1); values && values->size() == 1) depth = values->front();
  if (const Tensor* t = c.constant(1)) {
    CAMEO_ASSIGN(depth, depth_of(*t));
  }
  std::optional<ir::Shape> out = c.shape(0);
  if (out) {
    CAMEO_ASSIGN(const size_t axis, new_axis(c.attrs<OneHotAttrs>(), out->size()));
    out->insert(out->begin() + static_cast<std::ptrdiff_t>(axis), depth);
  }
  c.set_output(0, tensor_type(c.dtype(2), std::move(out)));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor &x = c.input(0), &values = c.input(2);
  Tensor& y = c.output(0);
  if (y.num_elements() == 0) return {};
  CAMEO_ASSIGN(const size_t axis, new_axis(c.attrs<OneHotAttrs>(), x.rank()));
  const int64_t depth = y.dim(axis), inner = product(x.dims(), axis, x.rank()), n = x.num_elements();
  fill_elements(y.dtype(), values.raw(), y.raw(), y.num_elements());
  return dispatch_numbers(x.dtype(), "OneHot", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < n; ++i) {
      int64_t at = whole<T>(x, i);
      if (at < 0 && at >= -depth) at += depth;
      if (at >= 0 && at < depth) copy_elements(y.dtype(), address(values, 1), address(y, (i / inner * depth + at) * inner + i % inner), 1);
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(OneHot) = {
    .name = "OneHot",
    .min_version = 9,
    .min_inputs = 3,
    .max_inputs = 3,
    .input_types = {kNumericTypes, kNumericTypes, kAllTypes},
    .make_attrs = &ir::make_attrs<OneHotAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
