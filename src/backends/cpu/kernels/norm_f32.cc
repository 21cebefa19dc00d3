// LayerNormalization, RMSNormalization, GroupNormalization, InstanceNormalization, BatchNormalization (inference), Softmax
// and LogSoftmax of float32, by norm_f32.isa.cc. Rows are shared out to the threads.
#include "backends/cpu/kernels/norm_f32.h"

#include "backends/cpu/kernels/pointwise_run.h"
#include "base/thread_pool.h"
#include "ops/normalization.h"
#include "ops/softmax.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

// A task has at least so many elements; less is not worth a second thread.
constexpr int64_t kTaskElements = 8 * 1024;

// fn(begin, end) over parts of [0, rows), each row of n elements.
template <class Fn>
void share_rows(ThreadPool& threads, int64_t rows, int64_t n, Fn fn) {
  const int64_t tasks = std::min({rows, rows * n / kTaskElements, int64_t{threads.size()} * 4});
  if (tasks < 2 || threads.size() == 1) return fn(0, rows);
  threads.parallel_for(tasks, [&](int64_t task, int) { fn(rows * task / tasks, rows * (task + 1) / tasks); });
}

Status check_floats(const ir::Node& node, std::span<const ops::Fact> facts) {
  for (ir::ValueId id : node.inputs)
    if (id != ir::kNoValue && facts[id].type.dtype != DType::kFloat32) return refuse("the inputs are not all float32");
  return {};
}
bool all_floats(ops::KernelContext& c) {
  for (size_t i = 0; i < c.num_inputs(); ++i)
    if (c.has_input(i) && c.input(i).dtype() != DType::kFloat32) return false;
  return true;
}

// Whether the tensor, absent or not, has the extents of x from `axis` on.
bool is_row(ops::KernelContext& c, size_t input, size_t axis) {
  if (!c.has_input(input)) return true;
  const Dims &x = c.input(0).dims(), &d = c.input(input).dims();
  if (d.rank() > x.rank()) return false;
  for (size_t i = 0; i < x.rank(); ++i) {
    const size_t missing = x.rank() - d.rank();
    if ((i < missing ? 1 : d[i - missing]) != (i < axis ? 1 : x[i])) return false;
  }
  return true;
}

// Both operators on rows; outputs 1 and 2 are LayerNormalization's.
Status run_rows(ops::KernelContext& c, int64_t axis, float epsilon, bool centered) {
  const Tensor& x = c.input(0);
  const auto rank = static_cast<int64_t>(x.rank());
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) return error(ErrorCode::kInvalidModel, "axis is out of range for an input of rank {}", rank);
  const auto first = static_cast<size_t>(axis);
  const bool other_moments =
      (c.has_output(1) && c.output(1).dtype() != DType::kFloat32) || (c.has_output(2) && c.output(2).dtype() != DType::kFloat32);
  if (!all_floats(c) || !is_row(c, 1, first) || !is_row(c, 2, first) || other_moments) return c.node().op->reference(c);
  int64_t rows = 1, n = 1;
  for (size_t a = 0; a < x.rank(); ++a) (a < first ? rows : n) *= x.dim(a);
  if (rows * n == 0) return {};
  const float* bias = c.num_inputs() > 2 && c.has_input(2) ? c.input(2).data<float>() : nullptr;
  float* mean = c.has_output(1) ? c.output(1).data<float>() : nullptr;
  float* inverse = c.has_output(2) ? c.output(2).data<float>() : nullptr;
  float* y = c.output(0).data<float>();
  share_rows(c.threads(), rows, n, [&](int64_t begin, int64_t end) {
    cpu::norm_kernels().norm_rows({.x = x.data<float>() + begin * n,
                                   .y = y + begin * n,
                                   .rows = end - begin,
                                   .n = n,
                                   .scale = c.input(1).data<float>(),
                                   .bias = bias,
                                   .epsilon = epsilon,
                                   .centered = centered,
                                   .mean = mean ? mean + begin : nullptr,
                                   .inverse = inverse ? inverse + begin : nullptr});
  });
  return {};
}

Status run_layer_norm(ops::KernelContext& c) {
  const auto& attrs = c.attrs<ops::LayerNormalizationAttrs>();
  return run_rows(c, attrs.axis, attrs.epsilon, true);
}
Status run_rms_norm(ops::KernelContext& c) {
  const auto& attrs = c.attrs<ops::RmsNormalizationAttrs>();
  return run_rows(c, attrs.axis, attrs.epsilon, false);
}

// Groups of channels; scale and bias have one element for `channels_per_parameter` channels.
Status run_groups(ops::KernelContext& c, int64_t groups, int64_t channels_per_parameter, float epsilon) {
  const Tensor& x = c.input(0);
  if (x.num_elements() == 0) return {};
  const int64_t channels = x.rank() < 2 ? 0 : x.dim(1), parameters = channels_per_parameter > 0 ? channels / channels_per_parameter : 0;
  if (!all_floats(c) || groups < 1 || channels % groups != 0 || parameters < 1 || channels % channels_per_parameter != 0 ||
      c.input(1).num_elements() != parameters || c.input(2).num_elements() != parameters)
    return c.node().op->reference(c);
  const int64_t per_group = channels / groups, size = x.num_elements() / (x.dim(0) * channels), n = per_group * size;
  // Either each channel of a group has parameters of its own, or the whole group one.
  const bool own = channels_per_parameter == 1;
  share_rows(c.threads(), x.dim(0) * groups, n, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = row % groups * (own ? per_group : 1);
      cpu::norm_kernels().norm_group({.x = x.data<float>() + row * n,
                                      .y = c.output(0).data<float>() + row * n,
                                      .channels = per_group,
                                      .channel_size = size,
                                      .scale = c.input(1).data<float>() + at,
                                      .bias = c.input(2).data<float>() + at,
                                      .step = own,
                                      .epsilon = epsilon});
    }
  });
  return {};
}

