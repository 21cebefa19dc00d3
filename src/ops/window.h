// Sliding windows: how the kernels of convolution and pooling lie on the spatial axes of their input.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "ops/op.h"

namespace cameo::ops {

// The attributes that all of these operators have. Empty lists mean ones (strides, dilations) or zeros (pads).
struct WindowAttrs {
  std::string auto_pad = "NOTSET";
  std::vector<int64_t> kernel_shape, strides, dilations, pads;
  int64_t ceil_mode = 0;

  void visit_window(ir::AttrVisitor& v) {
    v("auto_pad", auto_pad);
    v("kernel_shape", kernel_shape);
    v("strides", strides);
    v("dilations", dilations);
    v("pads", pads);
  }
};

// One spatial axis.
struct WindowAxis {
  int64_t kernel = 1, stride = 1, dilation = 1;
  int64_t begin = 0, end = 0;  // padding; for auto_pad SAME known once fix_padding() saw the input's extent

  // Extent of the input that a window spans.
  int64_t span() const { return (kernel - 1) * dilation + 1; }
  // The taps [first, last) of the window at output position o that lie inside an input of extent n.
  std::pair<int64_t, int64_t> taps_inside(int64_t o, int64_t n) const {
    const int64_t start = o * stride - begin;  // input position of tap 0
    const int64_t first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
    const int64_t last = start >= n ? 0 : (n - 1 - start) / dilation + 1;
    return {first, std::max(first, std::min(last, kernel))};
  }
};

enum class AutoPad { kNotSet, kValid, kSameUpper, kSameLower };

struct Window {
  AutoPad auto_pad = AutoPad::kNotSet;
  bool ceil_mode = false;
  size_t rank = 0;
  static constexpr size_t kMaxRank = 6;
  WindowAxis axes[kMaxRank];

  // The output's extent along an axis; fails where the window is larger than the padded input.
  Result<ir::Dim> output_extent(size_t axis, const ir::Dim& input) const;
  // The padding that auto_pad asks for, once the extents are numbers.
  void fix_padding(size_t axis, int64_t input, int64_t output);
};

// Reads the attributes for that many spatial axes; `kernel` holds where kernel_shape is absent (nothing: it must be
// there). Every number must lie in [1, 2^31) ([0, 2^31) for pads).
Result<Window> make_window(const WindowAttrs& attrs, size_t rank, const std::optional<Dims>& kernel = std::nullopt);

// The same with the padding fixed for these shapes [N, C, spatial…].
Result<Window> make_window(const WindowAttrs& attrs, const Dims& input, const Dims& output,
                           const std::optional<Dims>& kernel = std::nullopt);

// For the windows along the last axis: calls fn(tap, lo, hi) for taps in order such that the output positions
// [lo, hi) all have that tap inside an input of extent `in`. A position and tap meet exactly once.
template <class Fn>
void for_each_tap(const WindowAxis& axis, int64_t in, int64_t out, Fn fn) {
  if (in == 0 || out == 0) return;
  const int64_t first = std::max<int64_t>(0, (axis.begin - (out - 1) * axis.stride + axis.dilation - 1) / axis.dilation);
  const int64_t last = std::min(axis.kernel, (in - 1 + axis.begin) / axis.dilation + 1);
  if (last - first > in + out) {  // huge sparse windows: go by output position, where few taps are inside
    for (int64_t o = 0; o < out; ++o) {
      const auto [k0, k1] = axis.taps_inside(o, in);
      for (int64_t k = k0; k < k1; ++k) fn(k, o, o + 1);
    }
    return;
  }
  for (int64_t k = first; k < last; ++k) {
    const int64_t start = k * axis.dilation - axis.begin;  // input position at output position 0
    const int64_t lo = start >= 0 ? 0 : (-start + axis.stride - 1) / axis.stride;
    const int64_t hi = start >= in ? 0 : std::min(out, (in - 1 - start) / axis.stride + 1);
    if (lo < hi) fn(k, lo, hi);
  }
}

// Rows are the last axis. For every output row and every kernel row that meets an input row:
// fn(output_row, input_row, kernel_row), row numbers within one channel, kernel rows in order. Before the first
// one of each output row begin(output_row) is called, after the last one finish(output_row).
template <class Begin, class Fn, class Finish>
void for_each_row(const Window& w, const int64_t* in, const int64_t* out, Begin begin, Fn fn, Finish finish) {
  const size_t outer = w.rank - 1;
  int64_t position[Window::kMaxRank] = {}, first[Window::kMaxRank], last[Window::kMaxRank], tap[Window::kMaxRank];
  int64_t rows = 1;
  for (size_t a = 0; a < outer; ++a) rows *= out[a];
  for (int64_t row = 0; row < rows; ++row) {
    begin(row);
    bool any = true;
    for (size_t a = 0; a < outer; ++a) {
      std::tie(first[a], last[a]) = w.axes[a].taps_inside(position[a], in[a]);
      tap[a] = first[a];
      any &= first[a] < last[a];
    }
    while (any) {
      int64_t in_row = 0, kernel_row = 0;
      for (size_t a = 0; a < outer; ++a) {
        const WindowAxis& axis = w.axes[a];
        in_row = in_row * in[a] + position[a] * axis.stride - axis.begin + tap[a] * axis.dilation;
        kernel_row = kernel_row * axis.kernel + tap[a];
      }
      fn(row, in_row, kernel_row);
      size_t a = outer;
      while (a > 0 && ++tap[a - 1] == last[a - 1]) {
        --a;
        tap[a] = first[a];
      }
      any = a > 0;
    }
    finish(row);
    for (size_t a = outer; a > 0 && ++position[a - 1] == out[a - 1]; --a) position[a - 1] = 0;
  }
}

}  // namespace cameo::ops
