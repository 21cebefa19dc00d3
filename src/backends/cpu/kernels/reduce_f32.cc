// Reduce operators and global pools of float32, by reduce_f32.isa.cc: along contiguous elements, or across rows of the
// elements that are kept. Elements of the output are shared out to the threads, or rows where the output is few of them.
#include "backends/cpu/kernels/reduce_f32.h"

#include <cmath>

#include "base/thread_pool.h"
#include "ops/reduce.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

using cpu::ReduceOp;
using ops::ReducePlan;

// A task has at least so many elements to read; less is not worth a second thread.
constexpr int64_t kTaskElements = 16 * 1024;

float start_of(ReduceOp op) { return op == ReduceOp::kMax ? -INFINITY : op == ReduceOp::kMin ? INFINITY : 0.f; }
float merge(ReduceOp op, float a, float b) {
  if (op == ReduceOp::kMax) return b > a || std::isnan(b) ? b : a;
  if (op == ReduceOp::kMin) return b < a || std::isnan(b) ? b : a;
  return a + b;
}

enum class Finish { kNone, kMean };
void finish(Finish how, int64_t count, float* y, int64_t n) {
  if (how == Finish::kMean)
    for (int64_t i = 0; i < n; ++i) y[i] /= static_cast<float>(count);
}

// The offset of the index-th element of the loops `extents`, counted in row-major order.
int64_t offset_of(const Dims& extents, const Dims& strides, int64_t index) {
  int64_t at = 0;
  for (size_t i = extents.rank(); i-- > 0; index /= extents[i]) at += index % extents[i] * strides[i];
  return at;
}

// Sums of few, long columns over parts of the rows, so that each thread reads the rows that it wrote; the parts depend on the
// extents alone.
constexpr int64_t kRowParts = 8, kMostParted = 16;
bool in_row_parts(const ReducePlan& plan) {
  return !plan.run_reduced && plan.reduced.rank() == 1 && plan.reduced[0] >= 4 * kRowParts && plan.kept.num_elements() < kMostParted;
}

void reduce_in_row_parts(ops::KernelContext& c, const ReducePlan& plan, ReduceOp op, Finish how, const float* x, float* y) {
  const auto& kernels = cpu::reduce_kernels();
  const int64_t columns = plan.run, rows = plan.reduced[0], parts = plan.kept.num_elements() * kRowParts;
  float* results = c.scratch<float>(parts * columns).data();
  const int64_t tasks =
      std::clamp<int64_t>(parts * (rows / kRowParts) * columns / kTaskElements, 1, std::min<int64_t>(c.threads().size(), parts));
  c.threads().parallel_for(tasks, [&](int64_t task, int) {
    for (int64_t part = parts * task / tasks; part < parts * (task + 1) / tasks; ++part) {
      const int64_t begin = rows * (part % kRowParts) / kRowParts, end = rows * (part % kRowParts + 1) / kRowParts;
      float* to = results + part * columns;
      std::fill_n(to, columns, start_of(op));
      kernels.columns(op, x + offset_of(plan.kept, plan.kept_strides, part / kRowParts) + begin * plan.reduced_strides[0],
                      plan.reduced_strides[0], end - begin, columns, to);
    }
  });
  // What the parts give is summed up, even for sums of squares or magnitudes.
  const ReduceOp join = op == ReduceOp::kMax || op == ReduceOp::kMin ? op : ReduceOp::kSum;
  for (int64_t part = 0; part < parts; part += kRowParts, y += columns) {
    std::fill_n(y, columns, start_of(op));
    kernels.columns(join, results + part * columns, columns, kRowParts, columns, y);
    finish(how, plan.count, y, columns);
  }
}