Status run_group_norm(ops::KernelContext& c) {
  const auto& attrs = c.attrs<ops::GroupNormalizationAttrs>();
  const int64_t channels = c.input(0).rank() < 2 ? 0 : c.input(0).dim(1);
  const bool per_group = c.version() < 21 && attrs.num_groups > 0;
  return run_groups(c, attrs.num_groups, per_group ? channels / attrs.num_groups : 1, attrs.epsilon);
}
Status run_instance_norm(ops::KernelContext& c) {
  return run_groups(c, c.input(0).rank() < 2 ? 0 : c.input(0).dim(1), 1, c.attrs<ops::InstanceNormalizationAttrs>().epsilon);
}

Status check_batch_norm(const ir::Node& node, std::span<const ops::Fact> facts) {
  const auto& attrs = node.attrs_as<ops::BatchNormalizationAttrs>();
  if (attrs.training_mode != 0 || attrs.spatial == 0) return refuse("the statistics are not fixed, or not those of channels");
  for (size_t i = 1; i < node.outputs.size(); ++i)
    if (node.outputs[i] != ir::kNoValue) return refuse("the node has more than one output");
  return check_floats(node, facts);
}

// y = (x - mean) * (scale / sqrt(var + epsilon)) + b, element by element.
Status run_batch_norm(ops::KernelContext& c) {
  const auto& attrs = c.attrs<ops::BatchNormalizationAttrs>();
  const Tensor& x = c.input(0);
  const int64_t channels = x.rank() < 2 ? 0 : x.dim(1);
  bool plain = all_floats(c) && attrs.training_mode == 0 && attrs.spatial != 0 && channels > 0 && x.rank() <= Dims::kInline;
  for (size_t i = 1; i < 5; ++i) plain &= c.input(i).num_elements() == channels && !c.has_output(i);
  if (!plain) return c.node().op->reference(c);
  const auto factors = c.scratch<float>(channels);
  for (int64_t k = 0; k < channels; ++k)
    factors[static_cast<size_t>(k)] = c.input(1).data<float>()[k] / std::sqrt(c.input(4).data<float>()[k] + attrs.epsilon);
  Dims dims(x.rank() - 1, 1);
  dims[0] = channels;
  const Tensor mean = c.input(3).reshaped(dims), factor = Tensor::view(DType::kFloat32, dims, factors.data()),
               bias = c.input(2).reshaped(dims);
  const Tensor* inputs[] = {&x, &mean, &factor, &bias};
  constexpr ops::PointInstruction kCode[] = {{ops::PointOp::kSub, 0, 1}, {ops::PointOp::kFma, 4, 2, 3}};
  return cpu::run_pointwise(c, kCode, nullptr, inputs, c.output(0));
}

template <bool Logarithm>
Status run_softmax(ops::KernelContext& c) {
  const Tensor& x = c.input(0);
  if (x.dtype() != DType::kFloat32) return c.node().op->reference(c);
  const bool matrix = c.version() < 13;
  const auto rank = static_cast<int64_t>(x.rank());
  int64_t axis = c.attrs<ops::SoftmaxAttrs>().axis.value_or(matrix ? 1 : -1);
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) return c.node().op->reference(c);
  int64_t outer = 1, length = 1, inner = 1;
  for (int64_t i = 0; i < rank; ++i) (i < axis ? outer : matrix || i == axis ? length : inner) *= x.dim(static_cast<size_t>(i));
  if (outer * length * inner == 0) return {};
  const float* from = x.data<float>();
  float* to = c.output(0).data<float>();
  const auto& kernels = cpu::norm_kernels();
  // Exponentials cost more than what share_rows() counts.
  share_rows(c.threads(), outer, length * inner * 4, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      kernels.softmax({from + o * length * inner, to + o * length * inner, length, inner, inner, Logarithm});
  });
  return {};
}

}  // namespace

CAMEO_DEFINE_TACTIC(layer_norm_f32) = {
    .name = "layer_norm_f32", .op = "LayerNormalization", .supports = &check_floats, .run = &run_layer_norm};
CAMEO_DEFINE_TACTIC(rms_norm_f32) = {.name = "rms_norm_f32", .op = "RMSNormalization", .supports = &check_floats, .run = &run_rms_norm};
CAMEO_DEFINE_TACTIC(group_norm_f32) = {
    .name = "group_norm_f32", .op = "GroupNormalization", .supports = &check_floats, .run = &run_group_norm};
CAMEO_DEFINE_TACTIC(instance_norm_f32) = {
    .name = "instance_norm_f32", .op = "InstanceNormalization", .supports = &check_floats, .run = &run_instance_norm};
CAMEO_DEFINE_TACTIC(batch_norm_f32) = {
    .name = "batch_norm_f32", .op = "BatchNormalization", .supports = &check_batch_norm, .run = &run_batch_norm};
CAMEO_DEFINE_TACTIC(softmax_f32) = {.name = "softmax_f32", .op = "Softmax", .supports = &check_floats, .run = &run_softmax<false>};
CAMEO_DEFINE_TACTIC(log_softmax_f32) = {
    .name = "log_softmax_f32", .op = "LogSoftmax", .supports = &check_floats, .run = &run_softmax<true>};

}  // namespace cameo::tactics
