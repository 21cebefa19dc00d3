// ai.cameo.QuantizedConv on the product of quantized_gemm.isa.cc.
//   channels a multiple of 4   pointers to the pixels under each position of the kernel; padding points to the zero point
//   strips                     else, where pixels under a row of the kernel lie side by side (the first layers of vision models): the
//                              input is copied with its padding, and a tap is a row of the kernel, filled up to a multiple of 4 bytes
//   windows                    else: windows copied side by side, a tile of rows at a time
//   depthwise                  pointers, and one multiplication a channel
#include <algorithm>
#include <cstring>

#include "backends/cpu/kernels/quantized_product.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "ops/channels_last.h"
#include "ops/convolve.h"

namespace cameo::tactics {
namespace {

bool in_strips(const ops::CameoQuantizedConvAttrs& a) {
  return !a.depthwise() && a.channels % 4 != 0 && (a.dilations.empty() || a.dilations.back() == 1);
}
// Bytes of a strip, without and with what fills it up.
int64_t strip_bytes(const ops::CameoQuantizedConvAttrs& a) { return a.kernel_shape.back() * a.channels; }
int64_t strip_depth(const ops::CameoQuantizedConvAttrs& a) { return (strip_bytes(a) + 3) / 4 * 4; }
// The input with its padding along an axis, as far as windows reach.
int64_t padded_extent(const ops::ConvGeometry& g, size_t axis) {
  const ops::WindowAxis& w = g.window.axes[axis];
  return std::max((g.out[axis] - 1) * w.stride + w.span(), w.begin + g.in[axis]);
}
// Whether that is small enough to be copied. (Padding may be of any size.)
bool can_pad(const ops::ConvGeometry& g) {
  double grown = 1;
  for (size_t axis = 0; axis < g.window.rank; ++axis)
    grown *= static_cast<double>(padded_extent(g, axis)) / static_cast<double>(std::max<int64_t>(g.in[axis], 1));
  return grown <= 64;
}

class WindowRows final : public cpu::QuantizedRows {
 public:
  WindowRows(ops::KernelContext& c, const ops::ConvGeometry& g, const ops::CameoQuantizedConvAttrs& attrs, const cpu::QuantizedInput& input)
      : g_(g), x_(input.data), channels_(attrs.channels), zero_(static_cast<uint8_t>(input.zero)) {
    const size_t rank = g.window.rank;
    for (size_t axis = 0; axis < rank; ++axis) {
      in_[axis] = g.in[axis];
      begin_[axis] = g.window.axes[axis].begin;
    }
    direct_ = attrs.depthwise() || channels_ % 4 == 0 || in_strips(attrs);
    taps = direct_ ? g.taps : 1;
    depth = direct_ ? channels_ : (g.taps * channels_ + 3) / 4 * 4;
    if (in_strips(attrs)) {
      taps = g.taps / attrs.kernel_shape.back();
      depth = strip_depth(attrs);
      copy_padded(c);
    }
    pack_bytes = direct_ ? 0 : depth;
    uint8_t* padding = c.scratch<uint8_t>(channels_).data();
    std::memset(padding, zero_, static_cast<size_t>(channels_));
    padding_ = padding;
    image_ = channels_;
    for (size_t axis = rank; axis-- > 0; image_ *= in_[axis]) pitches_[axis] = image_;
    const int64_t positions = direct_ ? taps : g.taps, step = g.taps / positions;
    offsets_ = c.scratch<int64_t>(positions).data();
    steps_ = c.scratch<int64_t>(positions * static_cast<int64_t>(rank)).data();
    for (int64_t tap = 0; tap < positions; ++tap) {
      int64_t rest = tap * step;
      offsets_[tap] = 0;
      for (size_t axis = rank; axis-- > 0; rest /= g.window.axes[axis].kernel) {
        const int64_t position = rest % g.window.axes[axis].kernel * g.window.axes[axis].dilation;
        steps_[tap * static_cast<int64_t>(rank) + static_cast<int64_t>(axis)] = position;
        offsets_[tap] += position * pitches_[axis];
      }
    }
  }

