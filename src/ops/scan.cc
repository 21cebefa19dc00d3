// Scan (ai.onnx 8, 9, 11, 16, 19, 21, 23, 24, 25): runs its body once for each position along an axis of the M scan inputs.
// The body takes (N states, M elements without the scanned axis) and gives (N states, K elements); each scan output stacks
// these elements along a new axis. From version 9 on every scan input and output has an axis and a direction of its own.
// In version 8 an optional input of sequence lengths comes first, all tensors have a leading batch axis that the body does
// not see, the next axis is scanned, and positions past an entry's length hold zeros. Later versions add types.
#include <algorithm>

#include "ops/dispatch.h"
#include "ops/sequence.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

struct ScanAttrs : ir::AttrsOf<ScanAttrs> {
  int64_t num_scan_inputs = 0;
  std::vector<int64_t> directions;  // version 8
  std::vector<int64_t> scan_input_directions, scan_output_directions, scan_input_axes, scan_output_axes;
  void visit(ir::AttrVisitor& v) override {
    v("num_scan_inputs", num_scan_inputs);
    v("directions", directions);
    v("scan_input_directions", scan_input_directions);
    v("scan_output_directions", scan_output_directions);
    v("scan_input_axes", scan_input_axes);
    v("scan_output_axes", scan_output_axes);
  }
};

// What the attributes and the numbers of inputs and outputs mean together.
struct Layout {
  bool batched = false;  // version 8
  size_t first = 0;      // of the inputs, where the states begin
  size_t states = 0, scan_inputs = 0, scan_outputs = 0;
  std::vector<int64_t> input_axes, output_axes;
  std::vector<char> input_reversed, output_reversed;
};

Result<std::vector<int64_t>> per_item(const std::vector<int64_t>& values, size_t count, const char* what) {
  if (values.empty()) return std::vector<int64_t>(count, 0);
  if (values.size() != count) return error(ErrorCode::kInvalidModel, "{} has {} entries; it needs {}", what, values.size(), count);
  return values;
}

Result<std::vector<char>> directions(const std::vector<int64_t>& values, size_t count, const char* what) {
  CAMEO_ASSIGN(const std::vector<int64_t> all, per_item(values, count, what));
  for (int64_t d : all)
    if (d != 0 && d != 1) return error(ErrorCode::kInvalidModel, "{} holds {}; allowed: 0 (forward), 1 (reverse)", what, d);
  return std::vector<char>(all.begin(), all.end());
}

Result<Layout> layout_of(const ir::Node& node) {
  const auto& a = node.attrs_as<ScanAttrs>();
  const ir::Subgraph& body = node.subgraphs[0];
  Layout l;
  l.batched = node.version < 9;
  l.first = l.batched ? 1 : 0;
  const auto given = static_cast<int64_t>(node.inputs.size()) - static_cast<int64_t>(l.first);
  if (a.num_scan_inputs < 1 || a.num_scan_inputs > given)
    return error(ErrorCode::kInvalidModel, "num_scan_inputs is {}; with {} inputs it may be 1 to {}", a.num_scan_inputs, node.inputs.size(),
                 given);
  l.scan_inputs = static_cast<size_t>(a.num_scan_inputs);
  l.states = static_cast<size_t>(given) - l.scan_inputs;
  for (size_t i = l.first; i < node.inputs.size(); ++i)
    if (node.inputs[i] == ir::kNoValue) return error(ErrorCode::kInvalidModel, "lacks its input {}", i);
  if (node.outputs.size() < l.states || body.graph->outputs.size() != node.outputs.size())
    return error(ErrorCode::kInvalidModel,
                 "has {} outputs, {} states, and a body with {} outputs; the body must give the states and one "
                 "value for each scan output",
                 node.outputs.size(), l.states, body.graph->outputs.size());
  if (body.num_formal_inputs() != l.states + l.scan_inputs)
    return error(ErrorCode::kInvalidModel, "the body has {} inputs; with {} states and {} scan inputs it needs {}",
                 body.num_formal_inputs(), l.states, l.scan_inputs, l.states + l.scan_inputs);
  l.scan_outputs = node.outputs.size() - l.states;
  CAMEO_ASSIGN(l.input_axes, per_item(a.scan_input_axes, l.scan_inputs, "scan_input_axes"));
  CAMEO_ASSIGN(l.output_axes, per_item(a.scan_output_axes, l.scan_outputs, "scan_output_axes"));
  CAMEO_ASSIGN(l.input_reversed, directions(l.batched ? a.directions : a.scan_input_directions, l.scan_inputs, "scan_input_directions"));
  CAMEO_ASSIGN(l.output_reversed, directions(a.scan_output_directions, l.scan_outputs, "scan_output_directions"));
  return l;
}

