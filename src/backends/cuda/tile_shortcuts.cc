// Two convolutions that are added, the second one of 1x1, as one sum of kernels/tile_gemm.h: over the columns of the first one's
// windows and behind them the channels of the other's image. So a residual block's projection needs no step of its own, and what it
// gives is neither written nor read.
#include "backends/cuda/ops/windows.h"
#include "backends/cuda/tile_products.h"
#include "backends/cuda/tuning.h"
#include "ops/channels_last.h"
#include "ops/convolve.h"

namespace cameo::cuda {
namespace {

struct Joined {
  TileProblem problem;        // without weights and bias
  size_t biases[2] = {0, 0};  // inputs of the step; 0: none
};

// The extents of a convolution with the channels last, channels first, and its windows. None where it has groups or other than two
// axes, or the weights are no constant.
std::optional<TileConvolution> convolution_of(const StepBuilder& b, const ir::Node& node, size_t first_input, const Dims& y) {
  const Attributes attrs(*node.attrs);
  if (attrs.integer("channels_last") == 0 || attrs.integer("group", 1) != 1 || y.rank() != 4 || !b.value(first_input + 1))
    return std::nullopt;
  TileConvolution c{ops::channels_first(b.in_dims(first_input)), b.in_dims(first_input + 1), ops::channels_first(y), {}};
  const auto geometry = ops::ConvGeometry::make(window_attrs(attrs), 1, c.x, c.w, c.y);
  if (!geometry.ok() || c.y.num_elements() == 0) return std::nullopt;
  c.window = geometry->window;
  return c;
}

Result<ops::PointProgram> program_of_node(const ir::Node& node) {
  const Attributes attrs(*node.attrs);
  return ops::decode_point_program(static_cast<int>(node.inputs.size()) - 1, attrs.integers("program"), attrs.reals("constants"));
}

std::optional<Joined> match(StepBuilder& b) {
  const ir::Node &node = b.node(), &other = *b.shortcut();
  const Tuning* tuning = Tuning::current();
  const DType type = b.in_type(0) == DType::kFloat32 ? activation_type(b.precision()) : b.in_type(0);
  // Measured on Hopper alone, where kernels/wide_product.h is.
  if (!b.device().has_gpu() || b.device().info().arch() != 90 || (tuning && !tuning->measures()) || !b.has_input(kShortcutInput + 1))
    return std::nullopt;
  const Operand y = b.output(0);
  const auto first = convolution_of(b, node, 0, y.dims), second = convolution_of(b, other, kShortcutInput, y.dims);
  if (!first || !second) return std::nullopt;
  const auto window = tile_window(*first), behind = tile_window(*second);
  if (!window || !behind || behind->kernel_height != 1 || behind->kernel_width != 1 || behind->pad_top != 0 || behind->pad_left != 0)
    return std::nullopt;
  // What the first one does with its sums: the other's result comes before the activation.
  const auto program = program_of_node(node);
  if (!program.ok()) return std::nullopt;
  const auto epilogue = match_tile_epilogue(b, *program, y.dims);
  if (!epilogue || !epilogue->addend || node.inputs[epilogue->addend] != other.outputs[0]) return std::nullopt;
  if (epilogue->activation != TileActivation::kNone && !epilogue->addend_first) return std::nullopt;
  // The other adds a bias at most.
  const auto linear = program_of_node(other);
  if (!linear.ok() || linear->code.size() > 1 || other.inputs.size() != 2 + linear->code.size()) return std::nullopt;
  Joined j;
  if (epilogue->bias) j.biases[0] = epilogue->bias;
  if (!linear->code.empty()) {
    const ops::PointInstruction& in = linear->code[0];
    if (in.op != ops::PointOp::kAdd || std::min(in.a, in.b) != 0 || std::max(in.a, in.b) != 1) return std::nullopt;
    j.biases[1] = kShortcutInput + 2;
  }
  for (const size_t bias : j.biases)
    if (bias && (!b.value(bias) || b.in_dims(bias).num_elements() != y.dims.back())) return std::nullopt;
  TileProblem& p = j.problem;
  const auto image = [&](size_t input) { return b.input(input); };
  const auto x = image(0), x_behind = image(kShortcutInput);
  if (!x.ok() || !x_behind.ok()) return std::nullopt;
  for (const Operand* o : {&*x, &*x_behind, &y})
    if (o->dtype != type || o->channels_first || o->pitch != 0 || o->kind == Operand::Kind::kFixed) return std::nullopt;
  p.x = *x;
  p.x_behind = *x_behind;
  p.y = y;
  p.m = first->y.num_elements() / first->y[1];
  p.n = first->y[1];
  p.k = first->w.num_elements() / first->w[0] + second->x[1];
  p.window = window;
  p.behind = {.height = behind->height,
              .width = behind->width,
              .channels = behind->channels,
              .stride_h = behind->stride_h,
              .stride_w = behind->stride_w};
  p.activation = epilogue->activation;
  p.w = {.kind = Operand::Kind::kFixed, .dtype = type};
  return tiles_take(b.device(), p) ? std::optional(j) : std::nullopt;
}

}  // namespace

bool takes_shortcut(StepBuilder& b) { return match(b).has_value(); }

Status convolve_with_shortcut(StepBuilder& b) {
  auto joined = match(b);
  if (!joined) return error(ErrorCode::kUnsupported, "the two convolutions are not one sum");
  TileProblem& p = joined->problem;
  const DType type = p.x.dtype;
  // Weights [M, C, R, S] and [M, C'] as rows of R S C + C'.
  const Dims w = b.in_dims(1);
  const Tensor& w_behind = *b.value(kShortcutInput + 1);
  const std::string form = fmt::format("channels last {} before {}", dtype_name(type), w_behind.raw());
  CAMEO_ASSIGN(p.w, b.prepared(1, form, type, Dims{p.n, p.k}, [&](StepBuilder& inner, const Operand& from, Operand to) -> Status {
    to.narrowed = type != from.dtype;
    CAMEO_ASSIGN(const Operand behind, inner.constant(w_behind));
    const int64_t channels = w[1], taps = w[2] * w[3], columns = taps * channels;
    Source s;
    const auto at = s.unravel("i", Dims{p.n, p.k});
    const std::string c = at[1], split = s.number(columns);
    s.line(fmt::format("const I tap = {}, channel = {} - tap * {};", s.quotient(c, channels), c, s.number(channels)));
    s.line(fmt::format("const I inside = ({} * {} + channel) * {} + tap, outside = {} * {} + {} - {};", at[0], s.number(channels),
                       s.number(taps), at[0], s.number(p.k - columns), c, split));
    s.store(to, "i", fmt::format("{} < {} ? {} : {}", c, split, s.load(from, "inside"), s.load(behind, "outside")));
    return s.launch_elements(inner, p.n * p.k);
  }));
  const auto [one, two] = joined->biases;
  if (one && two) {
    const Tensor& second = *b.value(two);
    CAMEO_ASSIGN(p.bias, b.prepared(one, fmt::format("{} and {}", dtype_name(type), second.raw()), type, Dims{p.n},
                                    [&](StepBuilder& inner, const Operand& from, Operand to) -> Status {
                                      to.narrowed = type != from.dtype;
                                      CAMEO_ASSIGN(const Operand other, inner.constant(second));
                                      const Operand both[] = {from.seen_as(Dims{p.n}), other.seen_as(Dims{p.n})};
                                      return map(inner, to, both,
                                                 [](Source&, std::span<const std::string> v) { return v[0] + " + " + v[1]; });
                                    }));
  } else if (one || two) {
    CAMEO_ASSIGN(p.bias, b.input_as(one ? one : two, type));
  }
  CAMEO_ASSIGN(const bool done, try_tiles(b, p, [] { return Result<double>(0.0); }));
  if (!done) return error(ErrorCode::kUnsupported, "no kernel was found for two convolutions in one");
  return {};
}

}  // namespace cameo::cuda
