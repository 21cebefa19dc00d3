// Convolution for Conv, ConvInteger and QLinearConv. With many channels a group it is a matrix product of the
// weights with the windows laid out as columns, a block of output positions at a time; with one input channel a
// group (depthwise) the taps are added row by row.
#pragma once

#include "ops/accumulate.h"
#include "ops/checks.h"
#include "ops/gemm.h"
#include "ops/window.h"

namespace cameo::ops {

struct ConvAttrs : ir::AttrsOf<ConvAttrs>, WindowAttrs {
  int64_t group = 1;
  void visit(ir::AttrVisitor& v) override {
    visit_window(v);
    v("group", group);
  }
};

// Shape rules: x [N, C, spatial…], w [M, C / group, kernel…], y [N, M, spatial…]. `bias` is the index of the bias [M], if
// the operator has one. Gives y, or {} where not even its rank is known.
Result<ir::Shape> infer_convolution_shape(InferContext& c, const ConvAttrs& attrs, size_t x, size_t w, std::optional<size_t> bias);
// The same from shapes, without a bias.
Result<ir::Shape> convolution_shape(const WindowAttrs& window, int64_t group, const std::optional<ir::Shape>& xs,
                                    const std::optional<ir::Shape>& ws);
// Sets output 0 to that shape and `dtype`, for operators with ConvAttrs.
Status infer_convolution(InferContext& c, size_t x, size_t w, std::optional<size_t> bias, DType dtype);

// The extents of a convolution.
struct ConvGeometry {
  Window window;
  int64_t batch, group, in_channels, out_channels;  // channels of one group
  int64_t in[Window::kMaxRank], out[Window::kMaxRank];
  int64_t in_size = 1, out_size = 1, taps = 1;  // elements of one channel, of its kernel

  static Result<ConvGeometry> make(const WindowAttrs& window, int64_t group, const Dims& x, const Dims& w, const Dims& y);
  static Result<ConvGeometry> make(const ConvAttrs& attrs, const Dims& x, const Dims& w, const Dims& y) {
    return make(attrs, attrs.group, x, w, y);
  }
};

// Lays windows out as columns: element (channel * taps + tap, position) is the input under that tap.
template <class C>
class WindowColumns {
 public:
  // Positions [first, first + count) of the output; `segments` has room for kBlockColumns * (rank + 1) numbers.
  WindowColumns(const ConvGeometry& g, int64_t first, int64_t count, int64_t* segments) : g_(g), segments_(segments) {
    // Runs along the last axis: its coordinates on the outer axes, then the start and length of the run.
    const size_t rank = g.window.rank;
    for (int64_t at = first; at < first + count;) {
      int64_t* segment = segments_ + num_segments_++ * static_cast<int64_t>(rank + 1);
      int64_t rest = at;
      for (size_t a = rank; a-- > 0; rest /= g.out[a]) segment[a] = rest % g.out[a];
      segment[rank] = std::min(first + count - at, g.out[rank - 1] - segment[rank - 1]);
      at += segment[rank];
    }
  }

  // Row k of the columns; load(x) converts an element. Taps in the padding give 0.
  template <class T, class Load>
  void row(const T* x, int64_t k, C* to, Load load) const {
    const int64_t stride = g_.window.axes[g_.window.rank - 1].stride;
    walk(k, [&](int64_t n, int64_t lo, int64_t hi, int64_t offset) {
      const T* from = x + offset;
      for (int64_t i = 0; i < lo; ++i) to[i] = C{};
      if (stride == 1)
        for (int64_t i = lo; i < hi; ++i) to[i] = load(from[i]);
      else
        for (int64_t i = lo; i < hi; ++i) to[i] = load(from[i * stride]);
      for (int64_t i = hi; i < n; ++i) to[i] = C{};
      to += n;
    });
  }

  // The other way round: adds row k of the columns to the elements of x under that tap.
  void add_row(C* x, int64_t k, const C* from) const {
    const int64_t stride = g_.window.axes[g_.window.rank - 1].stride;
    walk(k, [&](int64_t n, int64_t lo, int64_t hi, int64_t offset) {
      for (int64_t i = lo; i < hi; ++i) x[offset + i * stride] += from[i];
      from += n;
    });
  }

