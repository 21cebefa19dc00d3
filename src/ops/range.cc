// Range (ai.onnx 11, 27): y[i] = start + i * delta for i < max(ceil((limit - start) / delta), 0). The 16-bit floats
// (27) are computed in the type that stash_type names: 1 for float, 11 for double.
#include <cmath>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct RangeAttrs : ir::AttrsOf<RangeAttrs> {
  int64_t stash_type = 1;
  void visit(ir::AttrVisitor& v) override { v("stash_type", stash_type); }
};

template <class T>
double number(const Tensor& t) {
  return static_cast<double>(static_cast<compute_t<T>>(t.data<T>()[0]));
}

Status check_scalars(const Tensor& start, const Tensor& limit, const Tensor& delta) {
  for (const Tensor* t : {&start, &limit, &delta})
    if (t->num_elements() != 1)
      return error(ErrorCode::kInvalidInput, "start, limit and delta must be scalars, one has shape {}", t->dims().to_string());
  return {};
}

Result<int64_t> count_of(const Tensor& start, const Tensor& limit, const Tensor& delta) {
  CAMEO_TRY(check_scalars(start, limit, delta));
  int64_t count = 0;
  CAMEO_TRY(dispatch_numbers(start.dtype(), "Range", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_integral_v<T>) {
      const auto first = static_cast<__int128>(start.data<T>()[0]), last = static_cast<__int128>(limit.data<T>()[0]),
                 step = static_cast<__int128>(delta.data<T>()[0]);
      if (step == 0) return error(ErrorCode::kInvalidInput, "delta is 0");
      const __int128 n = step > 0 ? (last - first + step - 1) / step : (first - last - step - 1) / -step;
      count = n <= 0 ? 0 : n > INT64_MAX ? INT64_MAX : static_cast<int64_t>(n);
    } else {
      const double n = std::ceil((number<T>(limit) - number<T>(start)) / number<T>(delta));
      if (!std::isfinite(n))
        return error(ErrorCode::kInvalidInput, "start {}, limit {} and delta {} give no number of elements", number<T>(start),
                     number<T>(limit), number<T>(delta));
      count = n <= 0 ? 0 : n >= 0x1p62 ? INT64_MAX : static_cast<int64_t>(n);
    }
    return {};
  }));
  return count;
}

ir::Dim symbolic_count(const InferContext& c) {
  const auto start = c.values(0), limit = c.values(1), delta = c.values(2);
  if (!start || !limit || !delta || start->size() != 1 || limit->size() != 1 || delta->size() != 1) return ir::Dim::unknown();
  const ir::Dim& step = (*delta)[0];
  if (!step.is_const() || step.value() == 0) return ir::Dim::unknown();
  const ir::Dim n = ceil_div((*limit)[0] - (*start)[0], step);
  return n.is_unknown() || n.is_non_negative() ? n : max(n, ir::Dim(0));
}

Status infer(InferContext& c) {
  CAMEO_TRY(check_same_dtype(c, {0, 1}));
  CAMEO_TRY(check_same_dtype(c, {0, 2}));
  ir::Dim count = symbolic_count(c);
  if (c.constant(0) != nullptr && c.constant(1) != nullptr && c.constant(2) != nullptr) {
    CAMEO_ASSIGN(const int64_t n, count_of(*c.constant(0), *c.constant(1), *c.constant(2)));
    count = n;
  }
  c.set_output(0, c.dtype(0), {count});
  return {};
}

Status reference(KernelContext& c) {
  const Tensor &start = c.input(0), &delta = c.input(2);
  CAMEO_TRY(check_scalars(start, c.input(1), delta));
  Tensor& y = c.output(0);
  const int64_t n = y.num_elements();
  const bool in_double = c.attrs<RangeAttrs>().stash_type == static_cast<int64_t>(DType::kFloat64);
  return dispatch_numbers(y.dtype(), "Range", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    T* to = y.data<T>();
    if constexpr (std::is_integral_v<T>) {
      const auto first = static_cast<uint64_t>(start.data<T>()[0]), step = static_cast<uint64_t>(delta.data<T>()[0]);
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(first + static_cast<uint64_t>(i) * step);
    } else if (std::is_same_v<T, float> || std::is_same_v<T, double> || in_double) {
      const double first = number<T>(start), step = number<T>(delta);
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(first + static_cast<double>(i) * step);
    } else {
      const auto first = static_cast<float>(number<T>(start)), step = static_cast<float>(number<T>(delta));
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(first + static_cast<float>(i) * step);
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Range) = {
    .name = "Range",
    .min_version = 11,
    .min_inputs = 3,
    .max_inputs = 3,
    .input_types = {kFloatTypes | TypeSet{DType::kInt16, DType::kInt32, DType::kInt64}},
    .make_attrs = &ir::make_attrs<RangeAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
