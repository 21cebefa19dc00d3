// ai.cameo.QuantizedConv on the product of quantized_gemm.isa.cc.
//   channels a multiple of 4   pointers to the pixels under each position of the kernel; padding points to the zero point
//   else                       windows copied side by side, a tile of rows at a time (the first layers of vision models)
//   depthwise                  pointers, and one multiplication a channel
#include <algorithm>
#include <cstring>

#include "backends/cpu/kernels/quantized_product.h"
#include "base/error.h"
#include "ops/channels_last.h"
#include "ops/convolve.h"

namespace cameo::tactics {
namespace {

class WindowRows final : public cpu::QuantizedRows {
 public:
  WindowRows(ops::KernelContext& c, const ops::ConvGeometry& g, const ops::CameoQuantizedConvAttrs& attrs, const cpu::QuantizedInput& input)
      : g_(g), x_(input.data), channels_(attrs.channels), zero_(static_cast<uint8_t>(input.zero)) {
    direct_ = attrs.depthwise() || channels_ % 4 == 0;
    taps = direct_ ? g.taps : 1;
    depth = direct_ ? channels_ : (g.taps * channels_ + 3) / 4 * 4;
    pack_bytes = direct_ ? 0 : depth;
    uint8_t* padding = c.scratch<uint8_t>(channels_).data();
    std::memset(padding, zero_, static_cast<size_t>(channels_));
    padding_ = padding;
    const size_t rank = g.window.rank;
    int64_t pitch = channels_;
    for (size_t axis = rank; axis-- > 0; pitch *= g.in[axis]) pitches_[axis] = pitch;
    offsets_ = c.scratch<int64_t>(g.taps).data();
    steps_ = c.scratch<int64_t>(g.taps * static_cast<int64_t>(rank)).data();
    for (int64_t tap = 0; tap < g.taps; ++tap) {
      int64_t rest = tap;
      offsets_[tap] = 0;
      for (size_t axis = rank; axis-- > 0; rest /= g.window.axes[axis].kernel) {
        const int64_t step = rest % g.window.axes[axis].kernel * g.window.axes[axis].dilation;
        steps_[tap * static_cast<int64_t>(rank) + static_cast<int64_t>(axis)] = step;
        offsets_[tap] += step * pitches_[axis];
      }
    }
  }

  void locate(int64_t first, int64_t count, const uint8_t** pointers, uint8_t* pack) const override {
    const size_t rank = g_.window.rank;
    for (int64_t i = 0; i < count; ++i) {
      int64_t start[ops::Window::kMaxRank];
      int64_t rest = (first + i) % g_.out_size, base = (first + i) / g_.out_size * g_.in_size * channels_;
      bool inside = true;
      for (size_t axis = rank; axis-- > 0; rest /= g_.out[axis]) {
        const ops::WindowAxis& w = g_.window.axes[axis];
        start[axis] = rest % g_.out[axis] * w.stride - w.begin;
        inside &= start[axis] >= 0 && start[axis] + w.span() <= g_.in[axis];
        base += start[axis] * pitches_[axis];
      }
      const auto at = [&](int64_t tap) {
        if (!inside)
          for (size_t axis = 0; axis < rank; ++axis) {
            const int64_t position = start[axis] + steps_[tap * static_cast<int64_t>(rank) + static_cast<int64_t>(axis)];
            if (position < 0 || position >= g_.in[axis]) return padding_;
          }
        return x_ + base + offsets_[tap];
      };
      if (direct_) {
        for (int64_t tap = 0; tap < g_.taps; ++tap) pointers[tap * count + i] = at(tap);
        continue;
      }
      uint8_t* copy = pack + i * depth;
      pointers[i] = copy;
      // Taps along the last axis lie side by side in the input when nothing is between them.
      const int64_t run = inside && g_.window.axes[rank - 1].dilation == 1 ? g_.window.axes[rank - 1].kernel : 1;
      for (int64_t tap = 0; tap < g_.taps; tap += run) std::memcpy(copy + tap * channels_, at(tap), static_cast<size_t>(run * channels_));
      std::memset(copy + g_.taps * channels_, 0, static_cast<size_t>(depth - g_.taps * channels_));
    }
  }

 private:
  const ops::ConvGeometry& g_;
  const uint8_t* x_;
  const uint8_t* padding_;
  int64_t channels_;
  uint8_t zero_;
  bool direct_;
  int64_t pitches_[ops::Window::kMaxRank] = {};
  int64_t *offsets_, *steps_;  // of each tap: bytes from the first one; positions along each axis
};

int64_t weight_rows(const ops::CameoQuantizedConvAttrs& a) { return a.depthwise() ? a.taps() : a.taps() * a.channels; }

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  if (!facts[node.inputs[1]].constant.defined()) return refuse("the weight is not constant");
  return {};
}

Result<std::vector<Tensor>> prepack(const ir::Node& node, std::span<const ops::Fact> facts) {
  const auto& attrs = node.attrs_as<ops::CameoQuantizedConvAttrs>();
  return cpu::column_sums(facts[node.inputs[1]].constant, weight_rows(attrs), attrs.n, attrs.depthwise());
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
  return cpu::run_quantized(c, attrs, g.batch * g.out_size, input.zero, attrs.depthwise(), WindowRows(c, g, attrs, input));
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
