// Conv, ConvTranspose and ai.cameo.Conv. Variants:
//   cuDNN    with bias, addend and Relu fused where it has that
//   product  1x1 convolutions over channels that are the last axis are matrix products
//   tiles    our own, in 16 bits with the channels last, where it is measured to be faster than these
//   direct   a thread for each element of the output: depthwise ones, and what the others lack
#include <algorithm>

#include "backends/cuda/convolution.h"
#include "backends/cuda/gemm.h"
#include "backends/cuda/ops/depthwise.h"
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/ops/windows.h"
#include "backends/cuda/program.h"
#include "backends/cuda/stem_convolution.h"
#include "backends/cuda/tile_products.h"
#include "ops/channels_last.h"
#include "ops/convolve.h"

namespace cameo::cuda {
namespace {

struct Problem {
  Dims x, w, y;  // channels first
  ops::Window window;
  int64_t group = 1;
  bool last = false;
};

// y = program(conv(x, w) + bias): the program is the identity where it is empty.
Status direct(StepBuilder& b, const Problem& p, const Operand& x, const Operand& w, const Operand* bias, const ops::PointProgram& program,
              const Operand& y) {
  Source s;
  const auto at = s.unravel("i", y.dims);
  const std::string batch = at[0], channel = p.last ? at.back() : at[1];
  const std::vector<std::string> where(at.begin() + (p.last ? 1 : 2), at.end() - (p.last ? 1 : 0));
  const int64_t channels = p.w[1], per_group = p.y[1] / p.group;
  const std::string type = b.in_type(0) == DType::kFloat64 ? "double" : "float";
  s.line(fmt::format("const I m = {};", channel));
  s.line(fmt::format("const I first = {} * {};", s.quotient("m", per_group), s.number(channels)));
  s.line(fmt::format("{} acc = 0;", type));
  const Taps taps = open_taps(s, p.window, {p.x.data() + 2, p.window.rank}, where);
  std::vector<std::string> source = {batch};
  if (!p.last) source.push_back("first");
  source.insert(source.end(), taps.position.begin(), taps.position.end());
  if (p.last) source.push_back("first");
  const Dims x_strides = dense_strides(x.dims), w_strides = dense_strides(p.w);
  std::vector<std::string> tap = {"m", "0"};
  tap.insert(tap.end(), taps.tap.begin(), taps.tap.end());
  s.line(fmt::format("const I ix = {}, iw = {};", s.offset(source, x_strides), s.offset(tap, w_strides)));
  const int64_t x_step = p.last ? 1 : x_strides[1];
  s.line(fmt::format("for (I c = 0; c < {}; ++c) acc += {} * {};", s.number(channels),
                     s.load(x, fmt::format("ix + c * {}", s.number(x_step))),
                     s.load(w, fmt::format("iw + c * {}", s.number(w_strides[1])))));
  close_taps(s, p.window);
  if (bias) s.line(fmt::format("acc += {};", s.load(*bias, "m")));
  std::vector<std::string> values = {"acc"};
  for (size_t k = 2; !program.code.empty() && k < b.num_inputs(); ++k) {
    CAMEO_ASSIGN(Operand o, b.input(k));
    values.push_back(s.load(o, s.offset(at, broadcast(o, y.dims).strides)));
  }
  const std::string result = program.code.empty() ? "acc" : emit_program(s, program, values, y.dtype);
  s.store(y, "i", result);
  return s.launch_elements(b, y.dims.num_elements());
}

// What a convolution can take into itself from the start of a program: a bias, an addend, Relu.
struct Epilogue {
  size_t bias = 0, addend = 0, instructions = 0;
  bool relu = false;
};

Epilogue match(const StepBuilder& b, const ops::PointProgram& program, const Dims& y, size_t channel_axis) {
  Epilogue e;
  const auto inputs = static_cast<int16_t>(program.num_inputs);
  for (size_t i = 0; i < program.code.size(); ++i) {
    const ops::PointInstruction& in = program.code[i];
    const int16_t made = i == 0 ? int16_t{0} : static_cast<int16_t>(inputs + i - 1);
    int uses = 0;
    for (const ops::PointInstruction& other : program.code) {
      const int operands = ops::num_operands(other.op);
      uses += (other.a == made) + (operands > 1 && other.b == made) + (operands > 2 && other.c == made);
    }
    if (uses != 1) break;
    if (in.op == ops::PointOp::kRelu) {
      e.relu = true;
      e.instructions = i + 1;
      break;
    }
    if (in.op != ops::PointOp::kAdd || (in.a != made && in.b != made)) break;
    const int16_t other = in.a == made ? in.b : in.a;
    if (other <= 0 || other >= inputs) break;
    const size_t input = static_cast<size_t>(other) + 1;
    const Strided s = broadcast({.kind = Operand::Kind::kInput, .dims = b.in_dims(input)}, y);
    bool per_channel = b.in_dims(input).num_elements() == y[channel_axis] && s.strides[channel_axis] == 1;
    if (!e.bias && per_channel)
      e.bias = input;
    else if (!e.addend && b.in_dims(input).num_elements() == y.num_elements())
      e.addend = input;
    else
      break;
    e.instructions = i + 1;
  }
  return e;
}

// The program from its instruction `done` on; register 0 is what the instructions before made.
ops::PointProgram rest_of(const ops::PointProgram& program, size_t done) {
  ops::PointProgram rest = program;
  if (done == 0) return rest;
  rest.code.erase(rest.code.begin(), rest.code.begin() + static_cast<ptrdiff_t>(done));
  const auto last = static_cast<int16_t>(program.num_inputs + static_cast<int>(done) - 1);
  for (ops::PointInstruction& in : rest.code)
    for (int16_t* operand : {&in.a, &in.b, &in.c})
      if (*operand == last)
        *operand = 0;
      else if (*operand > last)
        *operand = static_cast<int16_t>(*operand - static_cast<int16_t>(done));
  return rest;
}

Result<Operand> weights(StepBuilder& b, DType type, bool last) {
  if (!last) return b.input_as(1, type);
  const Dims w = b.in_dims(1), dims = ops::channels_last(w);
  std::vector<int64_t> perm = {0};
  for (size_t i = 2; i < w.rank(); ++i) perm.push_back(static_cast<int64_t>(i));
  perm.push_back(1);
  if (b.value(1))
    return b.prepared(1, "channels last " + std::string(dtype_name(type)), type, dims,
                      [&](StepBuilder& inner, const Operand& from, Operand to) {
                        to.narrowed = type != from.dtype;
                        return transpose(inner, from, to, perm);
                      });
  CAMEO_ASSIGN(Operand from, b.input(1));
  Operand to = b.scratch(type, dims);
  to.narrowed = type != from.dtype;
  CAMEO_TRY(transpose(b, from, to, perm));
  return to;
}

// Input 0 with the elements in the order of its extents, of that type.
Result<Operand> image_as(StepBuilder& b, DType type) {
  CAMEO_ASSIGN(const Operand x, b.input(0));
  if (!x.channels_first) return b.input_as(0, type);
  Operand turned = b.scratch(type, x.dims), planes = x.seen_as(ops::channels_first(x.dims));
  turned.narrowed = type != x.dtype;
  planes.channels_first = false;
  std::vector<int64_t> perm = {0};
  for (size_t i = 2; i < x.dims.rank(); ++i) perm.push_back(static_cast<int64_t>(i));
  perm.push_back(1);
  CAMEO_TRY(transpose(b, planes, turned, perm));
  return turned;
}
Result<Operand> image(StepBuilder& b) {
  CAMEO_ASSIGN(const Operand x, b.input(0));
  return image_as(b, x.dtype);
}

Status convolve(StepBuilder& b, const Problem& p, size_t bias_input, const ops::PointProgram& program) {
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  const DType type = b.in_type(0) == DType::kFloat32 ? activation_type(b.precision()) : b.in_type(0);
  const bool depthwise = p.group > 1 && p.w[1] == 1;
  const bool library = b.device().has_gpu() && !depthwise && p.x.num_elements() > 0 && type != DType::kFloat64 && p.window.rank <= 3 &&
                       (y.dtype == type || (type != DType::kFloat32 && y.dtype == DType::kFloat32));
  if (!library) {
    CAMEO_ASSIGN(Operand x, image(b));
    if (depthwise && p.last && bias_input == 0) {
      CAMEO_ASSIGN(const bool done, try_depthwise(b, p.w, p.window, x, program, y));
      if (done) return {};
    }
    CAMEO_ASSIGN(Operand w, b.input(1));
    if (bias_input == 0) return direct(b, p, x, w, nullptr, program, y);
    CAMEO_ASSIGN(Operand bias, b.input(bias_input));
    return direct(b, p, x, w, &bias, program, y);
  }
  const size_t channel_axis = p.last ? y.dims.rank() - 1 : 1;
  Epilogue e = match(b, program, y.dims, channel_axis);
  if (bias_input) e.bias = bias_input;
  Convolution c;
  // cuDNN writes 16 bits for operands of 16 bits; where 32 are wanted they come from a copy.
  Operand result = y;
  if (y.dtype != type) {
    result = b.scratch(type, y.dims);
    result.narrowed = true;
  }
  const TileConvolution by_tiles{p.x, p.w, p.y, p.window};
  const auto whole = match_tile_epilogue(b, program, y.dims);
  const bool may_tile = whole && y.dtype == type && !bias_input && p.last && p.group == 1;
  const bool few_channels = may_tile && by_tiles.few_channels();
  CAMEO_ASSIGN(c.x, few_channels ? b.input(0) : image_as(b, type));
  CAMEO_ASSIGN(c.w, weights(b, type, p.last));
  bool pointwise = p.last && p.group == 1;
  for (size_t a = 0; a < p.window.rank; ++a) {
    const ops::WindowAxis& axis = p.window.axes[a];
    c.strides.push_back(axis.stride);
    c.dilations.push_back(axis.dilation);
    c.pads_begin.push_back(axis.begin);
    c.pads_end.push_back(axis.end);
    pointwise = pointwise && axis.kernel == 1 && axis.stride == 1 && axis.begin == 0 && p.x[a + 2] == p.y[a + 2];
  }
  const auto operands = [&](Operand& bias, Operand& addend) -> Status {
    if (e.bias) {
      CAMEO_ASSIGN(bias, b.input_as(e.bias, type));
    }
    if (e.addend) {
      CAMEO_ASSIGN(addend, b.input_as(e.addend, type));
    }
    return {};
  };
  CAMEO_TRY(operands(c.bias, c.addend));
  c.relu = e.relu;
  Gemm g;
  if (pointwise) {
    g.m = p.y.num_elements() / p.y[1];
    g.n = p.y[1];
    g.k = p.x[1];
    g.a = c.x;
    g.b = c.w;
    g.trans_b = true;
    g.y = result;
    g.bias = c.bias;
    g.addend = c.addend;
    g.activation = e.relu ? Gemm::Activation::kRelu : Gemm::Activation::kNone;
  }
  c.y = result;
  c.x_dims = p.x;
  c.w_dims = p.w;
  c.y_dims = p.y;
  c.channels_last = p.last;
  c.group = p.group;
  const auto before_tiles = b.mark();
  std::optional<TileProblem> tiled;
  if (may_tile) {
    CAMEO_ASSIGN(tiled, convolution_by_tiles(b, by_tiles, c.x, c.w, result));
  }
  if (tiled) {
    TileProblem& t = *tiled;
    t.activation = whole->activation;
    t.addend_first = whole->addend_first;
    if (whole->bias) {
      CAMEO_ASSIGN(t.bias, b.input_as(whole->bias, type));
    }
    if (whole->addend) {
      CAMEO_ASSIGN(t.addend, b.input_as(whole->addend, type));
    }
    CAMEO_ASSIGN(const bool done, try_tiles(b, t, [&]() -> Result<double> {
                   const auto before = b.mark();
                   double time = 0;
                   if (few_channels) {
                     CAMEO_ASSIGN(c.x, image_as(b, type));
                   }
                   if (pointwise) {
                     CAMEO_TRY(make_gemm(b, g, &time));
                   } else if (auto made = make_convolution(b, c, &time); !made.ok()) {
                     if (made.error().code() != ErrorCode::kUnsupported) return std::move(made).error();
                   }
                   b.back_to(before);
                   if (time > 0 && e.instructions < program.code.size()) time += pass_microseconds(t.m * t.n);
                   return time;
                 }));
    if (done) return {};
    b.back_to(before_tiles);
  }
  if (few_channels) {
    CAMEO_ASSIGN(c.x, image_as(b, type));
  }
  if (pointwise) {
    CAMEO_TRY(add_gemm(b, g));
    return apply_program(b, rest_of(program, e.instructions), result, 2, y);
  }
  Status added = add_convolution(b, c);
  if (added.ok()) return apply_program(b, rest_of(program, e.instructions), result, 2, y);
  if (added.error().code() != ErrorCode::kUnsupported) return added;
  // The convolution alone, and everything else behind it.
  c.bias = c.addend = Operand();
  c.relu = false;
  added = add_convolution(b, c);
  if (!added.ok()) {
    if (added.error().code() != ErrorCode::kUnsupported) return added;
    CAMEO_ASSIGN(Operand x, image(b));
    CAMEO_ASSIGN(Operand w, b.input(1));
    if (bias_input == 0) return direct(b, p, x, w, nullptr, program, y);
    CAMEO_ASSIGN(Operand bias, b.input(bias_input));
    return direct(b, p, x, w, &bias, program, y);
  }
  if (bias_input) {
    CAMEO_ASSIGN(Operand bias, b.input(bias_input));
    bias.dims = Dims(result.dims.rank(), 1);
    bias.dims[channel_axis] = p.y[1];
    const Operand both[] = {result, bias};
    return map(b, y, both, [](Source&, std::span<const std::string> v) { return v[0] + " + " + v[1]; });
  }
  return apply_program(b, program, result, 2, y);
}

Result<Problem> problem_of(StepBuilder& b, bool last) {
  Problem p;
  p.last = last;
  p.x = last ? ops::channels_first(b.in_dims(0)) : b.in_dims(0);
  p.y = last ? ops::channels_first(b.out_dims(0)) : b.out_dims(0);
  p.w = b.in_dims(1);
  p.group = b.attrs().integer("group", 1);
  CAMEO_ASSIGN(const ops::ConvGeometry g, ops::ConvGeometry::make(window_attrs(b), p.group, p.x, p.w, p.y));
  p.window = g.window;
  return p;
}

Status make_conv(StepBuilder& b) {
  CAMEO_ASSIGN(const Problem p, problem_of(b, false));
  return convolve(b, p, b.has_input(2) ? 2 : 0, {});
}

Status make_fused(StepBuilder& b) {
  if (b.shortcut()) return convolve_with_shortcut(b);
  if (b.pool()) return convolve_and_pool(b);
  CAMEO_ASSIGN(const ops::PointProgram program, program_of(b, 2));
  CAMEO_ASSIGN(const Problem p, problem_of(b, b.attrs().integer("channels_last") != 0));
  return convolve(b, p, 0, program);
}

// A thread gathers what goes into its element of the output.
Status make_transposed(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand w, b.input(1));
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  const int64_t group = b.attrs().integer("group", 1), channels = x.dims[1] / group, per_group = w.dims[1];
  const size_t rank = x.dims.rank() - 2;
  const auto attrs = window_attrs(b);
  const auto padding = b.attrs().integers("output_padding");
  const bool given_shape = !b.attrs().integers("output_shape").empty();
  Source s;
  const auto at = s.unravel("i", y.dims);
  s.line(fmt::format("const I m = {}, g = {};", at[1], s.quotient("(" + at[1] + ")", per_group)));
  s.line(fmt::format("const I inner = m - g * {}, first = g * {};", s.number(per_group), s.number(channels)));
  s.line(fmt::format("{} acc = 0;", b.in_type(0) == DType::kFloat64 ? "double" : "float"));
  std::vector<std::string> source = {at[0], "first"}, tap = {"first", "inner"};
  for (size_t a = 0; a < rank; ++a) {
    const int64_t kernel = w.dims[a + 2], stride = attrs.strides.empty() ? 1 : attrs.strides[a],
                  dilation = attrs.dilations.empty() ? 1 : attrs.dilations[a], more = padding.empty() ? 0 : padding[a];
    int64_t begin = attrs.pads.empty() ? 0 : attrs.pads[a];
    if (given_shape || attrs.auto_pad.starts_with("SAME")) {
      const int64_t total = std::max<int64_t>(0, stride * (x.dims[a + 2] - 1) + more + (kernel - 1) * dilation + 1 - y.dims[a + 2]);
      begin = attrs.auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      if (given_shape && attrs.auto_pad == "NOTSET") begin = total - total / 2;
    } else if (attrs.auto_pad == "VALID") {
      begin = 0;
    }
    const std::string k = s.name("k"), p = s.name("p");
    s.line(fmt::format("for (I {0} = 0; {0} < {1}; ++{0}) {{", k, s.number(kernel)));
    s.line(fmt::format("I {} = ({}) + {} - {} * {};", p, at[a + 2], s.number(begin), k, s.number(dilation)));
    s.line(fmt::format("if ({0} < 0 || {0} % {1} != 0) continue; {0} /= {1}; if ({0} >= {2}) continue;", p, s.number(stride),
                       s.number(x.dims[a + 2])));
    source.push_back(p);
    tap.push_back(k);
  }
  const Dims x_strides = dense_strides(x.dims), w_strides = dense_strides(w.dims);
  s.line(fmt::format("const I ix = {}, iw = {};", s.offset(source, x_strides), s.offset(tap, w_strides)));
  s.line(fmt::format("for (I c = 0; c < {}; ++c) acc += {} * {};", s.number(channels),
                     s.load(x, fmt::format("ix + c * {}", s.number(x_strides[1]))),
                     s.load(w, fmt::format("iw + c * {}", s.number(w_strides[0])))));
  s.line(std::string(rank, '}'));
  if (b.has_input(2)) {
    CAMEO_ASSIGN(Operand bias, b.input(2));
    s.line(fmt::format("acc += {};", s.load(bias, "m")));
  }
  s.store(y, "i", "acc");
  return s.launch_elements(b, y.dims.num_elements());
}

}  // namespace

std::vector<DeviceOp> conv_ops() {
  return {
      {"Conv", "", make_conv},
      {"Conv", "ai.cameo", make_fused},
      {"ConvTranspose", "", make_transposed},
  };
}

}  // namespace cameo::cuda
