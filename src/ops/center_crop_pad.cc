// CenterCropPad (ai.onnx 18): gives each axis named the extent asked for, by cutting or adding zeros on both sides alike;
// where the difference is odd the side after gets one more.
#include <algorithm>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct CenterCropPadAttrs : ir::AttrsOf<CenterCropPadAttrs> {
  std::optional<std::vector<int64_t>> axes;
  void visit(ir::AttrVisitor& v) override { v("axes", axes); }
};

Status infer(InferContext& c) {
  CAMEO_TRY(check_rank(c, 1, 1, "the shape"));
  if (!c.shape(0)) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  ir::Shape out = *c.shape(0);
  const auto& named = c.attrs<CenterCropPadAttrs>().axes;
  std::vector<size_t> axes(out.size());
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = i;
  if (named) {
    CAMEO_ASSIGN(axes, normalize_axes(*named, out.size()));
  }
  const auto values = c.values(1);
  if (const auto n = list_length(c, 1); n && *n != static_cast<int64_t>(axes.size()))
    return error(ErrorCode::kInvalidInput, "the shape has {} extents for {} axes", *n, axes.size());
  for (size_t k = 0; k < axes.size(); ++k) {
    const ir::Dim extent = values && values->size() == axes.size() ? (*values)[k] : ir::Dim::unknown();
    if (extent.is_const() && extent.value() < 0)
      return error(ErrorCode::kInvalidInput, "the shape has the negative extent {}", extent.value());
    out[axes[k]] = extent;
  }
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  const Dims from = strides_of(x.dims()), to = strides_of(y.dims());
  Dims kept(x.rank(), 0);
  int64_t read = 0, written = 0;
  for (size_t i = 0; i < x.rank(); ++i) {
    kept[i] = std::min(x.dim(i), y.dim(i));
    read += (x.dim(i) - kept[i]) / 2 * from[i];
    written += (y.dim(i) - kept[i]) / 2 * to[i];
  }
  if (!(kept == y.dims()))
    CAMEO_TRY(dispatch_storage(y.dtype(), "CenterCropPad", [&](auto tag) -> Status {
      using T = typename decltype(tag)::type;
      std::fill_n(y.data<T>(), y.num_elements(), T{});
      return {};
    }));
  if (kept.num_elements() > 0) copy_strided(x.dtype(), kept, address(x, read), from, address(y, written), to);
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(CenterCropPad) = {
    .name = "CenterCropPad",
    .min_version = 18,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kAllTypes, kIndexTypes},
    .make_attrs = &ir::make_attrs<CenterCropPadAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
