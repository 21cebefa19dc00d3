// ai.cameo.Float8MatMul (1): y = program(s * w_scale[column] * sum(x8 * w), e1, …, ek), sums in float32.
//
// Inputs: X, float32 or float8e4m3fn [..., k]; W, float8e4m3fn [n, k]; w_scale, float32 [n]; e1 to ek, float32, which broadcast to the
// product. x8 is X itself, or X / s rounded to float8e4m3fn, where s is x_scale, or if that is 0 the largest |x| by 448 (1 where that
// is not a positive number). y is float32, or y / y_scale rounded to float8e4m3fn. Values beyond the type's range become its largest
// ones. With `splits` there is one output per number: that many columns of y, from the left.
#include "ops/cameo_float8_matmul.h"

#include <algorithm>
#include <cmath>

#include "base/numeric.h"

namespace cameo::ops {
namespace {

constexpr int64_t kMostExtent = int64_t{1} << 31;

Status check(const CameoFloat8MatMulAttrs& a, DType x, size_t num_outputs) {
  if (a.n < 0 || a.n > kMostExtent || a.k < 0 || a.k > kMostExtent)
    return error(ErrorCode::kInvalidModel, "the weight has {} x {} elements; each extent must lie in [0, 2^31]", a.k, a.n);
  if (a.y_type != 1 && a.y_type != 17) return error(ErrorCode::kInvalidModel, "y_type is {}; it must be 1 or 17", a.y_type);
  if (!std::isfinite(a.x_scale) || a.x_scale < 0 || (a.x_scale == 0 && x == DType::kFloat8E4M3FN))
    return error(ErrorCode::kInvalidModel, "x_scale is {}; it must be positive{}", a.x_scale,
                 x == DType::kFloat8E4M3FN ? "" : ", or 0 to be found from X");
  if (!std::isfinite(a.y_scale) || a.y_scale <= 0) return error(ErrorCode::kInvalidModel, "y_scale is {}; it must be positive", a.y_scale);
  if (num_outputs != std::max<size_t>(a.splits.size(), 1))
    return error(ErrorCode::kInvalidModel, "the node has {} outputs, but splits asks for {}", num_outputs,
                 std::max<size_t>(a.splits.size(), 1));
  int64_t sum = 0;
  for (int64_t columns : a.splits) {
    if (columns < 0 || columns > a.n) return error(ErrorCode::kInvalidModel, "splits holds {}, and W has {} columns", columns, a.n);
    sum += columns;
  }
  if (!a.splits.empty() && sum != a.n) return error(ErrorCode::kInvalidModel, "the product has {} columns, but splits has {}", a.n, sum);
  return {};
}

Status infer(InferContext& c) {
  const auto& a = c.attrs<CameoFloat8MatMulAttrs>();
  CAMEO_TRY(check(a, c.dtype(0), c.num_outputs()));
  const auto has_shape = [&](size_t input, const ir::Shape& want, const char* what) -> Status {
    if (!c.shape(input) || *c.shape(input) == want) return {};
    return error(ErrorCode::kInvalidModel, "{} has shape {}; it must be {}", what, ir::to_string(*c.shape(input)), ir::to_string(want));
  };
  CAMEO_TRY(has_shape(1, {a.n, a.k}, "W"));
  CAMEO_TRY(has_shape(2, {a.n}, "w_scale"));
  std::optional<ir::Shape> shape = c.shape(0);
  if (shape) {
    if (shape->empty()) return error(ErrorCode::kInvalidModel, "X is a scalar; it must have rank 1 or more");
    if (shape->back().is_const() && shape->back().value() != a.k)
      return error(ErrorCode::kInvalidInput, "X has shape {}, but W {} rows", ir::to_string(*shape), a.k);
    shape->back() = a.n;
  }
  CAMEO_TRY(check_epilogue(c, a, kFloat8Operands, shape));
  for (size_t i = 0; i < c.num_outputs(); ++i) {
    ir::Type type = ir::Type::tensor(static_cast<DType>(a.y_type));
    type.shape = shape;
    if (shape && !a.splits.empty()) type.shape->back() = a.splits[i];
    c.set_output(i, std::move(type));
  }
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<CameoFloat8MatMulAttrs>();
  const Tensor &x = c.input(0), &w = c.input(1);
  if (!(w.dims() == Dims{a.n, a.k}) || c.input(2).num_elements() != a.n)
    return error(ErrorCode::kInvalidModel, "W has shape {} and {} scales; they must be {} x {} and {}", w.dims().to_string(),
                 c.input(2).num_elements(), a.n, a.k, a.n);
  Dims dims = x.dims();
  dims[dims.rank() - 1] = a.n;
  if (dims.num_elements() == 0) return {};
  const int64_t rows = dims.num_elements() / a.n, size = rows * a.k;
  const auto left = c.scratch<float>(size), column = c.scratch<float>(a.k);
  float scale = a.x_scale;
  if (x.dtype() == DType::kFloat8E4M3FN) {
    for (int64_t i = 0; i < size; ++i) left[static_cast<size_t>(i)] = static_cast<float>(x.data<Float8E4M3FN>()[i]);
  } else {
    if (scale == 0) {
      float most = 0;
      for (int64_t i = 0; i < size; ++i) most = std::max(most, std::fabs(x.data<float>()[i]));
      scale = std::isnormal(most / kFloat8Most) ? most / kFloat8Most : 1;
    }
    for (int64_t i = 0; i < size; ++i) left[static_cast<size_t>(i)] = static_cast<float>(Float8E4M3FN(x.data<float>()[i] / scale));
  }
  const bool direct = a.splits.empty() && a.y_type == 1;
  float* y = direct ? c.output(0).data<float>() : c.scratch<float>(rows * a.n).data();
  for (int64_t j = 0; j < a.n; ++j) {
    if (j % 256 == 0) CAMEO_TRY(c.check_cancelled());
    for (int64_t i = 0; i < a.k; ++i) column[static_cast<size_t>(i)] = static_cast<float>(w.data<Float8E4M3FN>()[j * a.k + i]);
    const float factor = scale * c.input(2).data<float>()[j];
    for (int64_t r = 0; r < rows; ++r) {
      float sum = 0;
      for (int64_t i = 0; i < a.k; ++i) sum += left[static_cast<size_t>(r * a.k + i)] * column[static_cast<size_t>(i)];
      y[r * a.n + j] = sum * factor;
    }
  }
  CAMEO_TRY(apply_epilogue(c, a, kFloat8Operands, dims, y));
  int64_t first = 0;
  for (size_t i = 0; i < std::max<size_t>(a.splits.size(), 1) && !direct; ++i) {
    const int64_t columns = a.splits.empty() ? a.n : a.splits[i];
    for (int64_t r = 0; r < rows && c.has_output(i); ++r)
      for (int64_t j = 0; j < columns; ++j) {
        const float value = y[r * a.n + first + j];
        if (a.y_type == 1)
          c.output(i).data<float>()[r * columns + j] = value;
        else
          c.output(i).data<Float8E4M3FN>()[r * columns + j] = Float8E4M3FN(value / a.y_scale);
      }
    first += columns;
  }
  return {};
}

constexpr TypeSet kFloat = {DType::kFloat32}, kFloat8 = {DType::kFloat8E4M3FN};

}  // namespace

CAMEO_DEFINE_OP(CameoFloat8MatMul) = {
    .name = "Float8MatMul",
    .domain = kCameoDomain,
    .max_version = 1,
    .min_inputs = 3,
    .max_inputs = kVariadic,
    .max_outputs = kVariadic,
    .input_types = {kFloat | kFloat8, kFloat8, kFloat, kFloat},
    .make_attrs = &ir::make_attrs<CameoFloat8MatMulAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