  void locate(int64_t first, int64_t count, const uint8_t** pointers, uint8_t* pack) const override {
    const size_t last = g_.window.rank - 1;
    const ops::WindowAxis& row = g_.window.axes[last];
    // Runs of positions along the last axis.
    for (int64_t i = 0; i < count;) {
      int64_t start[ops::Window::kMaxRank];
      int64_t rest = (first + i) % g_.out_size, base = (first + i) / g_.out_size * image_;
      const int64_t position = rest % g_.out[last], run = std::min(count - i, g_.out[last] - position);
      rest /= g_.out[last];
      bool inside = true;
      for (size_t axis = last; axis-- > 0; rest /= g_.out[axis]) {
        const ops::WindowAxis& w = g_.window.axes[axis];
        start[axis] = rest % g_.out[axis] * w.stride - begin_[axis];
        inside &= start[axis] >= 0 && start[axis] + w.span() <= in_[axis];
        base += start[axis] * pitches_[axis];
      }
      // Positions [low, high) have all their taps inside.
      int64_t low = run, high = run;
      if (const int64_t room = in_[last] + begin_[last] - row.span(); inside && room >= 0) {
        low = std::clamp((begin_[last] + row.stride - 1) / row.stride - position, int64_t{0}, run);
        high = std::clamp(room / row.stride + 1 - position, low, run);
      }
      const int64_t pitch = row.stride * pitches_[last];
      base += position * pitch - begin_[last] * pitches_[last];
      const auto border = [&](int64_t from, int64_t to) {
        for (int64_t j = from; j < to; ++j) {
          start[last] = (position + j) * row.stride - begin_[last];
          at_border(start, base + j * pitch, pointers + i + j, count, pack + (i + j) * pack_bytes);
        }
      };
      border(0, low);
      if (direct_)
        for (int64_t tap = 0; tap < taps; ++tap) {
          const uint8_t* from = x_ + base + offsets_[tap];
          const uint8_t** to = pointers + tap * count + i;
          for (int64_t j = low; j < high; ++j) to[j] = from + j * pitch;
        }
      else
        border(low, high);
      border(high, run);
      i += run;
    }
  }

 private:
  // One position whose taps may lie in the padding.
  void at_border(const int64_t* start, int64_t base, const uint8_t** pointers, int64_t pitch, uint8_t* copy) const {
    const size_t rank = g_.window.rank;
    const auto at = [&](int64_t tap) {
      for (size_t axis = 0; axis < rank; ++axis) {
        const int64_t position = start[axis] + steps_[tap * static_cast<int64_t>(rank) + static_cast<int64_t>(axis)];
        if (position < 0 || position >= in_[axis]) return padding_;
      }
      return x_ + base + offsets_[tap];
    };
    if (direct_) {
      for (int64_t tap = 0; tap < taps; ++tap) pointers[tap * pitch] = at(tap);
      return;
    }
    *pointers = copy;
    for (int64_t tap = 0; tap < g_.taps; ++tap) std::memcpy(copy + tap * channels_, at(tap), static_cast<size_t>(channels_));
    std::memset(copy + g_.taps * channels_, 0, static_cast<size_t>(depth - g_.taps * channels_));
  }

  // Makes the padding part of the input. Strips may be read up to 3 bytes beyond its end.
  void copy_padded(ops::KernelContext& c) {
    const size_t rank = g_.window.rank, last = rank - 1;
    int64_t padded[ops::Window::kMaxRank], rows = g_.batch;
    for (size_t axis = 0; axis < rank; ++axis) {
      padded[axis] = padded_extent(g_, axis);
      if (axis != last) rows *= padded[axis];
    }
    const int64_t width = padded[last] * channels_, inner = in_[last] * channels_, left = begin_[last] * channels_;
    uint8_t* copy = c.scratch<uint8_t>(rows * width + 4).data();
    std::memset(copy + rows * width, 0, 4);
    constexpr int64_t kStep = 32;
    c.threads().parallel_for((rows + kStep - 1) / kStep, [&](int64_t task, int) {
      for (int64_t r = task * kStep; r < std::min(rows, (task + 1) * kStep); ++r) {
        int64_t rest = r, from = 0, pitch = 1;
        bool inside = true;
        for (size_t axis = last; axis-- > 0; rest /= padded[axis]) {
          const int64_t position = rest % padded[axis] - begin_[axis];
          inside &= position >= 0 && position < g_.in[axis];
          from += position * pitch;
          pitch *= g_.in[axis];
        }
        uint8_t* to = copy + r * width;
        if (!inside) {
          std::memset(to, zero_, static_cast<size_t>(width));
          continue;
        }
        std::memset(to, zero_, static_cast<size_t>(left));
        std::memcpy(to + left, x_ + (rest * pitch + from) * inner, static_cast<size_t>(inner));
        std::memset(to + left + inner, zero_, static_cast<size_t>(width - left - inner));
      }
    });
    x_ = copy;
    for (size_t axis = 0; axis < rank; ++axis) {
      in_[axis] = padded[axis];
      begin_[axis] = 0;
    }
  }

