// Gemm (ai.onnx 1, 6, 7, 9, 11, 13): y = alpha * A' · B' + beta * C, where A' and B' are the matrices A and B or their
// transposes, and C broadcasts to the product (before version 7 only if `broadcast` is set). C is optional from version
// 11 on. 16-bit floats are computed in float and rounded once; integers wrap around while alpha and beta are 1, and go
// over double otherwise.
#include "ops/gemm_attrs.h"

#include <algorithm>

#include "ops/matrix_product.h"
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<GemmAttrs>();
  for (size_t i = 1; i < c.num_inputs(); ++i)
    if (c.has_input(i) && c.dtype(0) != DType::kUndefined && c.dtype(i) != DType::kUndefined && c.dtype(i) != c.dtype(0))
      return error(ErrorCode::kInvalidModel, "input {} is {}, but all inputs must be of one type and the first is {}", i,
                   dtype_name(c.dtype(i)), dtype_name(c.dtype(0)));
  for (size_t i = 0; i < 2; ++i)
    if (c.shape(i) && c.shape(i)->size() != 2)
      return error(ErrorCode::kInvalidModel, "input {} has shape {}, but must be a matrix", i, ir::to_string(*c.shape(i)));
  ir::Shape shape(2);
  ir::Dim inner_a, inner_b;
  if (c.shape(0)) {
    shape[0] = (*c.shape(0))[attrs.trans_a ? 1 : 0];
    inner_a = (*c.shape(0))[attrs.trans_a ? 0 : 1];
  }
  if (c.shape(1)) {
    shape[1] = (*c.shape(1))[attrs.trans_b ? 0 : 1];
    inner_b = (*c.shape(1))[attrs.trans_b ? 1 : 0];
  }
  if (inner_a.is_const() && inner_b.is_const() && !(inner_a == inner_b))
    return error(ErrorCode::kInvalidInput, "{}{} and {}{} cannot be multiplied: {} columns against {} rows", ir::to_string(*c.shape(0)),
                 attrs.trans_a ? " transposed" : "", ir::to_string(*c.shape(1)), attrs.trans_b ? " transposed" : "", inner_a.to_string(),
                 inner_b.to_string());
  if (c.has_input(2) && c.shape(2)) {
    CAMEO_ASSIGN(const ir::Shape both, broadcast(shape, *c.shape(2)));
    bool fits = both.size() == 2;
    for (size_t i = 0; fits && i < 2; ++i) fits = !both[i].is_const() || !shape[i].is_const() || both[i] == shape[i];
    if (!fits)
      return error(ErrorCode::kInvalidInput, "C of shape {} does not broadcast to the product {}", ir::to_string(*c.shape(2)),
                   ir::to_string(shape));
  }
  c.set_output(0, c.dtype(0), std::move(shape));
  return {};
}

// What alpha * product + beta * C gives as an element of T.
template <class T, class Acc>
T combine(Acc product, Acc addend, float alpha, float beta) {
  if constexpr (std::is_integral_v<T>) {
    if (alpha == 1 && beta == 1) return static_cast<T>(product + addend);
    return to_integer<T>(static_cast<double>(alpha) * static_cast<double>(static_cast<T>(product)) +
                         static_cast<double>(beta) * static_cast<double>(static_cast<T>(addend)));
  } else {
    return static_cast<T>(static_cast<Acc>(alpha) * product + static_cast<Acc>(beta) * addend);
  }
}

// T: the element type; Stored: the type it is multiplied as; Acc: the type it is added in.
template <class T, class Stored, class Acc>
Status multiply(KernelContext& c) {
  const auto& attrs = c.attrs<GemmAttrs>();
  const Tensor& a = c.input(0);
  const Tensor& b = c.input(1);
  Tensor& y = c.output(0);
  const int64_t m = y.dim(0), n = y.dim(1), k = a.dim(attrs.trans_a ? 0 : 1);
  const MatrixView<Stored> left{a.data<Stored>(), attrs.trans_a ? 1 : k, attrs.trans_a ? m : 1};
  const MatrixView<Stored> right{b.data<Stored>(), attrs.trans_b ? 1 : n, attrs.trans_b ? k : 1};
  Acc* sums = y.data<Acc>();
  if constexpr (sizeof(T) != sizeof(Acc)) sums = c.scratch<Acc>(m * n).data();
  std::fill_n(sums, m * n, Acc{});
  gemm<Stored, Acc>(m, n, k, left, right, sums, n, c.scratch<Acc>(gemm_workspace(m, n, k)));
  const bool has_c = c.has_input(2) && attrs.beta != 0;
  const Dims steps = has_c ? broadcast_strides(c.input(2).dims(), y.dims()) : Dims(2, 0);
  const Acc none{};
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      const Acc addend = has_c ? static_cast<Acc>(c.input(2).data<Stored>()[i * steps[0] + j * steps[1]]) : none;
      y.data<T>()[i * n + j] = combine<T, Acc>(sums[i * n + j], addend, attrs.alpha, has_c ? attrs.beta : 1);
    }
  return {};
}

Status reference(KernelContext& c) {
  switch (c.input(0).dtype()) {
    case DType::kFloat32:
      return multiply<float, float, float>(c);
    case DType::kFloat64:
      return multiply<double, double, double>(c);
    case DType::kFloat16:
      return multiply<Float16, Float16, float>(c);
    case DType::kBfloat16:
      return multiply<Bfloat16, Bfloat16, float>(c);
    case DType::kInt32:
      return multiply<int32_t, uint32_t, uint32_t>(c);
    case DType::kUint32:
      return multiply<uint32_t, uint32_t, uint32_t>(c);
    case DType::kInt64:
      return multiply<int64_t, uint64_t, uint64_t>(c);
    default:
      return multiply<uint64_t, uint64_t, uint64_t>(c);
  }
}

}  // namespace

CAMEO_DEFINE_OP(Gemm) = {
    .name = "Gemm",
    .min_inputs = 2,
    .max_inputs = 3,
    .input_types = {kFloatTypes | TypeSet{DType::kInt32, DType::kInt64, DType::kUint32, DType::kUint64}},
    .make_attrs = &ir::make_attrs<GemmAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
