// MaxRoiPool (ai.onnx 1, 22): the largest element of each cell of a grid over regions of interest. rois [R, 5] holds
// (sample, x1, y1, x2, y2); corners are multiplied by spatial_scale and rounded, both ends belong to the region. Cells without
// elements give 0. Version 22 adds bfloat16. (Girshick, Fast R-CNN, 2015.)
#include <algorithm>
#include <cmath>

#include "ops/checks.h"
#include "ops/dispatch.h"

namespace cameo::ops {
namespace {

struct MaxRoiPoolAttrs : ir::AttrsOf<MaxRoiPoolAttrs> {
  std::vector<int64_t> pooled_shape;
  float spatial_scale = 1;
  void visit(ir::AttrVisitor& v) override {
    v("pooled_shape", pooled_shape);
    v("spatial_scale", spatial_scale);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<MaxRoiPoolAttrs>();
  CAMEO_TRY(check_same_dtype(c, {0, 1}));
  CAMEO_TRY(check_rank(c, 0, 4, "X"));
  CAMEO_TRY(check_shape(c, 1, {ir::Dim(), 5}, "rois"));
  if (attrs.pooled_shape.size() != 2 || attrs.pooled_shape[0] < 1 || attrs.pooled_shape[1] < 1)
    return error(ErrorCode::kInvalidModel, "pooled_shape must be two positive numbers");
  c.set_output(
      0, c.dtype(0),
      {c.shape(1) ? (*c.shape(1))[0] : ir::Dim(), c.shape(0) ? (*c.shape(0))[1] : ir::Dim(), attrs.pooled_shape[0], attrs.pooled_shape[1]});
  return {};
}

// Elements [first, last) of cell k of a grid of `cells` over [start, start + length), inside [0, extent).
std::pair<int64_t, int64_t> cell(int64_t k, double cells, double start, double length, int64_t extent) {
  const auto clamp = [&](double v) { return static_cast<int64_t>(std::min(std::max(v, 0.0), static_cast<double>(extent))); };
  const double size = length / cells, at = static_cast<double>(k);
  return {clamp(start + std::floor(at * size)), clamp(start + std::ceil((at + 1) * size))};
}

Status reference(KernelContext& c) {
  const Tensor &x = c.input(0), &rois = c.input(1);
  const auto& attrs = c.attrs<MaxRoiPoolAttrs>();
  const int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3), rows = attrs.pooled_shape[0], columns = attrs.pooled_shape[1];
  return dispatch_floats(x.dtype(), "MaxRoiPool", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    T* to = c.output(0).data<T>();
    for (int64_t r = 0; r < rois.dim(0); ++r) {
      double roi[5];
      for (int i = 0; i < 5; ++i) roi[i] = static_cast<double>(static_cast<C>(rois.data<T>()[r * 5 + i]));
      if (!(roi[0] >= 0 && roi[0] < static_cast<double>(x.dim(0))))
        return error(ErrorCode::kInvalidInput, "rois[{}] names sample {}; allowed: 0 to {}", r, roi[0], x.dim(0) - 1);
      for (int i = 1; i < 5; ++i) {
        roi[i] = std::round(roi[i] * static_cast<double>(attrs.spatial_scale));
        if (!std::isfinite(roi[i])) return error(ErrorCode::kInvalidInput, "rois[{}] is not finite", r);
      }
      const double roi_width = std::max(roi[3] - roi[1] + 1, 1.0), roi_height = std::max(roi[4] - roi[2] + 1, 1.0);
      const T* sample = x.data<T>() + static_cast<int64_t>(roi[0]) * channels * height * width;
      for (int64_t k = 0; k < channels; ++k, sample += height * width)
        for (int64_t row = 0; row < rows; ++row) {
          const auto [y0, y1] = cell(row, static_cast<double>(rows), roi[2], roi_height, height);
          for (int64_t column = 0; column < columns; ++column) {
            const auto [x0, x1] = cell(column, static_cast<double>(columns), roi[1], roi_width, width);
            const bool empty = y0 >= y1 || x0 >= x1;
            C best = empty ? C{0} : static_cast<C>(sample[y0 * width + x0]);
            for (int64_t i = y0; i < y1; ++i)
              for (int64_t j = x0; j < x1; ++j) best = std::max(best, static_cast<C>(sample[i * width + j]));
            *to++ = static_cast<T>(best);
          }
        }
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(MaxRoiPool) = {
    .name = "MaxRoiPool",
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<MaxRoiPoolAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
