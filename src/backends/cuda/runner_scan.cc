// Runner, Scan: the host goes through the positions, the body runs on the device, and slices of what is scanned are views.
#include <algorithm>

#include "backends/cuda/ops/ops.h"
#include "backends/cuda/runner.h"

namespace cameo::cuda {
namespace {

Operand operand_of(const Value& v) { return {.kind = Operand::Kind::kFixed, .fixed = v.device, .dtype = v.storage, .dims = v.dims}; }

Result<size_t> checked_axis(const std::vector<int64_t>& axes, size_t i, size_t rank) {
  const int64_t given = i < axes.size() ? axes[i] : 0, axis = given < 0 ? given + static_cast<int64_t>(rank) : given;
  if (axis < 0 || axis >= static_cast<int64_t>(rank)) return error(ErrorCode::kInvalidInput, "axis {} of a tensor of rank {}", given, rank);
  return static_cast<size_t>(axis);
}

}  // namespace

// `v` with axis `axis` moved to the front, or the front moved to `axis`.
Result<Value> Runner::moved(Value v, size_t axis, bool to_front) {
  if (axis == 0 || v.dims.num_elements() == 0) return v;
  std::vector<int64_t> perm;
  const size_t rank = v.dims.rank();
  for (size_t i = 0; i < rank; ++i)
    if (to_front ? i != axis : i != 0) perm.push_back(static_cast<int64_t>(i));
  if (to_front)
    perm.insert(perm.begin(), static_cast<int64_t>(axis));
  else
    perm.insert(perm.begin() + static_cast<std::ptrdiff_t>(axis), 0);
  Dims dims;
  for (int64_t p : perm) dims.push_back(v.dims[static_cast<size_t>(p)]);
  CAMEO_TRY(to_device(v));
  CAMEO_ASSIGN(Value y, fresh(v.storage, dims));
  y.dtype = v.dtype;
  StepBuilder b(graph_.nodes.front(), {}, {}, session_.precision, session_.device, session_.weights);
  CAMEO_TRY(transpose(b, operand_of(v), operand_of(y), perm));
  const Step step = b.take();
  CAMEO_ASSIGN(void* memory, scratch(step.scratch_bytes));
  CAMEO_TRY(step.run({{}, {}, static_cast<std::byte*>(memory)}, session_.stream));
  // The step's arguments and what it read must outlive it.
  CAMEO_TRY(synchronize(session_.stream));
  return y;
}

Status Runner::run_scan(const ir::Node& node) {
  const Attributes attrs(*node.attrs);
  const ir::Graph& body = *node.subgraphs[0].graph;
  const auto scanned = static_cast<size_t>(attrs.integer("num_scan_inputs"));
  if (scanned < 1 || scanned > node.inputs.size()) return error(ErrorCode::kInvalidModel, "num_scan_inputs is {}", scanned);
  const size_t states = node.inputs.size() - scanned, outs = node.outputs.size() - states;
  const std::vector<int64_t> in_axes = attrs.integers("scan_input_axes"), out_axes = attrs.integers("scan_output_axes"),
                             in_directions = attrs.integers("scan_input_directions"),
                             out_directions = attrs.integers("scan_output_directions");
  std::vector<Value> state, sequences;
  int64_t length = 0;
  for (size_t i = 0; i < states; ++i) state.push_back(values_[node.inputs[i]]);
  for (size_t i = 0; i < scanned; ++i) {
    Value v = values_[node.inputs[states + i]];
    CAMEO_ASSIGN(const size_t axis, checked_axis(in_axes, i, v.dims.rank()));
    if (i > 0 && v.dims[axis] != length)
      return error(ErrorCode::kInvalidInput, "scan input {} has {} positions, others {}", i, v.dims[axis], length);
    length = v.dims[axis];
    CAMEO_ASSIGN(v, moved(std::move(v), axis, true));
    CAMEO_TRY(to_device(v));
    sequences.push_back(std::move(v));
  }
  std::vector<std::vector<Value>> parts(outs);
  for (int64_t position = 0; position < length; ++position) {
    if (session_.cancelled.load(std::memory_order_relaxed)) return error(ErrorCode::kCancelled, "the run was cancelled");
    std::vector<Value> formal = state;
    for (size_t i = 0; i < scanned; ++i) {
      const Value& all = sequences[i];
      const int64_t at = i < in_directions.size() && in_directions[i] ? length - 1 - position : position;
      Value slice = all;
      slice.host.reset();
      slice.dims.erase(0);
      slice.device = static_cast<std::byte*>(all.device) + static_cast<size_t>(at * slice.dims.num_elements()) * dtype_size(all.storage);
      formal.push_back(std::move(slice));
    }
    std::vector<Value> outputs;
    CAMEO_TRY(subgraph(node, 0, std::move(formal), outputs));
    for (size_t i = 0; i < states; ++i) {
      if (outputs[i].dtype != state[i].dtype || !(outputs[i].dims == state[i].dims))
        return error(ErrorCode::kInvalidInput, "state {} goes from [{}] to [{}]; a state keeps its type and shape", i,
                     state[i].dims.to_string(), outputs[i].dims.to_string());
      state[i] = std::move(outputs[i]);
    }
    for (size_t i = 0; i < outs; ++i) parts[i].push_back(std::move(outputs[states + i]));
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const ir::ValueId id = node.outputs[i];
    if (id == ir::kNoValue) continue;
    if (i < states) {
      values_[id] = std::move(state[i]);
      continue;
    }
    const size_t k = i - states;
    if (k < out_directions.size() && out_directions[k]) std::reverse(parts[k].begin(), parts[k].end());
    CAMEO_ASSIGN(Value all, stacked(parts[k], body.value(body.outputs[i]).type));
    CAMEO_ASSIGN(const size_t axis, checked_axis(out_axes, k, all.dims.rank()));
    CAMEO_ASSIGN(values_[id], moved(std::move(all), axis, false));
  }
  return {};
}

}  // namespace cameo::cuda
