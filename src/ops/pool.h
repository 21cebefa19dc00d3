// What AveragePool, LpPool and MaxPool share: shape rules and the walk over windows.
#pragma once

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/window.h"

namespace cameo::ops {

// Output 0 [N, C, o…] of the input's type; with `indices` output 1 of the same shape is int64.
Status infer_pool(InferContext& c, const WindowAttrs& attrs, bool indices = false);

// The same from the shape of the input.
Result<ir::Shape> pool_shape(const WindowAttrs& attrs, const ir::Shape& x);

// How many taps at output position o count along an axis of extent `in` in a mean.
int64_t counted_taps(WindowAxis axis, int64_t o, int64_t in, bool include_padding);

// The extents of a pooling operator: `planes` is N * C.
struct PoolGeometry {
  Window window;
  int64_t planes = 1;
  int64_t in[Window::kMaxRank], out[Window::kMaxRank];
  int64_t in_size = 1, out_size = 1;  // elements of one channel

  static Result<PoolGeometry> make(const WindowAttrs& attrs, const Dims& x, const Dims& y);
  int64_t in_row() const { return in[window.rank - 1]; }
  int64_t out_row() const { return out[window.rank - 1]; }
};

// For every row of the output: begin(), then taps(o, i, n, step) for runs of n output elements that meet input elements,
// then finish(first output element of the row). o counts from the start of the row, i from the start of the plane.
template <class Begin, class Taps, class Finish>
void pool_plane(const PoolGeometry& g, Begin begin, Taps taps, Finish finish) {
  const WindowAxis& axis = g.window.axes[g.window.rank - 1];
  for_each_row(
      g.window, g.in, g.out, [&](int64_t) { begin(); },
      [&](int64_t, int64_t in_row, int64_t) {
        for_each_tap(axis, g.in_row(), g.out_row(), [&](int64_t k, int64_t lo, int64_t hi) {
          taps(lo, in_row * g.in_row() + lo * axis.stride + k * axis.dilation - axis.begin, hi - lo, axis.stride);
        });
      },
      [&](int64_t row) { finish(row * g.out_row()); });
}

}  // namespace cameo::ops
