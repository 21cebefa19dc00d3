// Upsample (ai.onnx 1, 7, 9, 10): enlarges a tensor by scales, nearest (rounding down) or linear, with x_in = x_out / scale.
// The scales are two attributes for the last two of four axes in version 1, a list in 7, and an input from 9 on.
#include <cmath>

#include "ops/interpolate.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct UpsampleAttrs : ir::AttrsOf<UpsampleAttrs> {
  std::string mode = "nearest";
  float height_scale = 1, width_scale = 1;
  std::vector<float> scales;
  void visit(ir::AttrVisitor& v) override {
    v("mode", mode);
    v("height_scale", height_scale);
    v("width_scale", width_scale);
    v("scales", scales);
  }
};

// The scale of an axis; `input` holds them from version 9 on.
float scale_of(const UpsampleAttrs& attrs, int version, const Tensor* input, size_t axis) {
  if (version >= 9) return input->data<float>()[axis];
  if (version >= 7) return attrs.scales[axis];
  return axis == 2 ? attrs.height_scale : axis == 3 ? attrs.width_scale : 1.f;
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<UpsampleAttrs>();
  if (attrs.mode != "nearest" && attrs.mode != "linear" && attrs.mode != "bilinear")
    return error(ErrorCode::kInvalidModel, "mode is '{}'; allowed: nearest, linear", attrs.mode);
  if (c.version() < 7) CAMEO_TRY(check_rank(c, 0, 4, "the input"));
  if (c.version() >= 9) {
    if (!c.has_input(1)) return error(ErrorCode::kInvalidModel, "lacks its input 1, the scales");
    CAMEO_TRY(check_rank(c, 1, 1, "scales"));
  }
  if (!c.shape(0)) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  ir::Shape out = *c.shape(0);
  const Tensor* input = c.constant(1);
  const auto given = c.version() >= 9 ? list_length(c, 1) : c.version() >= 7 ? std::optional<int64_t>(attrs.scales.size()) : std::nullopt;
  if (given && *given != static_cast<int64_t>(out.size()))
    return error(ErrorCode::kInvalidModel, "there are {} scales, but the input has shape {}", *given, ir::to_string(out));
  for (size_t i = 0; i < out.size(); ++i) {
    if (c.version() >= 9 && input == nullptr) {
      out[i] = ir::Dim::unknown();
      continue;
    }
    const float scale = scale_of(attrs, c.version(), input, i);
    if (!(scale > 0) || !std::isfinite(scale))
      return error(ErrorCode::kInvalidInput, "scale {} is {}; it must be a positive number", i, scale);
    if (out[i].is_const()) {
      const float extent = std::floor(static_cast<float>(out[i].value()) * scale);
      if (!(extent < 0x1p62f))
        return error(ErrorCode::kInvalidInput, "an extent of {} cannot be scaled by {}: the limit is 2^62", out[i].value(), scale);
      out[i] = static_cast<int64_t>(extent);
    } else {
      out[i] = scale < 0x1p20f && scale == std::floor(scale) ? out[i] * ir::Dim(static_cast<int64_t>(scale)) : ir::Dim::unknown();
    }
  }
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<UpsampleAttrs>();
  const Tensor& x = c.input(0);
  const auto axes = c.scratch<ResampledAxis>(static_cast<int64_t>(x.rank()));
  for (size_t i = 0; i < x.rank(); ++i) axes[i] = {scale_of(attrs, c.version(), c.version() >= 9 ? &c.input(1) : nullptr, i), 0, 1};
  Resampling how;
  how.mode = attrs.mode == "nearest" ? Interpolation::kNearest : Interpolation::kLinear;
  how.coordinates = Coordinates::kAsymmetric;
  how.rounding = Rounding::kFloor;
  return resample(c, x, c.output(0), axes, how);
}

}  // namespace

CAMEO_DEFINE_OP(Upsample) = {
    .name = "Upsample",
    .max_inputs = 2,
    .input_types = {kAllTypes, {DType::kFloat32}},
    .make_attrs = &ir::make_attrs<UpsampleAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