  const ops::ConvGeometry& g_;
  const uint8_t* x_;
  const uint8_t* padding_;
  int64_t channels_;
  uint8_t zero_;
  bool direct_;  // pointers to the input itself, or to its padded copy
  // Extents and padding of what is read, bytes of an image, from one position to the next along each axis.
  int64_t in_[ops::Window::kMaxRank] = {}, begin_[ops::Window::kMaxRank] = {}, pitches_[ops::Window::kMaxRank] = {}, image_ = 0;
  int64_t *offsets_, *steps_;  // of each tap: bytes from the first one; positions along each axis
};

int64_t weight_rows(const ops::CameoQuantizedConvAttrs& a) { return a.depthwise() ? a.taps() : a.taps() * a.channels; }

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  if (!facts[node.inputs[1]].constant.defined()) return refuse("the weight is not constant");
  return {};
}

Result<std::vector<Tensor>> prepack(const ir::Node& node, std::span<const ops::Fact> facts) {
  const auto& attrs = node.attrs_as<ops::CameoQuantizedConvAttrs>();
  const Tensor& w = facts[node.inputs[1]].constant;
  CAMEO_ASSIGN(std::vector<Tensor> packed, cpu::column_sums(w, weight_rows(attrs), attrs.n, attrs.depthwise()));
  if (in_strips(attrs)) {
    const int64_t bytes = strip_bytes(attrs), depth = strip_depth(attrs);
    CAMEO_ASSIGN(Tensor strips, ops::pack_int8(weight_rows(attrs) / bytes * depth, attrs.n, [&](int64_t k, int64_t j) {
                   return k % depth < bytes ? ops::packed_weight(w.data<int8_t>(), weight_rows(attrs), k / depth * bytes + k % depth, j)
                                            : int8_t{0};
                 }));
    packed.push_back(std::move(strips));
  }
  return packed;
}

Status run(ops::KernelContext& c) {
  const auto& attrs = c.attrs<ops::CameoQuantizedConvAttrs>();
  CAMEO_TRY(ops::check_quantized(attrs, weight_rows(attrs), attrs.depthwise(), c.input(1), c.input(2)));
  const Tensor &x = c.input(0), &y = c.output(0);
  const size_t rank = attrs.kernel_shape.size() + 2;
  if ((x.dtype() != DType::kUint8 && x.dtype() != DType::kInt8) || x.rank() != rank || y.rank() != rank ||
      x.dim(rank - 1) != attrs.channels || x.dim(0) != y.dim(0))
    return error(ErrorCode::kInvalidPlan, "X is {} of shape {}, which does not fit {} channels", dtype_name(x.dtype()),
                 x.dims().to_string(), attrs.channels);
  if (y.num_elements() == 0) return {};
  Dims weight(rank, attrs.channels / attrs.group);
  weight[0] = attrs.n;
  for (size_t i = 2; i < rank; ++i) weight[i] = attrs.kernel_shape[i - 2];
  CAMEO_ASSIGN(const ops::ConvGeometry g,
               ops::ConvGeometry::make(attrs, attrs.group, ops::channels_first(x.dims()), weight, ops::channels_first(y.dims())));
  for (size_t axis = 0; axis < g.window.rank; ++axis) {
    CAMEO_ASSIGN(const ir::Dim extent, g.window.output_extent(axis, g.in[axis]));
    if (!(extent == ir::Dim(g.out[axis]))) return error(ErrorCode::kInvalidPlan, "the output has shape {}", y.dims().to_string());
  }
  const cpu::QuantizedInput input = cpu::quantized_input(c, attrs.x_zero);
  const Tensor* w = &c.input(1);
  if (in_strips(attrs)) {
    const auto& packed = c.node().packed;
    const int64_t rows = weight_rows(attrs) / strip_bytes(attrs) * strip_depth(attrs);
    if (packed.size() != 2 || packed[1].dtype() != DType::kInt8 || packed[1].num_elements() != (attrs.n + 15) / 16 * rows * 16)
      return error(ErrorCode::kInvalidPlan, "the packed weight does not fit the convolution");
    if (!can_pad(g)) return c.node().op->reference(c);
    w = &packed[1];
  }
  return cpu::run_quantized(c, attrs, *w, g.batch * g.out_size, input.zero, attrs.depthwise(), WindowRows(c, g, attrs, input));
}

}  // namespace

CAMEO_DEFINE_TACTIC(quantized_conv) = {
    .name = "quantized_conv",
    .op = "QuantizedConv",
    .domain = "ai.cameo",
    .supports = &supports,
    .prepack = &prepack,
    .run = &run,
};

}  // namespace cameo::tactics
