// RoiAlign (ai.onnx 10, 16, 22): a grid over each region of interest (x1, y1, x2, y2), whose cells are the mean (or the maximum) of
// values sampled by bilinear interpolation. coordinate_transformation_mode (version 16): half_pixel shifts coordinates by
// -0.5; output_half_pixel, and version 10, do not, and see regions as at least 1 x 1. mode max takes the largest weighted
// corner of all samples, as ONNX's reference does. Version 22 adds bfloat16. (He et al., Mask R-CNN, 2017.)
#include <algorithm>
#include <cmath>

#include "ops/checks.h"
#include "ops/dispatch.h"

namespace cameo::ops {
namespace {

struct RoiAlignAttrs : ir::AttrsOf<RoiAlignAttrs> {
  std::string mode = "avg", coordinate_transformation_mode = "half_pixel";
  int64_t output_height = 1, output_width = 1, sampling_ratio = 0;
  float spatial_scale = 1;
  void visit(ir::AttrVisitor& v) override {
    v("mode", mode);
    v("coordinate_transformation_mode", coordinate_transformation_mode);
    v("output_height", output_height);
    v("output_width", output_width);
    v("sampling_ratio", sampling_ratio);
    v("spatial_scale", spatial_scale);
  }
};

// Samples along each side of a cell; more are an error, as they would only cost time.
constexpr int64_t kMaxSamples = 4096;

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<RoiAlignAttrs>();
  CAMEO_TRY(check_same_dtype(c, {0, 1}));
  CAMEO_TRY(check_rank(c, 0, 4, "X"));
  CAMEO_TRY(check_shape(c, 1, {ir::Dim(), 4}, "rois"));
  CAMEO_TRY(check_rank(c, 2, 1, "batch_indices"));
  if (attrs.mode != "avg" && attrs.mode != "max") return error(ErrorCode::kInvalidModel, "mode is '{}'; allowed: avg, max", attrs.mode);
  if (attrs.coordinate_transformation_mode != "half_pixel" && attrs.coordinate_transformation_mode != "output_half_pixel")
    return error(ErrorCode::kInvalidModel, "coordinate_transformation_mode is '{}'; allowed: half_pixel, output_half_pixel",
                 attrs.coordinate_transformation_mode);
  if (attrs.output_height < 1 || attrs.output_width < 1)
    return error(ErrorCode::kInvalidModel, "output_height and output_width are {} and {}; they must be at least 1", attrs.output_height,
                 attrs.output_width);
  if (attrs.sampling_ratio < 0 || attrs.sampling_ratio > kMaxSamples)
    return error(ErrorCode::kInvalidModel, "sampling_ratio is {}; allowed: 0 to {}", attrs.sampling_ratio, kMaxSamples);
  ir::Dim rois = c.shape(1) ? (*c.shape(1))[0] : ir::Dim();
  if (c.shape(2)) {
    CAMEO_ASSIGN(rois, agree(rois, (*c.shape(2))[0], "the number of batch_indices"));
  }
  c.set_output(0, c.dtype(0), {rois, c.shape(0) ? (*c.shape(0))[1] : ir::Dim(), attrs.output_height, attrs.output_width});
  return {};
}

// The two elements around a coordinate and their weights; both weights are 0 outside of the map.
struct Sample {
  int64_t low = 0, high = 0;
  double low_weight = 0, high_weight = 0;
};

Sample sample_at(double at, int64_t extent) {
  if (!(at >= -1 && at <= static_cast<double>(extent)) || extent == 0) return {};
  at = std::max(at, 0.0);
  const auto low = static_cast<int64_t>(at);
  if (low >= extent - 1) return {extent - 1, extent - 1, 1, 0};
  return {low, low + 1, 1 - (at - static_cast<double>(low)), at - static_cast<double>(low)};
}

template <class T>
Status run(KernelContext& c) {
  using C = compute_t<T>;
  const auto& attrs = c.attrs<RoiAlignAttrs>();
  const Tensor &x = c.input(0), &rois = c.input(1), &indices = c.input(2);
  const int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3), rows = attrs.output_height, columns = attrs.output_width;
  const bool half_pixel = c.version() >= 16 && attrs.coordinate_transformation_mode == "half_pixel", maximum = attrs.mode == "max";
  const auto vertical = c.scratch<Sample>(kMaxSamples), horizontal = c.scratch<Sample>(kMaxSamples);
  if (c.output(0).num_elements() == 0) return {};
  for (int64_t r = 0; r < rois.dim(0); ++r) {
    const int64_t batch = indices.data<int64_t>()[r];
    if (batch < 0 || batch >= x.dim(0))
      return error(ErrorCode::kInvalidInput, "batch_indices[{}] is {}; allowed: 0 to {}", r, batch, x.dim(0) - 1);
    double corner[4];
    for (int i = 0; i < 4; ++i) {
      corner[i] = static_cast<double>(static_cast<C>(rois.data<T>()[r * 4 + i])) * static_cast<double>(attrs.spatial_scale) -
                  (half_pixel ? 0.5 : 0.0);
      if (!std::isfinite(corner[i])) return error(ErrorCode::kInvalidInput, "rois[{}] is not finite", r);
    }
    double roi_width = corner[2] - corner[0], roi_height = corner[3] - corner[1];
    if (!half_pixel) {
      roi_width = std::max(roi_width, 1.0);
      roi_height = std::max(roi_height, 1.0);
    }
    const double cell_height = roi_height / static_cast<double>(rows), cell_width = roi_width / static_cast<double>(columns);
    if (attrs.sampling_ratio == 0 && (cell_height > kMaxSamples || cell_width > kMaxSamples))
      return error(ErrorCode::kInvalidInput, "rois[{}] has cells of {} x {} samples; at most {} x {} are allowed", r, cell_height,
                   cell_width, kMaxSamples, kMaxSamples);
    const auto samples_in = [&](double size) {
      return attrs.sampling_ratio > 0 ? attrs.sampling_ratio : std::max<int64_t>(0, static_cast<int64_t>(std::ceil(size)));
    };
    const int64_t down = samples_in(cell_height), across = samples_in(cell_width);
    const double count = static_cast<double>(std::max<int64_t>(down * across, 1));
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column) {
        for (int64_t i = 0; i < down; ++i)
          vertical[i] = sample_at(
              corner[1] + static_cast<double>(row) * cell_height + (static_cast<double>(i) + 0.5) * cell_height / static_cast<double>(down),
              height);
        for (int64_t i = 0; i < across; ++i)
          horizontal[i] = sample_at(corner[0] + static_cast<double>(column) * cell_width +
                                        (static_cast<double>(i) + 0.5) * cell_width / static_cast<double>(across),
                                    width);
        CAMEO_TRY(c.check_cancelled());
        for (int64_t k = 0; k < channels; ++k) {
          const T* map = x.data<T>() + (batch * channels + k) * height * width;
          double sum = 0, best = 0;
          bool any = false;
          for (int64_t i = 0; i < down && height * width > 0; ++i)
            for (int64_t j = 0; j < across; ++j) {
              const Sample &v = vertical[i], &h = horizontal[j];
              const auto at = [&](int64_t a, int64_t b, double weight) {
                return weight * static_cast<double>(static_cast<C>(map[a * width + b]));
              };
              const double corners[4] = {at(v.low, h.low, v.low_weight * h.low_weight), at(v.low, h.high, v.low_weight * h.high_weight),
                                         at(v.high, h.low, v.high_weight * h.low_weight),
                                         at(v.high, h.high, v.high_weight * h.high_weight)};
              sum += corners[0] + corners[1] + corners[2] + corners[3];
              const double largest = *std::max_element(corners, corners + 4);
              best = any ? std::max(best, largest) : largest;
              any = true;
            }
          c.output(0).data<T>()[((r * channels + k) * rows + row) * columns + column] =
              static_cast<T>(static_cast<C>(maximum ? best : sum / count));
        }
      }
  }
  return {};
}

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(0).dtype(), "RoiAlign", [&](auto tag) -> Status { return run<typename decltype(tag)::type>(c); });
}

}  // namespace

CAMEO_DEFINE_OP(RoiAlign) = {
    .name = "RoiAlign",
    .min_version = 10,
    .min_inputs = 3,
    .max_inputs = 3,
    .input_types = {kFloatTypes, kFloatTypes, TypeSet{DType::kInt64}},
    .make_attrs = &ir::make_attrs<RoiAlignAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