// Removes a leading batch extent and keeps what is known of it.
Status take_batch(ir::Type& type, ir::Dim& batch, const char* what, size_t i) {
  if (!type.shape) return {};
  if (type.shape->empty()) return error(ErrorCode::kInvalidModel, "{} {} is a scalar; it needs a batch axis", what, i);
  const ir::Dim own = type.shape->front();
  if (own.is_const() && batch.is_const() && !(own == batch))
    return error(ErrorCode::kInvalidModel, "{} {} has batch size {}, others {}", what, i, own.value(), batch.value());
  if (!batch.is_const() && !own.is_unknown()) batch = own;
  type.shape->erase(type.shape->begin());
  return {};
}

Status infer(InferContext& c) {
  CAMEO_ASSIGN(const Layout l, layout_of(c.node()));
  ir::Dim batch, length;
  std::vector<ir::Type> formal;
  for (size_t i = 0; i < l.states + l.scan_inputs; ++i) {
    ir::Type type = c.input(l.first + i);
    const bool scanned = i >= l.states;
    if (l.batched) CAMEO_TRY(take_batch(type, batch, scanned ? "scan input" : "state", scanned ? i - l.states : i));
    if (scanned && type.shape) {
      CAMEO_ASSIGN(const size_t axis, normalize_axis(l.input_axes[i - l.states], type.shape->size(), "scan_input_axes"));
      const ir::Dim own = (*type.shape)[axis];
      if (own.is_const() && length.is_const() && !(own == length))
        return error(ErrorCode::kInvalidInput, "scan input {} has {} positions, others {}", i - l.states, own.value(), length.value());
      if (!length.is_const() && !own.is_unknown()) length = own;
      type.shape->erase(type.shape->begin() + static_cast<std::ptrdiff_t>(axis));
    }
    formal.push_back(std::move(type));
  }
  auto made = c.infer_subgraph(0, formal);
  if (!made.ok()) return std::move(made).error().in("body");
  for (size_t i = 0; i < c.num_outputs(); ++i) {
    ir::Type type = (*made)[i];
    if (type.kind != ir::Type::Kind::kUnknown && !type.is_tensor())
      return error(ErrorCode::kInvalidModel, "the body's output {} is {}; only tensors are allowed", i, type.to_string());
    if (i < l.states) {
      if (type.is_tensor() && formal[i].is_tensor() && type.dtype != DType::kUndefined && formal[i].dtype != DType::kUndefined &&
          type.dtype != formal[i].dtype)
        return error(ErrorCode::kInvalidModel, "state {} starts as {}, but the body makes {} of it", i, formal[i].to_string(),
                     type.to_string());
      type = ir::join(type, formal[i]);
    } else if (type.shape) {
      CAMEO_ASSIGN(const size_t axis, normalize_axis(l.output_axes[i - l.states], type.shape->size() + 1, "scan_output_axes"));
      type.shape->insert(type.shape->begin() + static_cast<std::ptrdiff_t>(axis), length);
    }
    if (l.batched && type.shape) type.shape->insert(type.shape->begin(), batch);
    c.set_output(i, std::move(type));
  }
  return {};
}

Status copy_elements(const Tensor& from, int64_t from_offset, Tensor& to, int64_t to_offset, int64_t count) {
  return dispatch_storage(from.dtype(), "Scan", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    std::copy_n(from.data<T>() + from_offset, count, to.data<T>() + to_offset);
    return {};
  });
}

// The slice of x at `index` along `axis`: a view for the outermost axis, else a copy.
Result<RtValue> slice_at(const Tensor& x, size_t axis, int64_t index) {
  Dims dims = x.dims();
  const int64_t extent = dims[axis];
  dims.erase(axis);
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < x.rank(); ++i)
    if (i != axis) (i < axis ? outer : inner) *= x.dim(i);
  if (axis == 0) {
    auto* start = static_cast<std::byte*>(x.raw()) + static_cast<size_t>(index * inner) * dtype_size(x.dtype());
    return RtValue::of(Tensor::shared(x.dtype(), dims, start, x.owner()));
  }
  CAMEO_ASSIGN(Tensor slice, Tensor::allocate(x.dtype(), dims));
  for (int64_t o = 0; o < outer; ++o) CAMEO_TRY(copy_elements(x, (o * extent + index) * inner, slice, o * inner, inner));
  return RtValue::of(std::move(slice));
}

