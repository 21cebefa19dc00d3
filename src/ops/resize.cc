// Resize (ai.onnx 10, 11, 13, 18, 19): resamples a tensor by scales, or to sizes, along some or all axes.
// Version 10 has the modes nearest (rounding down) and linear with x_in = x_out / scale, and the scales as its only other
// input. Version 11 adds roi and sizes, cubic, the coordinate modes and the rest; 18 adds axes, antialias and
// keep_aspect_ratio_policy; 19 half_pixel_symmetric. By scales the extent is floor(extent * scale), in float.
#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "ops/interpolate.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct ResizeAttrs : ir::AttrsOf<ResizeAttrs> {
  std::string mode = "nearest";
  std::string coordinate_transformation_mode = "half_pixel";
  std::string nearest_mode = "round_prefer_floor";
  std::string keep_aspect_ratio_policy = "stretch";
  float cubic_coeff_a = -0.75f;
  float extrapolation_value = 0;
  int64_t exclude_outside = 0;
  int64_t antialias = 0;
  std::optional<std::vector<int64_t>> axes;
  void visit(ir::AttrVisitor& v) override {
    v("mode", mode);
    v("coordinate_transformation_mode", coordinate_transformation_mode);
    v("nearest_mode", nearest_mode);
    v("keep_aspect_ratio_policy", keep_aspect_ratio_policy);
    v("cubic_coeff_a", cubic_coeff_a);
    v("extrapolation_value", extrapolation_value);
    v("exclude_outside", exclude_outside);
    v("antialias", antialias);
    v("axes", axes);
  }
};

template <class E>
struct Named {
  std::string_view name;
  E value;
};

constexpr Named<Interpolation> kModes[] = {
    {"nearest", Interpolation::kNearest}, {"linear", Interpolation::kLinear}, {"cubic", Interpolation::kCubic}};
constexpr Named<Coordinates> kCoordinates[] = {{"half_pixel", Coordinates::kHalfPixel},
                                               {"half_pixel_symmetric", Coordinates::kHalfPixelSymmetric},
                                               {"pytorch_half_pixel", Coordinates::kPytorchHalfPixel},
                                               {"align_corners", Coordinates::kAlignCorners},
                                               {"asymmetric", Coordinates::kAsymmetric},
                                               {"tf_half_pixel_for_nn", Coordinates::kTfHalfPixelForNn},
                                               {"tf_crop_and_resize", Coordinates::kTfCropAndResize}};
constexpr Named<Rounding> kRoundings[] = {{"round_prefer_floor", Rounding::kRoundPreferFloor},
                                          {"round_prefer_ceil", Rounding::kRoundPreferCeil},
                                          {"floor", Rounding::kFloor},
                                          {"ceil", Rounding::kCeil}};

template <class E, size_t N>
Result<E> by_name(const Named<E> (&list)[N], const char* attribute, const std::string& name) {
  for (const auto& [known, value] : list)
    if (known == name) return value;
  std::string allowed;
  for (const auto& [known, value] : list) allowed += (allowed.empty() ? "" : ", ") + std::string(known);
  return error(ErrorCode::kInvalidModel, "{} is '{}'; allowed: {}", attribute, name, allowed);
}

Result<Resampling> resampling_of(const ResizeAttrs& a, int version) {
  Resampling how;
  CAMEO_ASSIGN(how.mode, by_name(kModes, "mode", a.mode));
  if (version < 11) {
    how.coordinates = Coordinates::kAsymmetric;
    how.rounding = Rounding::kFloor;
    return how;
  }
  CAMEO_ASSIGN(how.coordinates, by_name(kCoordinates, "coordinate_transformation_mode", a.coordinate_transformation_mode));
  CAMEO_ASSIGN(how.rounding, by_name(kRoundings, "nearest_mode", a.nearest_mode));
  how.cubic_a = a.cubic_coeff_a;
  how.antialias = a.antialias != 0;
  how.exclude_outside = a.exclude_outside != 0;
  how.extrapolation = a.extrapolation_value;
  if (how.antialias && how.mode == Interpolation::kNearest)
    return error(ErrorCode::kInvalidModel, "antialias goes with the modes linear and cubic, not with nearest");
  return how;
}

size_t scales_input(int version) { return version < 11 ? 1 : 2; }

// The extent of an axis by its scale; -1 when it is out of range.
int64_t scaled(int64_t extent, float scale) {
  const float product = std::floor(static_cast<float>(extent) * scale);
  return product >= 0 && product < 0x1p62f ? static_cast<int64_t>(product) : -1;
}