void reduce(ops::KernelContext& c, const ReducePlan& plan, ReduceOp op, Finish how, const float* x, float* y) {
  if (in_row_parts(plan)) return reduce_in_row_parts(c, plan, op, how, x, y);
  ThreadPool& threads = c.threads();
  const auto& kernels = cpu::reduce_kernels();
  const int64_t kept = plan.kept.num_elements(), segments = plan.reduced.num_elements();
  // What stays together: an element of the output, or up to `width` neighbours.
  const int64_t columns = plan.run_reduced ? 1 : plan.run;
  int64_t width = columns;
  const int64_t wanted = int64_t{threads.size()} * 2;
  if (kept < wanted && columns > 64) width = std::max<int64_t>((columns * kept / wanted + 63) / 64 * 64, 64);
  const int64_t parts = columns == 0 ? 0 : (columns + width - 1) / width, units = kept * parts;
  const auto run_unit = [&](int64_t unit) {
    const int64_t index = unit / parts, column = unit % parts * width, count = std::min(width, columns - column);
    const float* from = x + offset_of(plan.kept, plan.kept_strides, index) + column;
    float* to = y + index * columns + column;
    std::fill_n(to, count, start_of(op));
    if (plan.run_reduced) {
      for (int64_t s = 0; s < segments; ++s)
        *to = merge(op, *to, kernels.row(op, from + offset_of(plan.reduced, plan.reduced_strides, s), plan.run));
    } else if (plan.reduced.empty()) {
      kernels.columns(op, from, 0, 1, count, to);
    } else {
      const int64_t rows = plan.reduced.back(), outer = rows == 0 ? 0 : segments / rows;
      for (int64_t s = 0; s < outer; ++s)
        kernels.columns(op, from + offset_of(plan.reduced, plan.reduced_strides, s * rows), plan.reduced_strides.back(), rows, count, to);
    }
    finish(how, plan.count, to, count);
  };
  const int64_t tasks = std::min({units, kept * columns * plan.count / kTaskElements, int64_t{threads.size()} * 4});
  if (tasks < 2 || threads.size() == 1) {
    for (int64_t unit = 0; unit < units; ++unit) run_unit(unit);
    return;
  }
  threads.parallel_for(tasks, [&](int64_t task, int) {
    for (int64_t unit = units * task / tasks; unit < units * (task + 1) / tasks; ++unit) run_unit(unit);
  });
}

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  if (facts[node.inputs[0]].type.dtype != DType::kFloat32) return refuse("the input is not float32");
  return {};
}

template <ReduceOp Op, Finish How>
Status run(ops::KernelContext& c) {
  if (c.input(0).dtype() != DType::kFloat32) return c.node().op->reference(c);
  CAMEO_ASSIGN(const ReducePlan plan, ops::plan_reduce(c));
  reduce(c, plan, Op, How, c.input(0).data<float>(), c.output(0).data<float>());
  return {};
}

template <ReduceOp Op, Finish How>
Status run_global(ops::KernelContext& c) {
  if (c.input(0).dtype() != DType::kFloat32) return c.node().op->reference(c);
  const int64_t planes = c.output(0).num_elements();
  if (planes == 0) return {};
  ReducePlan plan;
  plan.run = plan.count = c.input(0).num_elements() / planes;
  plan.run_reduced = true;
  plan.kept = {planes};
  plan.kept_strides = {plan.run};
  reduce(c, plan, Op, How, c.input(0).data<float>(), c.output(0).data<float>());
  return {};
}

}  // namespace

#define CAMEO_REDUCE(tactic, onnx_name, ...) \
  CAMEO_DEFINE_TACTIC(tactic) = {.name = #tactic, .op = onnx_name, .supports = &supports, .run = &__VA_ARGS__};

CAMEO_REDUCE(reduce_sum_f32, "ReduceSum", run<ReduceOp::kSum, Finish::kNone>)
CAMEO_REDUCE(reduce_mean_f32, "ReduceMean", run<ReduceOp::kSum, Finish::kMean>)
CAMEO_REDUCE(reduce_max_f32, "ReduceMax", run<ReduceOp::kMax, Finish::kNone>)
CAMEO_REDUCE(reduce_min_f32, "ReduceMin", run<ReduceOp::kMin, Finish::kNone>)
CAMEO_REDUCE(reduce_sum_square_f32, "ReduceSumSquare", run<ReduceOp::kSumSquares, Finish::kNone>)
CAMEO_REDUCE(reduce_l1_f32, "ReduceL1", run<ReduceOp::kSumMagnitudes, Finish::kNone>)
CAMEO_REDUCE(global_average_pool_f32, "GlobalAveragePool", run_global<ReduceOp::kSum, Finish::kMean>)
CAMEO_REDUCE(global_max_pool_f32, "GlobalMaxPool", run_global<ReduceOp::kMax, Finish::kNone>)
#undef CAMEO_REDUCE

}  // namespace cameo::tactics
