// Convolutions of 8 bits that take over what is next to them:
//  - One that adds another of 1x1, whose float result nothing else reads, as one sum of kernels/quantized_product.h. A residual block's
//    projection is neither rounded, written nor read.
//  - An image's first one with the rounding of the image before it and the max pool behind it (kernels/stem.h).
#include <algorithm>
#include <cmath>

#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/ops/quantized.h"
#include "backends/cuda/stem_convolution.h"
#include "backends/cuda/tuning.h"
#include "ops/channels_last.h"
#include "ops/convolve.h"

namespace cameo::cuda {
namespace {

using Activation = QuantizedProductArgs::Activation;

Result<ops::PointProgram> program_of_node(const ir::Node& node) {
  const Attributes attrs(*node.attrs);
  return ops::decode_point_program(static_cast<int>(node.inputs.size() - ops::kQuantizedOperands) + 1, attrs.integers("program"),
                                   attrs.reals("constants"));
}

// A part of a sum: x_scale * w_scale[c] * sum of ((x - x_zero) * w), plus a bias.
struct Part {
  QuantizedProblem problem;
  const int8_t* weight = nullptr;
  const float *scale = nullptr, *bias = nullptr;

  double unit(int64_t column) const { return static_cast<double>(problem.x_scale) * scale[column]; }
  bool has_weights(int64_t column) const {
    for (int64_t r = 0; r < problem.k; ++r)
      if (ops::packed_weight(weight, problem.k, r, column) != 0) return true;
    return false;
  }
  // What it adds besides the products of bytes.
  double constant(int64_t column, int64_t zero) const {
    int64_t sum = 0;
    for (int64_t r = 0; zero != 0 && r < problem.k; ++r) sum += ops::packed_weight(weight, problem.k, r, column);
    return (bias ? bias[column] : 0) - static_cast<double>(sum * zero) * unit(column);
  }
};

// The node whose inputs are the step's from `first` on. None where it has groups or its numbers are not known.
std::optional<Part> part_of(const StepBuilder& b, const ir::Node& node, size_t first, const Dims& x, const Dims& y, size_t bias) {
  auto problem = quantized_convolution(Attributes(*node.attrs), x, y);
  if (!problem.ok() || problem->depthwise || problem->k == 0 || problem->n == 0 || problem->rows == 0) return std::nullopt;
  const Tensor *w = b.value(first + 1), *scale = b.value(first + 2), *addend = bias ? b.value(bias) : nullptr;
  if (!w || !scale || (bias && !addend)) return std::nullopt;
  if (w->dtype() != DType::kInt8 || w->num_elements() != (problem->n + 15) / 16 * ((problem->k + 3) / 4) * 64 ||
      scale->num_elements() != problem->n || (addend && (addend->dtype() != DType::kFloat32 || addend->num_elements() != problem->n)))
    return std::nullopt;
  return Part{*std::move(problem), w->data<int8_t>(), scale->data<float>(), addend ? addend->data<float>() : nullptr};
}

struct Joined {
  Part first, second;
  QuantizedProductArgs args;
  QuantizedFactors factors;
  std::vector<float> scale, ratio;  // by column
};

// How the kernel's units follow from those of both parts. False where a whole number of the second one's is too coarse for the first, or
// sums leave int32.
bool set_units(Joined& j, bool bytes) {
  const int64_t n = j.first.problem.n;
  j.scale.assign(static_cast<size_t>(padded_columns(n)), 0);
  j.ratio = j.scale;
  for (int64_t c = 0; c < n; ++c) {
    const double one = j.first.unit(c), two = j.second.has_weights(c) ? j.second.unit(c) : one;
    const double ratio = j.first.has_weights(c) ? one / two : 0, scale = two * j.factors.unit;
    constexpr double kMostProduct = 255 * 128, kMostSum = 2147483647, kFine = 1. / 16;
    if (!(std::isfinite(ratio) && std::isnormal(static_cast<float>(scale)))) return false;
    if (!(kMostProduct * (j.first.problem.k * std::fabs(ratio) + j.second.problem.k) < kMostSum)) return false;
    if (ratio != 0 && std::fabs(ratio) < kFine && !(bytes && std::fabs(scale) < kFine)) return false;
    j.scale[static_cast<size_t>(c)] = static_cast<float>(scale);
    j.ratio[static_cast<size_t>(c)] = static_cast<float>(ratio);
  }
  return true;
}

std::optional<Joined> match(StepBuilder& b) {
  const ir::Node &node = b.node(), &other = *b.shortcut();
  const Tuning* tuning = Tuning::current();
  if (!b.device().has_gpu() || b.device().info().arch() != 90 || (tuning && !tuning->measures()) || !b.has_input(kShortcutInput + 2))
    return std::nullopt;
  const Operand y = b.output(0);
  const auto program = program_of_node(node), linear = program_of_node(other);
  if (!program.ok() || !linear.ok() || y.dims.rank() != 4 || Attributes(*other.attrs).integer("y_type", 1) != 1) return std::nullopt;
  const LinearEpilogue e = match_linear_epilogue(b, *program, ops::kQuantizedOperands, y.dims);
  if (!e.whole || !e.addend || node.inputs[e.addend] != other.outputs[0]) return std::nullopt;
  // The other adds a bias at most.
  size_t bias = 0;
  if (!linear->code.empty()) {
    const ops::PointInstruction& in = linear->code[0];
    if (linear->code.size() > 1 || in.op != ops::PointOp::kAdd || std::min(in.a, in.b) != 0 || std::max(in.a, in.b) != 1)
      return std::nullopt;
    bias = kShortcutInput + ops::kQuantizedOperands;
  }
  if (other.inputs.size() != ops::kQuantizedOperands + linear->code.size()) return std::nullopt;
  const auto first = part_of(b, node, 0, b.in_dims(0), y.dims, e.bias);
  const auto second = part_of(b, other, kShortcutInput, b.in_dims(kShortcutInput), y.dims, bias);
  if (!first || !second || first->problem.is_bytes(e.addend - ops::kQuantizedOperands)) return std::nullopt;
  const QuantizedProblem& p = second->problem;
  if (p.taps != 1 || p.window.rank != 2 || first->problem.window.rank != 2 || p.n != first->problem.n) return std::nullopt;
  for (const ops::WindowAxis& axis : {p.window.axes[0], p.window.axes[1]})
    if (axis.begin != 0 || axis.end != 0) return std::nullopt;
  Joined j{*first, *second, {}, {}, {}, {}};
  QuantizedProductArgs& a = j.args;
  QuantizedProductArgs behind;
  if (!set_windows(a, first->problem) || !set_windows(behind, p)) return std::nullopt;
  a.n = static_cast<int32_t>(p.n);
  a.behind = {
      .in_h = behind.in_h, .in_w = behind.in_w, .channels = behind.channels, .stride_h = behind.stride_h, .stride_w = behind.stride_w};
  LinearEpilogue without = e;
  without.addend = 0;
  j.factors = set_epilogue(a, first->problem, without, y.dtype);
  const auto x = b.input(0), x_behind = b.input(kShortcutInput);
  if (!x.ok() || !x_behind.ok() || x->dtype != x_behind->dtype) return std::nullopt;
  for (const Operand* o : {&*x, &*x_behind, &y})
    if (o->channels_first || o->pitch != 0 || o->kind == Operand::Kind::kFixed) return std::nullopt;
  a.x_type = element_of(x->dtype);
  a.y_type = element_of(y.dtype);
  if ((a.x_type != Element::kUint8 && a.x_type != Element::kInt8) || a.y_type == Element::kNone) return std::nullopt;
  if (!set_units(j, a.y_type <= Element::kInt8)) return std::nullopt;
  return quantized_product_refusal(a, traits_of(b.device())) ? std::nullopt : std::optional(std::move(j));
}

Result<Operand> constant_of(StepBuilder& b, std::span<const float> values) {
  CAMEO_ASSIGN(Tensor t, Tensor::allocate(DType::kFloat32, {static_cast<int64_t>(values.size())}));
  std::copy(values.begin(), values.end(), t.data<float>());
  return b.constant(t);
}

}  // namespace

bool takes_quantized_shortcut(StepBuilder& b) { return match(b).has_value(); }

Status quantized_with_shortcut(StepBuilder& b) {
  const auto j = match(b);
  if (!j) return error(ErrorCode::kUnsupported, "the two convolutions are not one sum");
  const QuantizedProblem &p = j->first.problem, &q = j->second.problem;
  QuantizedOperands o;
  CAMEO_ASSIGN(o.x, b.input(0));
  CAMEO_ASSIGN(o.x_behind, b.input(kShortcutInput));
  const Tensor& behind = *b.value(kShortcutInput + 1);
  const int64_t first = j->args.first_behind(), rows = j->args.weight_rows();
  CAMEO_ASSIGN(
      o.w, b.prepared(1, fmt::format("tiles of {} x {} before {}", rows, p.n, behind.raw()), DType::kInt8,
                      Dims{quantized_weight_bytes(p.n, rows)}, [&](StepBuilder& inner, const Operand& from, const Operand& to) -> Status {
                        CAMEO_ASSIGN(const Operand other, inner.constant(behind));
                        return tile_weight(inner, to, rows, p.n, [&](Source& s, const std::string& row, const std::string& column) {
                          const std::string split = s.number(first), k = s.number(p.k);
                          return fmt::format("({0} < {1} ? {2} : {0} < {3} ? (int)0 : (int){4})", row, k,
                                             "(int)" + s.load(from, packed_index(s, p.k, row, column)), split,
                                             s.load(other, packed_index(s, q.k, "(" + row + " - " + split + ")", column)));
                        });
                      }));
  std::vector<float> bias(j->scale.size(), 0);
  for (int64_t c = 0; c < p.n; ++c)
    bias[static_cast<size_t>(c)] =
        static_cast<float>((j->first.constant(c, p.x_zero) + j->second.constant(c, q.x_zero)) * j->factors.unit + j->factors.offset);
  CAMEO_ASSIGN(o.scale, constant_of(b, j->scale));
  CAMEO_ASSIGN(o.ratio, constant_of(b, j->ratio));
  CAMEO_ASSIGN(o.bias, constant_of(b, bias));
  o.y = b.output(0);
  CAMEO_ASSIGN(std::unique_ptr<Operation> product, make_quantized_product(b, j->args, o));
  if (!product) return error(ErrorCode::kUnsupported, "no kernel was found for two convolutions in one");
  b.add(std::move(product));
  return {};
}

namespace {

constexpr int64_t kTaps = 7, kColumns = 8, kPixel = 4;  // of the kernel, and how its weights are laid out

struct Stem {
  Part part;
  StemBytesArgs args;
  QuantizedFactors factors;
  int64_t zero = 0;  // of the image's bytes as uint8
};

std::optional<Stem> match_stem(StepBuilder& b) {
  const ir::Node& node = b.node();
  const Attributes attrs(*node.attrs), pool(*b.pool()->attrs);
  const auto x = b.input(0);
  const Operand y = b.output(0);
  const DType rounded = b.rounded(0);
  if (!b.device().has_gpu() || !x.ok() || x->dtype != DType::kFloat32 || (rounded != DType::kUint8 && rounded != DType::kInt8) ||
      b.value(0) || (y.dtype != DType::kUint8 && y.dtype != DType::kInt8) || y.dims.rank() != 4 || y.dims.num_elements() == 0)
    return std::nullopt;
  const auto program = program_of_node(node);
  if (!program.ok()) return std::nullopt;
  const LinearEpilogue e = match_linear_epilogue(b, *program, ops::kQuantizedOperands, y.dims);
  if (!e.whole || e.addend) return std::nullopt;
  const Dims in = ops::channels_first(x->dims), out = ops::channels_first(y.dims);
  const auto stem = stem_extents(attrs, pool, in, Dims{attrs.integer("n"), attrs.integer("channels"), kTaps, kTaps}, out);
  if (!stem) return std::nullopt;
  // The convolution's own result is the pool's input.
  const auto part = part_of(b, node, 0, x->dims, Dims{in[0], stem->conv_height, stem->conv_width, out[1]}, e.bias);
  if (!part || part->problem.channels != in[1]) return std::nullopt;
  QuantizedProductArgs a;
  Stem s{*part, {}, set_epilogue(a, part->problem, e, y.dtype), 0};
  if (a.activation != Activation::kNone && a.activation != Activation::kClamp) return std::nullopt;
  const float least = y.dtype == DType::kUint8 ? 0 : -128;
  s.zero = part->problem.x_zero + (rounded == DType::kInt8 ? 128 : 0);
  s.args.stem = *stem;
  s.args.stem.channels_first = x->channels_first;
  s.args.stem.dependent = b.device().info().arch() >= 90;
  s.args.x_factor = 1 / part->problem.x_scale;
  s.args.x_zero = static_cast<int32_t>(s.zero);
  // Limits that are no whole numbers would be rounded before the pool.
  const bool clamps = a.activation == Activation::kClamp;
  s.args.low = clamps ? std::nearbyint(a.low) : least;
  s.args.high = clamps ? std::nearbyint(a.high) : least + 255;
  return stem_bytes_refusal(s.args, traits_of(b.device())) ? std::nullopt : std::optional(std::move(s));
}

class StemBytesOperation final : public Operation {
 public:
  StemBytesOperation(const StemBytesArgs& args, const DeviceTraits& traits, const Operand& x, const Operand& w, const Operand& scale,
                     const Operand& bias, const Operand& y)
      : args_(args), traits_(traits), x_(x), w_(w), scale_(scale), bias_(bias), y_(y) {}
  Status run(const Addresses& at, cudaStream_t stream) override {
    args_.stem.x = at.of(x_);
    args_.stem.w = at.of(w_);
    args_.scale = static_cast<const float*>(at.of(scale_));
    args_.bias = static_cast<const float*>(at.of(bias_));
    args_.stem.y = at.of(y_);
    return check(stem_bytes(args_, traits_, stream), "a convolution and a pool of 8 bits");
  }