Result<ir::Dim> scaled(const ir::Dim& extent, float scale) {
  if (!(scale > 0) || !std::isfinite(scale)) return error(ErrorCode::kInvalidInput, "a scale is {}; it must be a positive number", scale);
  if (extent.is_const()) {
    const int64_t n = scaled(extent.value(), scale);
    if (n < 0) return error(ErrorCode::kInvalidInput, "an extent of {} cannot be scaled by {}: the limit is 2^62", extent.value(), scale);
    return ir::Dim(n);
  }
  // Only scales that say the same for every extent.
  if (scale < 0x1p20f && scale == std::floor(scale)) return extent * ir::Dim(static_cast<int64_t>(scale));
  const float inverse = 1 / scale;
  if (inverse < 0x1p20f && inverse == std::floor(inverse) && std::ilogb(inverse) >= 0 && std::exp2(std::ilogb(inverse)) == inverse)
    return floor_div(extent, ir::Dim(static_cast<int64_t>(inverse)));
  return ir::Dim::unknown();
}

// The one scale that keep_aspect_ratio_policy chooses for all axes; nothing for "stretch".
std::optional<double> common_scale(const std::string& policy, std::span<const int64_t> sizes, std::span<const int64_t> extents) {
  if (policy == "stretch" || sizes.empty()) return std::nullopt;
  double scale = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const double s = static_cast<double>(sizes[i]) / static_cast<double>(extents[i]);
    if (i == 0 || (policy == "not_larger" ? s < scale : s > scale)) scale = s;
  }
  return scale;
}

Status apply_sizes(const ir::Shape& sizes, const std::vector<size_t>& axes, const std::string& policy, ir::Shape& out) {
  std::vector<int64_t> wanted, extents;
  for (size_t k = 0; k < axes.size(); ++k) {
    ir::Dim& d = out[axes[k]];
    if (sizes[k].is_const() && sizes[k].value() < 0)
      return error(ErrorCode::kInvalidInput, "sizes has the negative entry {}", sizes[k].value());
    if (sizes[k].is_const() && d.is_const()) {
      wanted.push_back(sizes[k].value());
      extents.push_back(d.value());
    }
  }
  if (policy == "stretch") {
    for (size_t k = 0; k < axes.size(); ++k) out[axes[k]] = sizes[k];
    return {};
  }
  if (wanted.size() < axes.size()) {
    for (size_t axis : axes) out[axis] = ir::Dim::unknown();
    return {};
  }
  for (size_t k = 0; k < axes.size(); ++k)
    if (extents[k] == 0) return error(ErrorCode::kInvalidInput, "axis {} has no element: no aspect ratio can be kept", axes[k]);
  const auto scale = common_scale(policy, wanted, extents);
  for (size_t k = 0; k < axes.size(); ++k) {
    const double n = *scale * static_cast<double>(extents[k]) + 0.5;
    if (!(n < 0x1p62))
      return error(ErrorCode::kInvalidInput, "an extent of {} cannot be scaled by {}: the limit is 2^62", extents[k], *scale);
    out[axes[k]] = static_cast<int64_t>(n);
  }
  return {};
}

Result<std::vector<size_t>> axes_of(const ResizeAttrs& attrs, size_t rank) {
  if (attrs.axes) return normalize_axes(*attrs.axes, rank);
  std::vector<size_t> all(rank);
  for (size_t i = 0; i < rank; ++i) all[i] = i;
  return all;
}

Status check_length(const char* what, int64_t n, size_t axes) {
  if (n == static_cast<int64_t>(axes)) return {};
  return error(ErrorCode::kInvalidModel, "{} has {} entries; {} are needed, one per axis", what, n, axes);
}

