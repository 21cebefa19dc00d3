#include "backends/cpu/kernels/conv_f32.h"

#include <algorithm>
#include <limits>

#include "backends/cpu/kernels/pointwise_run.h"
#include "base/thread_pool.h"
#include "ops/cameo_conv.h"
#include "ops/channels_last.h"
#include "ops/convolve.h"
#include "ops/shapes.h"

namespace cameo::cpu {
namespace {

using tactics::refuse;

// More weights than any machine holds; below it the sizes of packed forms cannot overflow.
constexpr int64_t kMaxWeights = int64_t{1} << 40;

struct NodeAttrs {
  const ops::WindowAttrs* window;
  int64_t group;
  bool channels_last;
};

NodeAttrs attrs_of(const ir::Node& node) {
  if (node.op->domain == ops::kCameoDomain) {
    const auto& attrs = node.attrs_as<ops::CameoConvAttrs>();
    return {&attrs, attrs.group, attrs.channels_last != 0};
  }
  const auto& attrs = node.attrs_as<ops::ConvAttrs>();
  return {&attrs, attrs.group, false};
}

// The numbers that follow from weights and attributes. `window` has one or two axes.
Status set_kernel(ConvProblem& p, const ops::Window& window, int64_t group, const Dims& w) {
  if (group < 1 || w[0] % group != 0) return error(ErrorCode::kInvalidInput, "{} groups do not divide {} channels", group, w[0]);
  if (w.num_elements() == 0) return error(ErrorCode::kInvalidInput, "the weights are empty");
  if (w.num_elements() > kMaxWeights) return error(ErrorCode::kInvalidInput, "the weights have {} elements", w.num_elements());
  p.group = group;
  p.in_channels = w[1];
  p.out_channels = w[0] / group;
  const ops::WindowAxis& across = window.axes[window.rank - 1];
  p.kernel_width = across.kernel;
  p.stride_width = across.stride;
  p.dilation_width = across.dilation;
  p.pad_left = across.begin;
  if (window.rank == 2) {
    const ops::WindowAxis& down = window.axes[0];
    p.kernel_height = down.kernel;
    p.stride_height = down.stride;
    p.dilation_height = down.dilation;
    p.pad_top = down.begin;
  }
  return {};
}

// The problem of a node about to run, from its real extents.
Result<ConvProblem> problem_of(ops::KernelContext& c, const NodeAttrs& attrs) {
  const Tensor &x = c.input(0), &w = c.input(1);
  Tensor& y = c.output(0);
  const size_t rank = w.rank();
  if (x.dtype() != DType::kFloat32 || w.dtype() != DType::kFloat32 || y.dtype() != DType::kFloat32 || rank < 3 || rank > 4 ||
      x.rank() != rank || y.rank() != rank)
    return error(ErrorCode::kInvalidInput, "this convolution is not of float32 over one or two axes");
  const Dims in = attrs.channels_last ? ops::channels_first(x.dims()) : x.dims();
  const Dims out = attrs.channels_last ? ops::channels_first(y.dims()) : y.dims();
  CAMEO_ASSIGN(const ops::Window window, ops::make_window(*attrs.window, in, out, Dims(w.dims().span().subspan(2))));
  ConvProblem p;
  CAMEO_TRY(set_kernel(p, window, attrs.group, w.dims()));
  bool fits = in[0] == out[0] && out[1] == w.dim(0) && in[1] % attrs.group == 0 && in[1] / attrs.group == p.in_channels;
  for (size_t a = 0; fits && a < window.rank; ++a) {
    CAMEO_ASSIGN(const ir::Dim extent, window.output_extent(a, in[a + 2]));
    fits = extent.is(out[a + 2]);
  }
  if (!fits) return error(ErrorCode::kInvalidInput, "input, weights and output of a convolution do not fit together");
  p.x = x.data<float>();
  p.y = y.data<float>();
  p.batch = in[0];
  p.in_width = in[rank - 1];
  p.out_width = out[rank - 1];
  if (rank == 4) {
    p.in_height = in[2];
    p.out_height = out[2];
  }
  return p;
}

// The part of a program that TileEpilogue can do, if it can do all of it: [+ bias] [+ residual] [activation], where an operand
// with one element a channel is the bias and one of the output's extents is the residual.
bool set_epilogue(ops::KernelContext& c, const ops::ProgramAttrs& attrs, const Dims& out, bool channels_last, TileEpilogue& e) {
  using ops::PointOp;
  const std::vector<int64_t>& code = attrs.program;
  const auto num_inputs = static_cast<int64_t>(c.num_inputs()) - 1;  // of the program
  const size_t channel_axis = channels_last ? out.rank() - 1 : 1;
  int64_t current = 0;
  uint32_t used = 0;
  for (size_t i = 0; i + 4 <= code.size(); i += 4) {
    const auto op = static_cast<PointOp>(code[i]);
    const int64_t a = code[i + 1], b = code[i + 2];
    if (e.activation != Activation::kNone) return false;
    const auto constant = [&](int64_t operand, float& to) {
      if (operand >= 0 || -1 - operand >= static_cast<int64_t>(attrs.constants.size())) return false;
      to = attrs.constants[static_cast<size_t>(-1 - operand)];
      return true;
    };
    if (op == PointOp::kAdd && (a == current) != (b == current)) {
      const int64_t other = a == current ? b : a;
      if (other < 1 || other >= num_inputs || (used >> other & 1) != 0) return false;
      used |= 1u << other;
      const Tensor& operand = c.input(static_cast<size_t>(other) + 1);
      if (operand.dtype() != DType::kFloat32) return false;
      const size_t from_end = out.rank() - channel_axis;
      if (operand.num_elements() == out[channel_axis] && e.bias == nullptr && operand.rank() >= from_end &&
          operand.dim(operand.rank() - from_end) == out[channel_axis])
        e.bias = operand.data<float>();
      else if (channels_last && operand.dims() == out && e.residual == nullptr)
        e.residual = operand.data<float>();
      else
        return false;
    } else if (a != current) {
      return false;
    } else if (op == PointOp::kRelu) {
      e.activation = Activation::kClamp;
      e.low = 0;
      e.high = std::numeric_limits<float>::infinity();
    } else if (op == PointOp::kClip && constant(b, e.low) && constant(code[i + 3], e.high)) {
      e.activation = Activation::kClamp;
    } else if (op == PointOp::kHardSwish) {
      e.activation = Activation::kHardSwish;
    } else if (op == PointOp::kSwish) {
      e.activation = Activation::kSwish;
    } else {
      return false;
    }
    current = num_inputs + static_cast<int64_t>(i / 4);
  }
  return true;
}

// y = program(y, operands...) for programs that TileEpilogue cannot do.
Status run_program(ops::KernelContext& c, const ops::ProgramAttrs& attrs, Tensor& y) {
  const size_t num_inputs = c.num_inputs() - 1;
  if (num_inputs > ops::kMaxPointInputs) return error(ErrorCode::kInvalidModel, "the fused program has {} inputs", num_inputs);
  ops::PointInstruction code[ops::kMaxPointInstructions];
  CAMEO_ASSIGN(const int count, ops::decode_point_program(static_cast<int>(num_inputs), attrs.program, attrs.constants, code));
  const Tensor* inputs[ops::kMaxPointInputs] = {&y};
  for (size_t k = 1; k < num_inputs; ++k) {
    inputs[k] = &c.input(k + 1);
    if (inputs[k]->dtype() != DType::kFloat32) return error(ErrorCode::kInvalidInput, "an operand of the epilogue is not float32");
  }
  return run_pointwise(c, std::span(code, static_cast<size_t>(count)), attrs.constants.data(), std::span(inputs, num_inputs), y);
}

}  // namespace

void transpose_images(ops::KernelContext& c, const float* from, int64_t batch, int64_t rows, int64_t columns, float* to) {
  // A task is a strip along the longer axis.
  constexpr int64_t kStrip = 256;
  const bool by_row = rows > columns;
  const int64_t strips = ((by_row ? rows : columns) + kStrip - 1) / kStrip;
  c.threads().parallel_for(batch * strips, [&](int64_t task, int) {
    const float* f = from + task / strips * rows * columns;
    float* t = to + task / strips * rows * columns;
    const int64_t at = task % strips * kStrip;
    if (by_row)
      panel_gemm_kernels().transpose(f + at * columns, columns, std::min(kStrip, rows - at), columns, t + at, rows);
    else
      panel_gemm_kernels().transpose(f + at, columns, rows, std::min(kStrip, columns - at), t + at * rows, rows);
  });
}

bool ConvProblem::is_plain_product() const {
  return taps() == 1 && stride_height == 1 && stride_width == 1 && pad_top == 0 && pad_left == 0 && in_height == out_height &&
         in_width == out_width;
}

WindowRows ConvProblem::window_rows(int64_t group_index) const {
  return {.x = x + group_index * in_channels,
          .pixel_step = all_in_channels(),
          .channels = in_channels,
          .height = in_height,
          .width = in_width,
          .out_height = out_height,
          .out_width = out_width,
          .kernel_width = kernel_width,
          .stride_height = stride_height,
          .stride_width = stride_width,
          .dilation_height = dilation_height,
          .dilation_width = dilation_width,
          .pad_top = pad_top,
          .pad_left = pad_left};
}

Status check_conv(const ir::Node& node, std::span<const ops::Fact> facts, ConvProblem* problem) {
  const ir::Type &x = facts[node.inputs[0]].type, &w = facts[node.inputs[1]].type;
  if (x.dtype != DType::kFloat32 || w.dtype != DType::kFloat32) return refuse("the inputs are not both float32");
  const Tensor& weights = conv_weights(node, facts);
  if (!weights.defined() || weights.raw() == nullptr) return refuse("the weights are not constant");
  if (weights.rank() < 3 || weights.rank() > 4) return refuse("there are more than two spatial axes");
  if (weights.num_elements() == 0) return refuse("the weights are empty");
  if (!x.shape || x.shape->size() != weights.rank()) return refuse("the input's rank is not known");
  const NodeAttrs attrs = attrs_of(node);
  const size_t rank = weights.rank() - 2;
  CAMEO_ASSIGN(const ops::Window window, ops::make_window(*attrs.window, rank, Dims(weights.dims().span().subspan(2))));
  CAMEO_TRY(set_kernel(*problem, window, attrs.group, weights.dims()));
  const ir::Shape in = attrs.channels_last ? ops::channels_first(*x.shape) : *x.shape;
  const auto known = [](const ir::Dim& d) { return d.is_const() ? d.value() : 0; };
  const auto out = [&](size_t axis) {
    const auto extent = window.output_extent(axis, in[axis + 2]);
    return extent.ok() ? known(*extent) : 0;
  };
  problem->batch = known(in[0]);
  problem->in_width = known(in[rank + 1]);
  problem->out_width = out(rank - 1);
  if (rank == 2) {
    problem->in_height = known(in[2]);
    problem->out_height = out(0);
  }
  return {};
}

Status run_conv(ops::KernelContext& c, int64_t (*packed_elements)(const ConvProblem&),
                Status (*kernel)(ops::KernelContext&, const ConvProblem&, const float* packed)) {
  const NodeAttrs attrs = attrs_of(c.node());
  const bool is_cameo = c.node().op->domain == ops::kCameoDomain;
  CAMEO_ASSIGN(ConvProblem p, problem_of(c, attrs));
  Tensor& y = c.output(0);
  const std::vector<Tensor>& packed = c.node().packed;
  if (packed.size() != 1 || packed[0].dtype() != DType::kFloat32 || packed[0].num_elements() != packed_elements(p))
    return error(ErrorCode::kInvalidPlan, "the packed weights of a convolution do not have the size that it needs");
  if (y.num_elements() == 0) return {};
  bool program_left = false;
  if (is_cameo) {
    program_left = !set_epilogue(c, c.attrs<ops::CameoConvAttrs>(), y.dims(), attrs.channels_last, p.epilogue);
    if (program_left) p.epilogue = {};
  } else if (c.has_input(2)) {
    const Tensor& bias = c.input(2);
    if (bias.dtype() != DType::kFloat32 || bias.num_elements() != p.all_out_channels())
      return error(ErrorCode::kInvalidInput, "the bias does not fit the weights");
    p.epilogue.bias = bias.data<float>();
  }
  const int64_t in_size = p.in_height * p.in_width, out_size = p.out_height * p.out_width;
  float* to = p.y;
  const bool turn_in = !attrs.channels_last && in_size > 1 && p.all_in_channels() > 1;
  const bool turn_out = !attrs.channels_last && out_size > 1 && p.all_out_channels() > 1;
  if (turn_in) {
    float* turned = c.scratch<float>(c.input(0).num_elements()).data();
    transpose_images(c, p.x, p.batch, p.all_in_channels(), in_size, turned);
    p.x = turned;
  }
  if (turn_out) p.y = c.scratch<float>(y.num_elements()).data();
  CAMEO_TRY(kernel(c, p, packed[0].data<float>()));
  if (turn_out) transpose_images(c, p.y, p.batch, out_size, p.all_out_channels(), to);
  return program_left ? run_program(c, c.attrs<ops::CameoConvAttrs>(), y) : Status{};
}

}  // namespace cameo::cpu
