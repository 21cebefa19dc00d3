#include "ops/window.h"

namespace cameo::ops {
namespace {

constexpr int64_t kLimit = int64_t{1} << 31;

Status check_list(const std::vector<int64_t>& list, size_t size, int64_t least, const char* name) {
  if (list.size() != size)
    return error(ErrorCode::kInvalidModel, "{} has {} values, {} are needed for this input", name, list.size(), size);
  for (int64_t v : list)
    if (v < least || v >= kLimit) return error(ErrorCode::kInvalidModel, "{} holds {}; allowed: {} to {}", name, v, least, kLimit - 1);
  return {};
}

}  // namespace

Result<Window> make_window(const WindowAttrs& attrs, size_t rank, const std::optional<Dims>& kernel) {
  Window w;
  if (rank == 0 || rank > Window::kMaxRank)
    return error(ErrorCode::kUnsupported, "the input has {} spatial axes; allowed: 1 to {}", rank, Window::kMaxRank);
  w.rank = rank;
  w.ceil_mode = attrs.ceil_mode != 0;
  if (attrs.auto_pad == "NOTSET" || attrs.auto_pad.empty())
    w.auto_pad = AutoPad::kNotSet;
  else if (attrs.auto_pad == "VALID")
    w.auto_pad = AutoPad::kValid;
  else if (attrs.auto_pad == "SAME_UPPER")
    w.auto_pad = AutoPad::kSameUpper;
  else if (attrs.auto_pad == "SAME_LOWER")
    w.auto_pad = AutoPad::kSameLower;
  else
    return error(ErrorCode::kInvalidModel, "auto_pad is '{}'; allowed: NOTSET, VALID, SAME_UPPER, SAME_LOWER", attrs.auto_pad);
  if (!attrs.kernel_shape.empty() || !kernel) CAMEO_TRY(check_list(attrs.kernel_shape, rank, 1, "kernel_shape"));
  if (!attrs.strides.empty()) CAMEO_TRY(check_list(attrs.strides, rank, 1, "strides"));
  if (!attrs.dilations.empty()) CAMEO_TRY(check_list(attrs.dilations, rank, 1, "dilations"));
  const bool padded = w.auto_pad == AutoPad::kNotSet && !attrs.pads.empty();
  if (padded) CAMEO_TRY(check_list(attrs.pads, 2 * rank, 0, "pads"));
  for (size_t a = 0; a < rank; ++a) {
    WindowAxis& axis = w.axes[a];
    axis.kernel = kernel ? (*kernel)[a] : attrs.kernel_shape[a];
    if (axis.kernel < 1 || axis.kernel >= kLimit)
      return error(ErrorCode::kInvalidInput, "the kernel has extent {} along spatial axis {}; allowed: 1 to {}", axis.kernel, a,
                   kLimit - 1);
    if (kernel && !attrs.kernel_shape.empty() && attrs.kernel_shape[a] != axis.kernel)
      return error(ErrorCode::kInvalidModel, "kernel_shape says {} along spatial axis {}, but the weights have {}", attrs.kernel_shape[a],
                   a, axis.kernel);
    if (!attrs.strides.empty()) axis.stride = attrs.strides[a];
    if (!attrs.dilations.empty()) axis.dilation = attrs.dilations[a];
    if (padded) {
      axis.begin = attrs.pads[a];
      axis.end = attrs.pads[rank + a];
    }
  }
  return w;
}

Result<Window> make_window(const WindowAttrs& attrs, const Dims& input, const Dims& output, const std::optional<Dims>& kernel) {
  CAMEO_ASSIGN(Window w, make_window(attrs, input.rank() - 2, kernel));
  for (size_t a = 0; a < w.rank; ++a) w.fix_padding(a, input[a + 2], output[a + 2]);
  return w;
}

Result<ir::Dim> Window::output_extent(size_t a, const ir::Dim& input) const {
  const WindowAxis& axis = axes[a];
  if (input.is_const() && input.value() >= (int64_t{1} << 61))
    return error(ErrorCode::kInvalidInput, "the input has extent {} along spatial axis {}", input.value(), a);
  if (auto_pad == AutoPad::kSameUpper || auto_pad == AutoPad::kSameLower) return ceil_div(input, axis.stride);
  const ir::Dim padded = input + ir::Dim(axis.begin + axis.end);
  const ir::Dim room = padded - ir::Dim(axis.span());
  if (room.is_const() && room.value() < 0) {
    if (input.is(0)) return ir::Dim(0);
    return error(ErrorCode::kInvalidInput,
                 "a window that spans {} does not fit into the extent {} (with padding {} + {}) of spatial axis {}", axis.span(),
                 input.value(), axis.begin, axis.end, a);
  }
  if (!ceil_mode || axis.stride == 1) return floor_div(room, axis.stride) + 1;
  // Windows that would start in the padding at the end are left out.
  return min(ceil_div(room, axis.stride) + 1, ceil_div(input + axis.begin, axis.stride));
}

void Window::fix_padding(size_t a, int64_t input, int64_t output) {
  if (auto_pad != AutoPad::kSameUpper && auto_pad != AutoPad::kSameLower) return;
  WindowAxis& axis = axes[a];
  const int64_t total = std::max<int64_t>(0, (output - 1) * axis.stride + axis.span() - input);
  axis.begin = auto_pad == AutoPad::kSameUpper ? total / 2 : total - total / 2;
  axis.end = total - axis.begin;
}

}  // namespace cameo::ops