// Version 11 takes an empty list in place of an absent input.
bool is_given(const InferContext& c, size_t i) { return c.has_input(i) && list_length(c, i) != 0; }

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<ResizeAttrs>();
  CAMEO_ASSIGN(const Resampling how, resampling_of(attrs, c.version()));
  const auto& policy = attrs.keep_aspect_ratio_policy;
  if (policy != "stretch" && policy != "not_larger" && policy != "not_smaller")
    return error(ErrorCode::kInvalidModel, "keep_aspect_ratio_policy is '{}'; allowed: stretch, not_larger, not_smaller", policy);
  if (!c.shape(0)) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  const size_t by_scale = scales_input(c.version());
  const size_t rank = c.shape(0)->size();
  CAMEO_ASSIGN(const std::vector<size_t> axes, axes_of(attrs, rank));
  for (size_t i = 1; i < c.num_inputs(); ++i)
    if (c.has_input(i)) CAMEO_TRY(check_rank(c, i, 1, i == by_scale ? "scales" : i == 3 ? "sizes" : "roi"));
  if (c.has_input(by_scale) && c.dtype(by_scale) != DType::kFloat32 && c.dtype(by_scale) != DType::kUndefined)
    return error(ErrorCode::kInvalidModel, "scales must be float32, but are {}", dtype_name(c.dtype(by_scale)));
  const bool scales = is_given(c, by_scale);
  const bool sizes = c.version() >= 11 && is_given(c, 3);
  if (!scales && !sizes && !axes.empty()) return error(ErrorCode::kInvalidModel, "neither scales nor sizes are given");
  if (scales && sizes && list_length(c, by_scale) && list_length(c, 3))
    return error(ErrorCode::kInvalidModel, "both scales and sizes are given");
  ir::Shape out = *c.shape(0);
  if (sizes) {
    if (const auto n = list_length(c, 3)) CAMEO_TRY(check_length("sizes", *n, axes.size()));
    if (const auto values = c.values(3); values && values->size() == axes.size()) {
      CAMEO_TRY(apply_sizes(*values, axes, policy, out));
    } else {
      for (size_t axis : axes) out[axis] = ir::Dim::unknown();
    }
  } else if (scales) {
    if (const auto n = list_length(c, by_scale)) CAMEO_TRY(check_length("scales", *n, axes.size()));
    const Tensor* values = c.constant(by_scale);
    for (size_t k = 0; k < axes.size(); ++k) {
      ir::Dim& d = out[axes[k]];
      if (values == nullptr) {
        d = ir::Dim::unknown();
        continue;
      }
      CAMEO_ASSIGN(d, scaled(d, values->data<float>()[k]));
    }
  }
  if (how.coordinates == Coordinates::kTfCropAndResize) {
    if (!c.has_input(1)) return error(ErrorCode::kInvalidModel, "tf_crop_and_resize needs the input roi");
    if (const auto n = list_length(c, 1)) CAMEO_TRY(check_length("roi", *n, 2 * axes.size()));
  }
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

Status read_roi(KernelContext& c, std::span<const size_t> axes, std::span<ResampledAxis> out) {
  const Tensor& roi = c.input(1);
  return dispatch_floats(roi.dtype(), "roi", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (size_t k = 0; k < axes.size(); ++k) {
      out[axes[k]].roi_start = static_cast<double>(static_cast<compute_t<T>>(roi.data<T>()[k]));
      out[axes[k]].roi_end = static_cast<double>(static_cast<compute_t<T>>(roi.data<T>()[axes.size() + k]));
    }
    return {};
  });
}

Status reference(KernelContext& c) { return resize(c, nullptr); }

}  // namespace

Status resize(KernelContext& c, RunInterpolation run) {
  const auto& attrs = c.attrs<ResizeAttrs>();
  CAMEO_ASSIGN(const Resampling how, resampling_of(attrs, c.version()));
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  const auto axes = c.scratch<size_t>(static_cast<int64_t>(attrs.axes ? attrs.axes->size() : x.rank()));
  for (size_t k = 0; k < axes.size(); ++k) {
    axes[k] = k;
    if (attrs.axes) {
      CAMEO_ASSIGN(axes[k], normalize_axis((*attrs.axes)[k], x.rank(), "axes"));
    }
  }
  const auto how_axes = c.scratch<ResampledAxis>(static_cast<int64_t>(x.rank()));
  std::fill(how_axes.begin(), how_axes.end(), ResampledAxis{});
  const size_t by_scale = scales_input(c.version());
  const bool sizes = c.version() >= 11 && c.has_input(3) && c.input(3).num_elements() > 0;
  if (sizes) {
    const auto extents = c.scratch<int64_t>(static_cast<int64_t>(axes.size()));
    for (size_t k = 0; k < axes.size(); ++k) extents[k] = x.dim(axes[k]);
    const auto common = common_scale(attrs.keep_aspect_ratio_policy, c.input(3).span<int64_t>(), extents);
    for (size_t k = 0; k < axes.size(); ++k)
      how_axes[axes[k]].scale =
          common ? *common : static_cast<double>(y.dim(axes[k])) / static_cast<double>(std::max<int64_t>(extents[k], 1));
  } else if (c.has_input(by_scale)) {
    for (size_t k = 0; k < axes.size(); ++k) how_axes[axes[k]].scale = c.input(by_scale).data<float>()[k];
  }
  if (how.coordinates == Coordinates::kTfCropAndResize) CAMEO_TRY(read_roi(c, axes, how_axes));
  return resample(c, x, y, how_axes, how, run);
}

// roi comes second from version 11 on; in version 10 it is the scales that do. Both are floats.
CAMEO_DEFINE_OP(Resize) = {
    .name = "Resize",
    .min_version = 10,
    .max_inputs = 4,
    .input_types = {kAllTypes, kFloatTypes, {DType::kFloat32}, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<ResizeAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