 private:
  // For each run of n positions: fn(n, lo, hi, offset); the tap of position i lies inside the input for i in [lo, hi),
  // at element offset + i * stride.
  template <class Fn>
  void walk(int64_t k, Fn fn) const {
    const Window& w = g_.window;
    const size_t last = w.rank - 1;
    int64_t tap[Window::kMaxRank], rest = k % g_.taps;
    for (size_t a = w.rank; a-- > 0; rest /= w.axes[a].kernel) tap[a] = rest % w.axes[a].kernel * w.axes[a].dilation - w.axes[a].begin;
    const int64_t channel = k / g_.taps * g_.in_size, extent = g_.in[last], stride = w.axes[last].stride;
    for (int64_t s = 0; s < num_segments_; ++s) {
      const int64_t* segment = segments_ + s * static_cast<int64_t>(w.rank + 1);
      const int64_t n = segment[w.rank];
      int64_t in_row = 0;
      bool inside = true;
      for (size_t a = 0; a < last; ++a) {
        const int64_t at = segment[a] * w.axes[a].stride + tap[a];
        inside &= at >= 0 && at < g_.in[a];
        in_row = in_row * g_.in[a] + at;
      }
      if (!inside) {
        fn(n, 0, 0, 0);
        continue;
      }
      const int64_t start = segment[last] * stride + tap[last];
      const int64_t lo = std::min(n, start >= 0 ? 0 : (-start + stride - 1) / stride);
      const int64_t hi = std::max(lo, start >= extent ? 0 : std::min(n, (extent - 1 - start) / stride + 1));
      fn(n, lo, hi, channel + in_row * extent + start);
    }
  }

  const ConvGeometry& g_;
  int64_t* segments_;
  int64_t num_segments_ = 0;
};

// y = conv(x, w) with sums of type C. load_x(x) and load_w(w, channel) convert elements; store(sums, channel, n, to)
// writes n sums of an output channel (0 to M - 1) to the output.
template <class C, class X, class W, class Y, class LoadX, class LoadW, class Store>
Status convolve(KernelContext& c, const ConvGeometry& g, const X* x, const W* w, Y* y, LoadX load_x, LoadW load_w, Store store) {
  if (g.batch * g.group * g.out_channels * g.out_size == 0) return {};
  const int64_t depth = g.in_channels * g.taps;
  if (g.in_channels == 1) {
    const size_t last = g.window.rank - 1;
    const WindowAxis& axis = g.window.axes[last];
    C* sums = c.scratch<C>(g.out[last]).data();
    C* row = c.scratch<C>(g.in[last]).data();
    for (int64_t channel = 0; channel < g.batch * g.group * g.out_channels; ++channel) {
      const int64_t m = channel % (g.group * g.out_channels);
      const X* plane = x + channel / g.out_channels * g.in_size;
      const W* kernel = w + m * depth;
      Y* to = y + channel * g.out_size;
      CAMEO_TRY(c.check_cancelled());
      for_each_row(
          g.window, g.in, g.out, [&](int64_t) { std::fill_n(sums, g.out[last], C{}); },
          [&](int64_t, int64_t in_row, int64_t kernel_row) {
            for (int64_t i = 0; i < g.in[last]; ++i) row[i] = load_x(plane[in_row * g.in[last] + i]);
            for_each_tap(axis, g.in[last], g.out[last], [&](int64_t k, int64_t lo, int64_t hi) {
              const C weight = load_w(kernel[kernel_row * axis.kernel + k], m);
              const C* from = row + lo * axis.stride + k * axis.dilation - axis.begin;
              if (axis.stride == 1)
                add_scaled(weight, from, sums + lo, hi - lo);
              else
                for (int64_t o = lo; o < hi; ++o, from += axis.stride) sums[o] += weight * *from;
            });
          },
          [&](int64_t out_row) { store(sums, m, g.out[last], to + out_row * g.out[last]); });
    }
    return {};
  }
  GemmScratch<C> scratch(c);
  C* sums = c.scratch<C>(g.out_channels * kBlockColumns).data();
  int64_t* segments = c.scratch<int64_t>(kBlockColumns * static_cast<int64_t>(g.window.rank + 1)).data();
  for (int64_t n = 0; n < g.batch; ++n)
    for (int64_t k = 0; k < g.group; ++k) {
      const X* in = x + (n * g.group + k) * g.in_channels * g.in_size;
      const W* weights = w + k * g.out_channels * depth;
      for (int64_t first = 0; first < g.out_size; first += kBlockColumns) {
        const int64_t count = std::min(kBlockColumns, g.out_size - first);
        CAMEO_TRY(c.check_cancelled());
        const WindowColumns<C> columns(g, first, count, segments);
        std::fill_n(sums, g.out_channels * kBlockColumns, C{});
        multiply_block<C>(
            g.out_channels, count, depth, scratch,
            [&](int64_t row, int64_t i) { return load_w(weights[row * depth + i], k * g.out_channels + row); },
            [&](int64_t i, C* to) { columns.row(in, i, to, load_x); }, sums, kBlockColumns);
        for (int64_t m = 0; m < g.out_channels; ++m) {
          const int64_t channel = k * g.out_channels + m;
          store(sums + m * kBlockColumns, channel, count, y + (n * g.group * g.out_channels + channel) * g.out_size + first);
        }
      }
    }
  return {};
}

}  // namespace cameo::ops
