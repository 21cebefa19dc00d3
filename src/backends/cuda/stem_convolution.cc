#include "backends/cuda/stem_convolution.h"

#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/ops/windows.h"
#include "backends/cuda/tile_products.h"
#include "ops/channels_last.h"
#include "ops/convolve.h"

namespace cameo::cuda {
namespace {

constexpr int64_t kTaps = 7, kColumns = 8, kChannels = 4;

class StemOperation final : public Operation {
 public:
  StemOperation(const StemArgs& args, const DeviceTraits& traits, const Operand& x, const Operand& w, const Operand& bias, const Operand& y)
      : args_(args), traits_(traits), x_(x), w_(w), bias_(bias), y_(y) {}
  Status run(const Addresses& at, cudaStream_t stream) override {
    args_.x = at.of(x_);
    args_.w = at.of(w_);
    args_.bias = at.of(bias_);
    args_.y = at.of(y_);
    return check(stem(args_, traits_, stream), "a convolution and a pool");
  }

 private:
  StemArgs args_;
  const DeviceTraits traits_;
  const Operand x_, w_, bias_, y_;
};

// Extents of a window that has this size and stride along both axes, and no dilation; none otherwise.
std::optional<ops::Window> window_of(const Attributes& attrs, const Dims& in, const Dims& out, const Dims& kernel, int64_t size) {
  ops::WindowAttrs w = window_attrs(attrs);
  if (w.kernel_shape.empty()) w.kernel_shape.assign(kernel.begin(), kernel.end());
  const auto window = ops::make_window(w, in, out);
  if (!window.ok() || window->rank != 2) return std::nullopt;
  for (const ops::WindowAxis& axis : {window->axes[0], window->axes[1]})
    if (axis.kernel != size || axis.stride != 2 || axis.dilation != 1) return std::nullopt;
  return *window;
}

struct Stem {
  StemArgs args;
  size_t bias = 0;  // input; 0: none
  DType type = DType::kUndefined;
};

std::optional<Stem> match(StepBuilder& b) {
  const ir::Node& node = b.node();
  const Attributes attrs(*node.attrs), pool(*b.pool()->attrs);
  const DType type = b.in_type(0) == DType::kFloat32 ? activation_type(b.precision()) : b.in_type(0);
  const Operand y = b.output(0);
  const auto x = b.input(0);
  if (!b.device().has_gpu() || !x.ok() || (type != DType::kFloat16 && type != DType::kBfloat16) || y.dtype != type || y.dims.rank() != 4 ||
      !b.value(1) || b.value(0) || (x->dtype != type && x->dtype != DType::kFloat32) || y.dims.num_elements() == 0)
    return std::nullopt;
  if (attrs.integer("channels_last") == 0 || attrs.integer("group", 1) != 1 || b.pool()->op->domain != "ai.cameo") return std::nullopt;
  const Dims w = b.in_dims(1);
  const auto extents = stem_extents(attrs, pool, ops::channels_first(x->dims), w, ops::channels_first(y.dims));
  if (!extents) return std::nullopt;
  const auto program =
      ops::decode_point_program(static_cast<int>(node.inputs.size()) - 1, attrs.integers("program"), attrs.reals("constants"));
  if (!program.ok()) return std::nullopt;
  const auto epilogue = match_tile_epilogue(b, *program, y.dims);
  if (!epilogue || epilogue->addend || epilogue->activation != TileActivation::kRelu) return std::nullopt;
  if (epilogue->bias && !b.value(epilogue->bias)) return std::nullopt;
  Stem s{*extents, epilogue->bias, type};
  s.args.type = type == DType::kFloat16 ? Scalar::kFloat16 : Scalar::kBFloat16;
  s.args.image_type = x->dtype == DType::kFloat32 ? Scalar::kFloat32 : s.args.type;
  s.args.channels_first = x->channels_first;
  s.args.dependent = b.device().info().arch() >= 90;
  return stem_refusal(s.args, traits_of(b.device())) ? std::nullopt : std::optional(s);
}

}  // namespace

std::optional<StemArgs> stem_extents(const Attributes& attrs, const Attributes& pool, const Dims& in, const Dims& w, const Dims& out) {
  if (w.rank() != 4 || in.rank() != 4 || in[1] != w[1]) return std::nullopt;
  ops::WindowAttrs geometry = window_attrs(attrs);
  if (geometry.kernel_shape.empty()) geometry.kernel_shape = {w[2], w[3]};
  // The convolution's extents follow from its window; those of the pool's from both.
  const auto shape = ops::convolution_shape(geometry, 1, ir::to_shape(in), ir::to_shape(w));
  if (!shape.ok()) return std::nullopt;
  const auto between = ir::to_dims(*shape);
  if (!between) return std::nullopt;
  const auto window = window_of(attrs, in, *between, Dims{w[2], w[3]}, kTaps), pooled = window_of(pool, *between, out, Dims{}, 3);
  if (!window || !pooled || (*between)[1] != out[1]) return std::nullopt;
  for (const Dims* d : {&in, &*between, &out})
    for (const int64_t n : *d)
      if (n < 1 || n > INT32_MAX / 8) return std::nullopt;
  const auto n32 = [](int64_t n) { return static_cast<int32_t>(n); };
  return StemArgs{.batch = n32(in[0]),
                  .height = n32(in[2]),
                  .width = n32(in[3]),
                  .channels = n32(in[1]),
                  .pad_top = n32(window->axes[0].begin),
                  .pad_left = n32(window->axes[1].begin),
                  .conv_height = n32((*between)[2]),
                  .conv_width = n32((*between)[3]),
                  .pool_pad_top = n32(pooled->axes[0].begin),
                  .pool_pad_left = n32(pooled->axes[1].begin),
                  .out_height = n32(out[2]),
                  .out_width = n32(out[3]),
                  .outputs = n32(out[1])};
}

bool takes_pool(StepBuilder& b) { return match(b).has_value(); }

Status convolve_and_pool(StepBuilder& b) {
  const auto s = match(b);
  if (!s) return error(ErrorCode::kUnsupported, "no kernel does the convolution and the pool");
  CAMEO_ASSIGN(const Operand x, b.input(0));
  const Dims w = b.in_dims(1), wide{w[0], kTaps, kColumns, kChannels};
  const std::string form = "pixels of 4 for a stem " + std::string(dtype_name(s->type));
  CAMEO_ASSIGN(
      const Operand weights, b.prepared(1, form, s->type, wide, [&](StepBuilder& inner, const Operand& from, Operand to) -> Status {
        to.narrowed = to.dtype != from.dtype;
        Source source;
        const auto at = source.unravel("i", wide);
        source.line(fmt::format("const bool inside = ({}) < {} && ({}) < {};", at[2], source.number(kTaps), at[3], source.number(w[1])));
        source.line(fmt::format("const I from = ((({}) * {} + {}) * {} + {}) * {} + {};", at[0], source.number(w[1]), at[3],
                                source.number(kTaps), at[1], source.number(kTaps), at[2]));
        source.store(to, "i", fmt::format("inside ? {} : 0.f", source.load(from, "inside ? from : 0")));
        return source.launch_elements(inner, wide.num_elements());
      }));
  Operand bias;
  if (s->bias) {
    CAMEO_ASSIGN(bias, b.input_as(s->bias, s->type));
  }
  b.add(std::make_unique<StemOperation>(s->args, traits_of(b.device()), x, weights, bias, b.output(0)));
  return {};
}

}  // namespace cameo::cuda
