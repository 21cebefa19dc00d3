// ai.cameo.MatMul (1): y = program(alpha * A' · B', e1, …, ek), where A' and B' are A and B with their last two axes swapped
// or not, the axes before them broadcast as NumPy has it, and the operands e broadcast to the product. With `splits` there is
// one output per number: that many columns of y, from the left.
#include "ops/cameo_matmul.h"

#include <algorithm>

#include "ops/checks.h"
#include "ops/matmul.h"
#include "ops/matrix_product.h"

namespace cameo::ops {
namespace {

template <class S>
S swapped(S shape, bool swap) {
  if (swap) std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
  return shape;
}

Status check_splits(const std::vector<int64_t>& splits, size_t num_outputs, const std::optional<ir::Dim>& columns) {
  if (num_outputs != std::max<size_t>(splits.size(), 1))
    return error(ErrorCode::kInvalidModel, "the node has {} outputs, but splits asks for {}", num_outputs,
                 std::max<size_t>(splits.size(), 1));
  int64_t sum = 0;
  for (int64_t n : splits) {
    if (n < 0 || n > (int64_t{1} << 40)) return error(ErrorCode::kInvalidModel, "splits holds {}", n);
    sum += n;
  }
  if (!splits.empty() && columns && columns->is_const() && columns->value() != sum)
    return error(ErrorCode::kInvalidInput, "the product has {} columns, but splits has {}", columns->value(), sum);
  return {};
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<CameoMatMulAttrs>();
  for (size_t i = 0; i < 2; ++i)
    if (c.shape(i) && c.shape(i)->size() < 2)
      return error(ErrorCode::kInvalidModel, "input {} is {}; it must have rank 2 or more", i, ir::to_string(*c.shape(i)));
  std::optional<ir::Shape> shape;
  if (c.shape(0) && c.shape(1)) {
    CAMEO_ASSIGN(shape, matmul_shape(swapped(*c.shape(0), attrs.trans_a != 0), swapped(*c.shape(1), attrs.trans_b != 0)));
  }
  CAMEO_TRY(check_splits(attrs.splits, c.num_outputs(), shape ? std::optional(shape->back()) : std::nullopt));
  CAMEO_TRY(check_epilogue(c, attrs, 2, shape));
  for (size_t i = 0; i < c.num_outputs(); ++i) {
    ir::Type type = ir::Type::tensor(DType::kFloat32);
    type.shape = shape;
    if (shape && !attrs.splits.empty()) type.shape->back() = attrs.splits[i];
    c.set_output(i, std::move(type));
  }
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<CameoMatMulAttrs>();
  const Tensor &a = c.input(0), &b = c.input(1);
  const auto extent = [](const Tensor& t, bool swap, size_t from_end) { return t.dim(t.rank() - (swap ? 3 - from_end : from_end)); };
  const int64_t m = extent(a, attrs.trans_a != 0, 2), k = extent(a, attrs.trans_a != 0, 1), n = extent(b, attrs.trans_b != 0, 1);
  if (extent(b, attrs.trans_b != 0, 2) != k)
    return error(ErrorCode::kInvalidInput, "{} and {} cannot be multiplied", a.dims().to_string(), b.dims().to_string());
  const auto batch_of = [](const Dims& d) { return Dims(d.span().first(d.rank() - 2)); };
  Dims dims(std::max(a.rank(), b.rank()), 1);
  for (size_t i = 0; i + 2 < dims.rank(); ++i) {
    const auto at = [&](const Tensor& t) { return i + t.rank() < dims.rank() ? 1 : t.dim(i + t.rank() - dims.rank()); };
    dims[i] = at(a) == 1 ? at(b) : at(a);
  }
  const Dims batch = batch_of(dims);
  dims[dims.rank() - 2] = m;
  dims[dims.rank() - 1] = n;
  CAMEO_TRY(check_splits(attrs.splits, c.num_outputs(), ir::Dim(n)));
  if (dims.num_elements() == 0) return {};

  float* y = attrs.splits.empty() ? c.output(0).data<float>() : c.scratch<float>(dims.num_elements()).data();
  std::fill_n(y, dims.num_elements(), 0.f);
  const auto workspace = c.scratch<float>(gemm_workspace(m, n, k));
  const Dims steps_a = broadcast_strides(batch_of(a.dims()), batch), steps_b = broadcast_strides(batch_of(b.dims()), batch);
  float* to = y;
  for_each_offset(batch, {&steps_a, &steps_b}, [&](const int64_t* offset) {
    const MatrixView<float> left{a.data<float>() + offset[0] * m * k, attrs.trans_a ? 1 : k, attrs.trans_a ? m : 1};
    const MatrixView<float> right{b.data<float>() + offset[1] * k * n, attrs.trans_b ? 1 : n, attrs.trans_b ? k : 1};
    gemm<float, float>(m, n, k, left, right, to, n, workspace);
    to += m * n;
  });
  if (attrs.alpha != 1) std::for_each(y, y + dims.num_elements(), [&](float& v) { v *= attrs.alpha; });
  CAMEO_TRY(apply_epilogue(c, attrs, 2, dims, y));
  const int64_t rows = dims.num_elements() / n;
  const float* column = y;
  for (size_t i = 0; i < attrs.splits.size(); column += attrs.splits[i++]) {
    if (!c.has_output(i)) continue;
    float* part = c.output(i).data<float>();
    for (int64_t row = 0; row < rows; ++row) std::copy_n(column + row * n, attrs.splits[i], part + row * attrs.splits[i]);
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(CameoMatMul) = {
    .name = "MatMul",
    .domain = kCameoDomain,
    .max_version = 1,
    .min_inputs = 2,
    .max_inputs = kVariadic,
    .max_outputs = kVariadic,
    .input_types = {{DType::kFloat32}},
    .make_attrs = &ir::make_attrs<CameoMatMulAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