 private:
  StemBytesArgs args_;
  const DeviceTraits traits_;
  const Operand x_, w_, scale_, bias_, y_;
};

}  // namespace

bool takes_quantized_pool(StepBuilder& b) { return match_stem(b).has_value(); }

Status quantized_with_pool(StepBuilder& b) {
  const auto s = match_stem(b);
  if (!s) return error(ErrorCode::kUnsupported, "no kernel does the convolution and the pool");
  const QuantizedProblem& p = s->part.problem;
  CAMEO_ASSIGN(const Operand x, b.input(0));
  CAMEO_ASSIGN(Tensor weights, Tensor::allocate(DType::kInt8, {p.n, kTaps, kColumns, kPixel}));
  std::fill_n(weights.data<int8_t>(), weights.num_elements(), int8_t{0});
  std::vector<float> scale(static_cast<size_t>(p.n)), bias(scale);
  for (int64_t c = 0; c < p.n; ++c) {
    for (int64_t k = 0; k < p.k; ++k) {
      const int64_t tap = k / p.channels, at = ((c * kTaps + tap / kTaps) * kColumns + tap % kTaps) * kPixel + k % p.channels;
      weights.data<int8_t>()[at] = ops::packed_weight(s->part.weight, p.k, k, c);
    }
    scale[static_cast<size_t>(c)] = static_cast<float>(s->part.unit(c) * s->factors.unit);
    bias[static_cast<size_t>(c)] = static_cast<float>(s->part.constant(c, s->zero) * s->factors.unit + s->factors.offset);
  }
  CAMEO_ASSIGN(const Operand w, b.constant(weights));
  CAMEO_ASSIGN(const Operand scales, constant_of(b, scale));
  CAMEO_ASSIGN(const Operand biases, constant_of(b, bias));
  b.add(std::make_unique<StemBytesOperation>(s->args, traits_of(b.device()), x, w, scales, biases, b.output(0)));
  return {};
}

}  // namespace cameo::cuda