// A tensor in which the values of all steps are put along a new axis. Memory comes with the first value, zeroed.
struct Stacked {
  Tensor all;
  Dims row;
  size_t axis = 0;

  // extents of the whole: `lead` is the number of positions
  Status make(DType dtype, const Dims& value, int64_t output_axis, int64_t lead) {
    row = value;
    CAMEO_ASSIGN(axis, normalize_axis(output_axis, row.rank() + 1, "scan_output_axes"));
    Dims dims = row;
    dims.insert(axis, lead);
    CAMEO_ASSIGN(all, Tensor::allocate(dtype, dims));
    return {};
  }
  Status put(const RtValue& value, int64_t output_axis, int64_t lead, int64_t position) {
    const Tensor& t = value.tensor;
    if (!value.is_tensor() || !t.defined()) return error(ErrorCode::kInvalidInput, "only tensors can be stacked");
    if (!all.defined()) CAMEO_TRY(make(t.dtype(), t.dims(), output_axis, lead));
    if (t.dtype() != all.dtype() || t.dims() != row)
      return error(ErrorCode::kInvalidInput, "the body gives {}[{}] where it gave {}[{}] before; all steps must give one shape",
                   dtype_name(t.dtype()), t.dims().to_string(), dtype_name(all.dtype()), row.to_string());
    int64_t outer = 1, inner = 1;
    for (size_t i = 0; i < row.rank(); ++i) (i < axis ? outer : inner) *= row[i];
    for (int64_t o = 0; o < outer; ++o) CAMEO_TRY(copy_elements(t, o * inner, all, (o * lead + position) * inner, inner));
    return {};
  }
  // Without any step: the shape is the body's, as far as it is known; other extents count as 0.
  Status make_empty(const ir::Type& type, int64_t output_axis, int64_t lead) {
    if (all.defined()) return {};
    if (type.dtype == DType::kUndefined)
      return error(ErrorCode::kUnsupported, "there was no step and the element type of an output is not known");
    Dims dims;
    if (type.shape)
      for (const ir::Dim& d : *type.shape) dims.push_back(d.is_const() ? d.value() : 0);
    return make(type.dtype, dims, output_axis, lead);
  }
};

