// GatherND (ai.onnx 11, 12, 13): the last axis of `indices` holds index tuples of length k; y[i..] = data[tuple(i..)], a slice
// of the remaining axes. With batch_dims = b (12) the first b axes of data and indices run together.
#include <cstring>

#include "ops/move.h"

namespace cameo::ops {
namespace {

struct GatherNDAttrs : ir::AttrsOf<GatherNDAttrs> {
  int64_t batch_dims = 0;
  void visit(ir::AttrVisitor& v) override { v("batch_dims", batch_dims); }
};

Status infer(InferContext& c) {
  c.set_output(0, ir::Type::tensor(c.dtype(0)));
  const int64_t b = c.attrs<GatherNDAttrs>().batch_dims;
  if (!c.shape(0) || !c.shape(1)) return {};
  const ir::Shape &data = *c.shape(0), &indices = *c.shape(1);
  const auto r = static_cast<int64_t>(data.size()), q = static_cast<int64_t>(indices.size());
  if (q < 1 || r < 1) return error(ErrorCode::kInvalidModel, "data and indices must have rank 1 or more, they have {} and {}", r, q);
  if (b < 0 || b >= std::min(r, q))
    return error(ErrorCode::kInvalidModel, "batch_dims is {}; for shapes {} and {} it must be 0 to {}", b, ir::to_string(data),
                 ir::to_string(indices), std::min(r, q) - 1);
  ir::Shape out(indices.begin(), indices.end() - 1);
  for (size_t i = 0; i < static_cast<size_t>(b); ++i) {
    CAMEO_ASSIGN(out[i], agree(data[i], indices[i], "batch extents"));
  }
  if (!indices.back().is_const()) return {};
  const int64_t k = indices.back().value();
  if (k < 1 || k > r - b)
    return error(ErrorCode::kInvalidModel, "index tuples have length {}; data of rank {} with batch_dims {} allows 1 to {}", k, r, b,
                 r - b);
  out.insert(out.end(), data.begin() + b + k, data.end());
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor &x = c.input(0), &indices = c.input(1);
  Tensor& y = c.output(0);
  const auto b = static_cast<size_t>(c.attrs<GatherNDAttrs>().batch_dims);
  const auto k = static_cast<size_t>(indices.dims().back());
  const int64_t batches = product(x.dims(), 0, b), block = product(x.dims(), b + k, x.rank()), rest = product(x.dims(), b, x.rank());
  const int64_t tuples = product(indices.dims(), b, indices.rank() - 1);
  const int64_t* at = indices.data<int64_t>();
  const auto gather = [&](auto&& copy) -> Status {
    int64_t written = 0;
    for (int64_t batch = 0; batch < batches; ++batch)
      for (int64_t t = 0; t < tuples; ++t, at += k, written += block) {
        int64_t offset = 0;
        for (size_t i = 0; i < k; ++i) {
          const int64_t extent = x.dim(b + i);
          if (at[i] < -extent || at[i] >= extent)
            return error(ErrorCode::kInvalidInput, "index {} along axis {} is out of range; the extent is {}", at[i], b + i, extent);
          offset = offset * extent + (at[i] < 0 ? at[i] + extent : at[i]);
        }
        copy(batch * rest + offset * block, written);
      }
    return {};
  };
  // Small blocks, the usual case, without a call for each.
  const auto gather_bytes = [&]<size_t kBytes>(std::integral_constant<size_t, kBytes>) {
    const auto size = static_cast<int64_t>(dtype_size(x.dtype()));
    return gather([&, size](int64_t from, int64_t to) {
      std::memcpy(static_cast<std::byte*>(y.raw()) + to * size, static_cast<const std::byte*>(x.raw()) + from * size, kBytes);
    });
  };
  if (x.dtype() != DType::kString) {
    const size_t bytes = static_cast<size_t>(block) * dtype_size(x.dtype());
    if (bytes == 4) return gather_bytes(std::integral_constant<size_t, 4>{});
    if (bytes == 8) return gather_bytes(std::integral_constant<size_t, 8>{});
    if (bytes == 16) return gather_bytes(std::integral_constant<size_t, 16>{});
  }
  return gather([&](int64_t from, int64_t to) { copy_elements(x.dtype(), address(x, from), address(y, to), block); });
}

}  // namespace

CAMEO_DEFINE_OP(GatherND) = {
    .name = "GatherND",
    .min_version = 11,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kAllTypes, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<GatherNDAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
