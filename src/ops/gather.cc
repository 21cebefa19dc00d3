// Gather (ai.onnx 1, 11, 13): y[a.., i.., b..] = data[a.., indices[i..], b..] with the indices along `axis`; negative
// indices count from the end.
#include "ops/dispatch.h"
#include "ops/move.h"
#include "ops/move_attrs.h"

namespace cameo::ops {
namespace {

Status gather_values(InferContext& c) {
  const auto values = c.values(0);
  const auto indices = c.ints(1);
  if (!values || !indices || !c.shape(1) || c.shape(1)->size() > 1) return {};
  const auto n = static_cast<int64_t>(values->size());
  ir::Shape picked;
  for (int64_t i : *indices) {
    if (i < -n || i >= n) return error(ErrorCode::kInvalidInput, "index {} is out of range; the extent is {}", i, n);
    picked.push_back((*values)[static_cast<size_t>(i < 0 ? i + n : i)]);
  }
  c.set_values(0, std::move(picked));
  return {};
}

Status infer(InferContext& c) {
  if (!c.shape(0) || !c.shape(1)) {
    if (c.shape(0)) CAMEO_TRY(normalize_axis(c.attrs<GatherAttrs>().axis, c.shape(0)->size()));
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  const ir::Shape &data = *c.shape(0), &indices = *c.shape(1);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(c.attrs<GatherAttrs>().axis, data.size()));
  ir::Shape out(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(axis));
  out.insert(out.end(), indices.begin(), indices.end());
  out.insert(out.end(), data.begin() + static_cast<std::ptrdiff_t>(axis) + 1, data.end());
  c.set_output(0, c.dtype(0), std::move(out));
  return data.size() == 1 ? gather_values(c) : Status{};
}

Status reference(KernelContext& c) {
  const Tensor &x = c.input(0), &indices = c.input(1);
  Tensor& y = c.output(0);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(c.attrs<GatherAttrs>().axis, x.rank()));
  const int64_t extent = x.dim(axis);
  const auto at = c.scratch<int64_t>(indices.num_elements());
  CAMEO_TRY(read_indices(indices, extent, at));
  if (y.num_elements() == 0) return {};
  const int64_t outer = product(x.dims(), 0, axis), inner = product(x.dims(), axis + 1, x.rank());
  return dispatch_storage(x.dtype(), "Gather", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    T* to = y.data<T>();
    for (int64_t o = 0; o < outer; ++o, from += extent * inner) {
      if (inner == 1)
        for (int64_t i : at) *to++ = from[i];
      else
        for (int64_t i : at) to = std::copy_n(from + i * inner, inner, to);
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Gather) = {
    .name = "Gather",
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kAllTypes, kIndexTypes},
    .make_attrs = &ir::make_attrs<GatherAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
