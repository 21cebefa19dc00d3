#include "backends/cpu/kernels/pointwise_run.h"

#include <algorithm>

#include "backends/cpu/kernels/axes.h"
#include "backends/cpu/kernels/pointwise.h"
#include "backends/cpu/kernels/tasks.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "ops/pointwise_program.h"

namespace cameo::cpu {
namespace {

using ops::PointOp;

// A task has at least so many simple operations; less is not worth a second thread.
constexpr int64_t kTaskCost = 32 * 1024;

// About how many additions one takes.
int cost_of(PointOp op) {
  switch (op) {
    case PointOp::kPow:
      return 30;
    case PointOp::kSin:
    case PointOp::kCos:
    case PointOp::kExp:
    case PointOp::kLog:
    case PointOp::kErf:
    case PointOp::kTanh:
    case PointOp::kSigmoid:
    case PointOp::kGelu:
    case PointOp::kGeluTanh:
    case PointOp::kSwish:
    case PointOp::kElu:
      return 5;
    case PointOp::kMish:
    case PointOp::kSoftplus:
      return 12;
    case PointOp::kDiv:
    case PointOp::kSqrt:
    case PointOp::kReciprocal:
      return 2;
    default:
      return 1;
  }
}

// Rows [row_begin, row_end) and columns [column_begin, column_end) of what the last two axes span.
void run_part(PointwiseTile tile, const Axes<ops::kMaxPointInputs>& axes, int64_t row_begin, int64_t row_end, int64_t column_begin,
              int64_t column_end) {
  const float* begins[ops::kMaxPointInputs];
  const float* inputs[ops::kMaxPointInputs];
  for (int i = 0; i < tile.num_inputs; ++i) begins[i] = tile.inputs[i] + column_begin * tile.steps[i];
  tile.inputs = inputs;
  tile.columns = column_end - column_begin;
  float* output = tile.output + column_begin;
  const int64_t extent = axes.extents[axes.rank - 2];
  for (int64_t row = row_begin; row < row_end; row += tile.rows) {
    const int64_t outer = row / extent, inner = row % extent;
    tile.rows = std::min(extent - inner, row_end - row);
    for (int i = 0; i < tile.num_inputs; ++i) inputs[i] = begins[i] + axes.offset(i, outer, 2) + inner * tile.row_strides[i];
    tile.output = output + row * tile.output_stride;
    pointwise_kernels().run_tile(tile);
  }
}

}  // namespace

Status run_pointwise(ops::KernelContext& context, std::span<const ops::PointInstruction> code, const float* constants,
                     std::span<const Tensor* const> inputs, Tensor& y) {
  const Dims& dims = y.dims();
  if (inputs.size() > ops::kMaxPointInputs || dims.rank() > Dims::kInline)
    return error(ErrorCode::kInternal, "an element-by-element operation has {} inputs of rank {}", inputs.size(), dims.rank());
  Axes<ops::kMaxPointInputs> axes;
  axes.num_operands = static_cast<int>(inputs.size());
  const float* data[ops::kMaxPointInputs];
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!broadcasts(inputs[i]->dims(), dims))
      return error(ErrorCode::kInvalidInput, "input {} has extents {}, which do not broadcast to {}", i, inputs[i]->dims().to_string(),
                   dims.to_string());
    data[i] = inputs[i]->data<float>();
  }
  const int64_t count = y.num_elements();
  if (count == 0) return {};
  int64_t stride[ops::kMaxPointInputs];
  for (size_t axis = 0; axis < dims.rank(); ++axis) {
    for (size_t i = 0; i < inputs.size(); ++i) stride[i] = broadcast_stride(inputs[i]->dims(), dims, axis);
    axes.add(dims[axis], stride);
  }
  axes.widen(2);

  const int64_t columns = axes.extents[axes.rank - 1], rows = count / columns;
  int64_t row_strides[ops::kMaxPointInputs];
  uint8_t steps[ops::kMaxPointInputs];
  for (size_t i = 0; i < inputs.size(); ++i) {
    row_strides[i] = axes.strides[i][axes.rank - 2];
    steps[i] = axes.strides[i][axes.rank - 1] != 0;
  }
  const PointwiseTile tile = {.code = code.data(),
                              .num_instructions = static_cast<int>(code.size()),
                              .num_inputs = static_cast<int>(inputs.size()),
                              .constants = constants,
                              .inputs = data,
                              .row_strides = row_strides,
                              .steps = steps,
                              .output = y.data<float>(),
                              .output_stride = columns,
                              .rows = 0,
                              .columns = 0};
  int64_t cost = 1;
  for (const ops::PointInstruction& instruction : code) cost += cost_of(instruction.op);
  ThreadPool& threads = context.threads();
  const int64_t tasks = even_tasks(count / (kTaskCost / cost + 1), threads.size());
  if (tasks < 2 || threads.size() == 1) {
    run_part(tile, axes, 0, rows, 0, columns);
    return {};
  }
  // Rows are shared out, or columns in units of a cache line where rows are few.
  const int64_t units = rows >= tasks ? rows : (columns + 15) / 16;
  threads.parallel_for(tasks, [&](int64_t task, int) {
    const int64_t begin = units * task / tasks, end = units * (task + 1) / tasks;
    if (rows >= tasks)
      run_part(tile, axes, begin, end, 0, columns);
    else
      run_part(tile, axes, 0, rows, begin * 16, std::min(end * 16, columns));
  });
  return {};
}

}  // namespace cameo::cpu
