// DeformConv (ai.onnx 19, 22): Conv whose taps are moved by offsets and multiplied by a mask:
//   y[n, m, o] = b[m] + sum over c, t of w[m, c, t] * mask[n, g, t, o] * x[n, c, o * stride + t * dilation - pad + offset[n, g, t, :, o]]
// where g is the offset group of channel c, and x is interpolated linearly along every spatial axis, 0 outside. offset is
// [N, offset_group * taps * rank, out…], mask [N, offset_group * taps, out…]. Version 22 adds bfloat16.
// (Dai et al., 2017; Zhu et al., 2018.)
#include <cmath>

#include "ops/convolve.h"
#include "ops/dispatch.h"

namespace cameo::ops {
namespace {

enum Input : size_t { kX, kW, kOffset, kBias, kMask };

struct DeformConvAttrs : ir::AttrsOf<DeformConvAttrs> {
  ConvAttrs conv;
  int64_t offset_group = 1;
  void visit(ir::AttrVisitor& v) override {
    v("kernel_shape", conv.kernel_shape);
    v("strides", conv.strides);
    v("dilations", conv.dilations);
    v("pads", conv.pads);
    v("group", conv.group);
    v("offset_group", offset_group);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<DeformConvAttrs>();
  CAMEO_TRY(check_same_dtype(c, {kX, kW, kOffset, kBias, kMask}));
  const int64_t groups = attrs.offset_group;
  if (groups < 1) return error(ErrorCode::kInvalidModel, "offset_group is {}; it must be at least 1", groups);
  CAMEO_ASSIGN(const ir::Shape y, infer_convolution_shape(c, attrs.conv, kX, kW, kBias));
  if (y.empty()) {
    c.set_output(0, ir::Type::tensor(c.dtype(kX)));
    return {};
  }
  if (c.shape(kX)) {
    const ir::Dim& channels = (*c.shape(kX))[1];
    if (channels.is_const() && channels.value() % groups != 0)
      return error(ErrorCode::kInvalidInput, "offset_group is {}, which does not divide the {} channels", groups, channels.value());
  }
  ir::Dim taps;
  if (c.shape(kW)) taps = ir::num_elements(ir::Shape(c.shape(kW)->begin() + 2, c.shape(kW)->end())) * groups;
  ir::Shape offset = y, mask = y;
  offset[1] = taps * static_cast<int64_t>(y.size() - 2);
  mask[1] = taps;
  CAMEO_TRY(check_shape(c, kOffset, offset, "offset"));
  CAMEO_TRY(check_shape(c, kMask, mask, "mask"));
  c.set_output(0, c.dtype(kX), y);
  return {};
}

// x at fractional coordinates, by linear interpolation along every axis.
template <class C, class T>
C interpolate(const T* x, const int64_t* extents, size_t rank, const C* at) {
  int64_t low[Window::kMaxRank];
  C fraction[Window::kMaxRank];
  for (size_t a = 0; a < rank; ++a) {
    if (!(at[a] > -1 && at[a] < static_cast<C>(extents[a]))) return C{0};
    low[a] = static_cast<int64_t>(std::floor(at[a]));
    fraction[a] = at[a] - static_cast<C>(low[a]);
  }
  C sum = 0;
  for (unsigned corner = 0; corner < 1u << rank; ++corner) {
    C weight = 1;
    int64_t offset = 0;
    bool inside = true;
    for (size_t a = 0; a < rank; ++a) {
      const int64_t high = corner >> a & 1, i = low[a] + high;
      weight *= high ? fraction[a] : 1 - fraction[a];
      inside &= i >= 0 && i < extents[a];
      offset = offset * extents[a] + i;
    }
    if (inside && weight != 0) sum += weight * static_cast<C>(x[offset]);
  }
  return sum;
}

template <class T>
Status run(KernelContext& c, const ConvGeometry& g, int64_t offset_groups) {
  using C = compute_t<T>;
  const size_t rank = g.window.rank;
  const auto axes = static_cast<int64_t>(rank);
  const T *x = c.input(kX).data<T>(), *w = c.input(kW).data<T>(), *offsets = c.input(kOffset).data<T>();
  const T* masks = c.has_input(kMask) ? c.input(kMask).data<T>() : nullptr;
  const T* bias = c.has_input(kBias) ? c.input(kBias).data<T>() : nullptr;
  T* y = c.output(0).data<T>();
  const int64_t depth = g.in_channels * g.taps, channels = g.group * g.in_channels;
  GemmScratch<C> scratch(c);
  C* sums = c.scratch<C>(g.out_channels * kBlockColumns).data();
  for (int64_t n = 0; n < g.batch; ++n)
    for (int64_t k = 0; k < g.group; ++k) {
      const T* weights = w + k * g.out_channels * depth;
      for (int64_t first = 0; first < g.out_size; first += kBlockColumns) {
        const int64_t count = std::min(kBlockColumns, g.out_size - first);
        CAMEO_TRY(c.check_cancelled());
        std::fill_n(sums, g.out_channels * kBlockColumns, C{0});
        multiply_block<C>(
            g.out_channels, count, depth, scratch, [&](int64_t row, int64_t i) { return static_cast<C>(weights[row * depth + i]); },
            [&](int64_t i, C* to) {
              const int64_t channel = k * g.in_channels + i / g.taps, tap = i % g.taps;
              const int64_t field = (n * offset_groups + channel / (channels / offset_groups)) * g.taps + tap;
              const T* plane = x + (n * channels + channel) * g.in_size;
              for (int64_t j = 0; j < count; ++j) {
                const int64_t o = first + j;
                C at[Window::kMaxRank];
                int64_t position = o, t = tap;
                for (size_t a = rank; a-- > 0; position /= g.out[a], t /= g.window.axes[a].kernel) {
                  const WindowAxis& axis = g.window.axes[a];
                  const int64_t grid = position % g.out[a] * axis.stride - axis.begin + t % axis.kernel * axis.dilation;
                  at[a] = static_cast<C>(grid) + static_cast<C>(offsets[(field * axes + static_cast<int64_t>(a)) * g.out_size + o]);
                }
                to[j] = interpolate(plane, g.in, rank, at);
                if (masks) to[j] *= static_cast<C>(masks[field * g.out_size + o]);
              }
            },
            sums, kBlockColumns);
        for (int64_t m = 0; m < g.out_channels; ++m) {
          const int64_t channel = k * g.out_channels + m;
          T* to = y + (n * g.group * g.out_channels + channel) * g.out_size + first;
          for (int64_t j = 0; j < count; ++j)
            to[j] = static_cast<T>(sums[m * kBlockColumns + j] + (bias ? static_cast<C>(bias[channel]) : C{0}));
        }
      }
    }
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<DeformConvAttrs>();
  if (c.output(0).num_elements() == 0) return {};
  CAMEO_ASSIGN(const ConvGeometry g, ConvGeometry::make(attrs.conv, c.input(kX).dims(), c.input(kW).dims(), c.output(0).dims()));
  return dispatch_floats(c.input(kX).dtype(), "DeformConv",
                         [&](auto tag) -> Status { return run<typename decltype(tag)::type>(c, g, attrs.offset_group); });
}

}  // namespace

CAMEO_DEFINE_OP(DeformConv) = {
    .name = "DeformConv",
    .min_version = 19,
    .min_inputs = 3,
    .max_inputs = 5,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<DeformConvAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