// Runs the steps of one sequence. Outputs are put at `base` + step, of `lead` positions.
Status run_steps(KernelContext& c, const Layout& l, std::vector<RtValue>& states, std::span<const Tensor> scanned, int64_t length,
                 std::span<Stacked> stacks, int64_t lead, int64_t base) {
  std::vector<RtValue> formal(l.states + l.scan_inputs);
  for (int64_t t = 0; t < length; ++t) {
    CAMEO_TRY(c.check_cancelled());
    for (size_t i = 0; i < l.states; ++i) formal[i] = std::move(states[i]);
    for (size_t i = 0; i < l.scan_inputs; ++i) {
      CAMEO_ASSIGN(const size_t axis, normalize_axis(l.input_axes[i], scanned[i].rank(), "scan_input_axes"));
      CAMEO_ASSIGN(formal[l.states + i], slice_at(scanned[i], axis, l.input_reversed[i] ? length - 1 - t : t));
    }
    auto made = c.run_subgraph(0, formal);
    if (!made.ok()) return std::move(made).error().in("step " + std::to_string(t));
    for (size_t i = 0; i < l.states; ++i) {
      const Tensor &before = formal[i].tensor, &after = (*made)[i].tensor;
      if (!(*made)[i].is_tensor() || after.dtype() != before.dtype() || after.dims() != before.dims())
        return error(ErrorCode::kInvalidInput, "step {}: state {} goes from {}[{}] to {}[{}]; a state keeps its type and shape", t, i,
                     dtype_name(before.dtype()), before.dims().to_string(), dtype_name(after.dtype()), after.dims().to_string());
      states[i] = std::move((*made)[i]);
    }
    for (size_t k = 0; k < l.scan_outputs; ++k) {
      const int64_t position = base + (l.output_reversed[k] ? length - 1 - t : t);
      if (auto status = stacks[k].put((*made)[l.states + k], l.output_axes[k], lead, position); !status.ok())
        return std::move(status).error().in("step " + std::to_string(t) + ": scan output " + std::to_string(k));
    }
  }
  return {};
}

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const Layout l, layout_of(c.node()));
  const ir::Graph& body = *c.node().subgraphs[0].graph;
  std::vector<Tensor> scanned;
  for (size_t i = 0; i < l.scan_inputs; ++i) scanned.push_back(c.input(l.first + l.states + i));
  std::vector<Stacked> stacks(l.scan_outputs);
  int64_t batches = 1, length = 0;
  CAMEO_ASSIGN(const size_t axis, normalize_axis(l.input_axes[0], scanned[0].rank() - l.batched, "scan_input_axes"));
  length = scanned[0].dim(axis + l.batched);
  if (l.batched) batches = scanned[0].dim(0);
  std::vector<RtValue> states(l.states);
  for (size_t i = 1; i < l.scan_inputs; ++i) {
    CAMEO_ASSIGN(const size_t own_axis, normalize_axis(l.input_axes[i], scanned[i].rank() - l.batched, "scan_input_axes"));
    if (scanned[i].dim(own_axis + l.batched) != length)
      return error(ErrorCode::kInvalidInput, "scan input {} has {} positions, others {}", i, scanned[i].dim(own_axis + l.batched), length);
  }
  if (!l.batched) {
    for (size_t i = 0; i < l.states; ++i) states[i] = c.value(l.first + i);
    CAMEO_TRY(run_steps(c, l, states, scanned, length, stacks, length, 0));
  } else {
    if (c.has_input(0) && c.input(0).num_elements() != batches)
      return error(ErrorCode::kInvalidInput, "there are {} sequence lengths for a batch of {}", c.input(0).num_elements(), batches);
    int64_t lead = 0;
    if (__builtin_mul_overflow(batches, length, &lead))
      return error(ErrorCode::kOutOfMemory, "{} x {} steps are too many", batches, length);
    std::vector<Stacked> final_states(l.states);
    std::vector<Tensor> entry(l.scan_inputs);
    for (int64_t b = 0; b < batches; ++b) {
      int64_t own = length;
      if (c.has_input(0)) own = c.input(0).data<int64_t>()[b];
      if (own < 0 || own > length) return error(ErrorCode::kInvalidInput, "sequence_lens holds {}; allowed: 0 to {}", own, length);
      for (size_t i = 0; i < l.states; ++i) {
        CAMEO_ASSIGN(states[i], slice_at(c.input(l.first + i), 0, b));
      }
      for (size_t i = 0; i < l.scan_inputs; ++i) {
        CAMEO_ASSIGN(RtValue slice, slice_at(scanned[i], 0, b));
        entry[i] = std::move(slice.tensor);
      }
      CAMEO_TRY(run_steps(c, l, states, entry, own, stacks, lead, b * length));
      for (size_t i = 0; i < l.states; ++i) CAMEO_TRY(final_states[i].put(states[i], 0, batches, b));
    }
    for (size_t i = 0; i < l.states; ++i) {
      CAMEO_TRY(final_states[i].make_empty(body.value(body.outputs[i]).type, 0, batches));
      states[i] = RtValue::of(std::move(final_states[i].all));
    }
  }
  for (size_t i = 0; i < c.num_outputs(); ++i) {
    if (!c.has_output(i)) continue;
    if (i < l.states) {
      CAMEO_ASSIGN(RtValue state, owning(states[i]));
      c.set_value(i, std::move(state));
      continue;
    }
    const size_t k = i - l.states;
    CAMEO_TRY(stacks[k].make_empty(body.value(body.outputs[i]).type, l.output_axes[k], l.batched ? batches * length : length));
    Tensor all = std::move(stacks[k].all);
    if (l.batched) {
      Dims dims = all.dims();
      dims[0] = length;
      dims.insert(0, batches);
      all = all.reshaped(dims);
    }
    c.set_value(i, RtValue::of(std::move(all)));
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Scan) = {
    .name = "Scan",
    .min_version = 8,
    .min_inputs = 0,
    .max_inputs = kVariadic,
    .max_outputs = kVariadic,
    .make_attrs = &ir::make_attrs<ScanAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kControlFlow | kDataDependent,
    .subgraphs = {"body"},
};

}  // namespace cameo::ops
