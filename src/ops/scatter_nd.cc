// ScatterND (ai.onnx 11, 13, 16, 18): y is the data with y[tuple(i..)] combined with updates[i..], where the last axis of
// `indices` holds index tuples of length k and each update is a slice of the remaining axes. Reductions: none, from version
// 16 add and mul, from 18 max and min. Updates are applied in order.
#include "ops/move.h"
#include "ops/scatter_update.h"

namespace cameo::ops {
namespace {

struct ScatterNDAttrs : ir::AttrsOf<ScatterNDAttrs> {
  std::string reduction = "none";
  void visit(ir::AttrVisitor& v) override { v("reduction", reduction); }
};

// Replaced entries of a list of extents.
void scatter_values(InferContext& c) {
  auto values = c.values(0);
  const auto updates = c.values(2);
  const auto indices = c.ints(1);
  if (!values || !updates || !indices || c.shape(1)->size() != 2 || indices->size() != updates->size()) return;
  const auto n = static_cast<int64_t>(values->size());
  for (size_t i = 0; i < indices->size(); ++i) {
    const int64_t at = (*indices)[i] < 0 ? (*indices)[i] + n : (*indices)[i];
    if (at < 0 || at >= n) return;
    (*values)[static_cast<size_t>(at)] = (*updates)[i];
  }
  c.set_values(0, std::move(*values));
}

Status infer(InferContext& c) {
  const auto& reduction = c.attrs<ScatterNDAttrs>().reduction;
  CAMEO_TRY(check_reduction(reduction, c.version()));
  CAMEO_TRY(check_same_dtype(c, {0, 2}));
  c.set_output(0, c.input(0));
  if (!c.shape(0) || !c.shape(1)) return {};
  const ir::Shape &data = *c.shape(0), &indices = *c.shape(1);
  if (data.empty() || indices.empty())
    return error(ErrorCode::kInvalidModel, "data and indices must have rank 1 or more, they have {} and {}", data.size(), indices.size());
  if (!indices.back().is_const()) return {};
  const int64_t k = indices.back().value();
  if (k < 0 || k > static_cast<int64_t>(data.size()))
    return error(ErrorCode::kInvalidModel, "index tuples have length {}; data of rank {} allows up to {}", k, data.size(), data.size());
  if (!c.shape(2)) return {};
  ir::Shape want(indices.begin(), indices.end() - 1);
  want.insert(want.end(), data.begin() + k, data.end());
  CAMEO_TRY(check_shape(c, 2, want, "the tensor of updates"));
  if (data.size() == 1 && k == 1 && reduction == "none") scatter_values(c);
  return {};
}

Status reference(KernelContext& c) {
  const Tensor &x = c.input(0), &indices = c.input(1), &updates = c.input(2);
  Tensor& y = c.output(0);
  CAMEO_ASSIGN(const CombineFn combine, combine_function(c.attrs<ScatterNDAttrs>().reduction, x.dtype(), c.version()));
  CAMEO_TRY(copy_input(c));
  const auto k = static_cast<size_t>(indices.dims().back());
  const int64_t block = product(x.dims(), k, x.rank()), tuples = product(indices.dims(), 0, indices.rank() - 1);
  const int64_t* at = indices.data<int64_t>();
  for (int64_t t = 0; t < tuples; ++t, at += k) {
    int64_t offset = 0;
    for (size_t i = 0; i < k; ++i) {
      const int64_t extent = x.dim(i);
      if (at[i] < -extent || at[i] >= extent)
        return error(ErrorCode::kInvalidInput, "index {} along axis {} is out of range; the extent is {}", at[i], i, extent);
      offset = offset * extent + (at[i] < 0 ? at[i] + extent : at[i]);
    }
    combine(address(updates, t * block), address(y, offset * block), block);
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(ScatterND) = {
    .name = "ScatterND",
    .min_version = 11,
    .min_inputs = 3,
    .max_inputs = 3,
    .input_types = {kAllTypes, {DType::kInt64}, kAllTypes},
    .make_attrs = &ir::make_attrs<ScatterNDAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
