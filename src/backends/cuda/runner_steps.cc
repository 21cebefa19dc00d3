// Runner, the steps that are not made ready before the run.
#include <algorithm>

#include "backends/cuda/annotate.h"
#include "backends/cuda/runner.h"
#include "backends/cuda/source.h"
#include "ops/evaluate.h"
#include "ops/value.h"

namespace cameo::cuda {
namespace {

using ops::RtValue;
using Place = runtime::Specialization::Place;

constexpr int64_t kSmall = 1024;  // elements; tensors of shape arithmetic have less

constexpr size_t kMostBounded = size_t{1} << 30;  // bytes; results that may be larger are made on the host

View seen(const Value& v) { return {.dtype = v.dtype, .storage = v.storage, .dims = v.dims}; }

bool is_index(DType t) { return t == DType::kInt64 || t == DType::kInt32; }

bool named(const ir::Node& node, std::initializer_list<std::string_view> names) {
  return node.op->domain.empty() && std::find(names.begin(), names.end(), node.op->name) != names.end();
}

}  // namespace

bool stays_on_host(const ir::Node& node) {
  return named(node, {"Shape",
                      "Size",
                      "If",
                      "Loop",
                      "Scan",
                      "SequenceAt",
                      "SequenceConstruct",
                      "SequenceEmpty",
                      "SequenceErase",
                      "SequenceInsert",
                      "SequenceLength",
                      "SequenceMap",
                      "SplitToSequence",
                      "ConcatFromSequence",
                      "Optional",
                      "OptionalGetElement",
                      "OptionalHasElement",
                      "Unique",
                      "StringConcat",
                      "StringSplit",
                      "StringNormalizer",
                      "RegexFullMatch",
                      "TfIdfVectorizer",
                      "ImageDecoder",
                      "MelWeightMatrix",
                      "RandomNormal",
                      "RandomNormalLike",
                      "RandomUniform",
                      "RandomUniformLike",
                      "Bernoulli",
                      "Multinomial"});
}

// Whether everything that the node reads is on the host already, and is little.
bool Runner::host_suffices(const ir::Node& node) const {
  if (node.inputs.empty() || !node.subgraphs.empty()) return false;
  for (ir::ValueId id : node.inputs) {
    if (id == ir::kNoValue) continue;
    const Value& v = values_[id];
    if (!v.host) return false;
    if (v.is_tensor() && v.dims.num_elements() > kSmall) return false;
  }
  return true;
}

Status Runner::infer(Prepared& p, const ir::Node& node) {
  auto& facts = p.spec.facts;
  const auto attempt = [&]() -> Status {
    ir::for_each_use(node, [&](ir::ValueId id) {
      const Value& v = values_[id];
      const bool known = v.host && v.is_tensor() && v.host->tensor.defined() && v.dims.num_elements() <= 4 * kSmall;
      facts[id] = known ? ops::Fact::of(v.host->tensor) : ops::Fact::of(v.type());
    });
    Status inferred = ops::infer_node(node, facts, {.fold_elements = 0});
    ir::for_each_use(node, [&](ir::ValueId id) {
      if (p.spec.values[id].place != Place::kConstant) facts[id].constant = {};
    });
    return inferred;
  };
  const auto settled = [&] {
    return std::all_of(node.outputs.begin(), node.outputs.end(),
                       [&](ir::ValueId id) { return id == ir::kNoValue || facts[id].type.is_concrete(); });
  };
  CAMEO_TRY(attempt());
  if (settled()) return {};
  // Extents that depend on indices which are on the device.
  for (ir::ValueId id : node.inputs) {
    if (id == ir::kNoValue) continue;
    Value& v = values_[id];
    if (is_index(v.dtype) && v.dims.num_elements() <= kSmall) CAMEO_TRY(fetch(v));
  }
  return attempt();
}

Status Runner::run_step(Prepared& p, size_t index) {
  const auto& step = p.spec.steps[index];
  const ir::Node& node = graph_.nodes[step.node];
  const Annotation range(node);
  bool tensors = true;
  ir::for_each_use(node, [&](ir::ValueId id) {
    Value& v = values_[id];
    // Views have no step; they are made when they are read.
    if (const auto& plan = p.spec.values[id]; plan.place == Place::kView && !v.present()) {
      v = values_[plan.source];
      v.dims = plan.dims;
      if (v.host) v.host->tensor = v.host->tensor.reshaped(plan.dims);
    }
    tensors = tensors && v.is_tensor() && v.dtype != DType::kString;
  });
  if (node.op->domain.empty() && node.op->name == "If") return run_if(node);
  if (node.op->domain.empty() && node.op->name == "Loop") return run_loop(node);
  // Version 8 has batches and lengths of its own: on the host.
  if (node.op->domain.empty() && node.op->name == "Scan" && node.version >= 9) return run_scan(node);
  const DeviceOp* op = find_device_op(node);
  const bool natural = stays_on_host(node) || !tensors || host_suffices(node);
  if (natural || !op || !supports_types(node, graph_).ok()) {
    if (!natural && !session_.cpu_fallback)
      return error(ErrorCode::kUnsupported,
                   "the device cannot run it; build the plan so that it may run on the CPU (--allow-cpu-fallback)");
    return run_on_host(p, node);
  }
  for (size_t i = 0; i < node.inputs.size(); ++i)
    if ((op->host_inputs >> std::min<size_t>(i, 31) & 1) && node.inputs[i] != ir::kNoValue) CAMEO_TRY(fetch(values_[node.inputs[i]]));
  if (!step.shapes_known && !op->bound) {
    CAMEO_TRY(infer(p, node));
    for (size_t i = 0; i < node.outputs.size(); ++i)
      if (node.outputs[i] != ir::kNoValue && !p.spec.facts[node.outputs[i]].type.is_concrete()) {
        if (!session_.cpu_fallback) return error(ErrorCode::kUnsupported, "the extents of output {} depend on data", i);
        return run_on_host(p, node);
      }
  }
  std::vector<View> inputs;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ir::ValueId id = node.inputs[i];
    View view;
    if (id != ir::kNoValue) {
      const Value& v = values_[id];
      if (p.spec.values[id].place == Place::kConstant) {
        view = view_of(p, id);
      } else {
        view = {.dtype = v.dtype, .storage = v.device ? v.storage : v.dtype, .dims = v.dims};
        const bool wanted = op->host_inputs >> std::min<size_t>(i, 31) & 1;
        if (v.host && (wanted || !v.device)) view.value = v.host->tensor;
      }
    }
    inputs.push_back(std::move(view));
  }
  const auto otherwise = [&](const Status& status) -> Status {
    if (status.error().code() == ErrorCode::kUnsupported && session_.cpu_fallback) return run_on_host(p, node);
    return status.error();
  };
  std::vector<Value> made;
  if (op->bound) {
    CAMEO_ASSIGN(const Bound most, op->bound(node, Attributes(*node.attrs), inputs));
    CAMEO_ASSIGN(const int64_t elements, most.dims.checked_num_elements());
    const DType type = p.spec.facts[node.outputs[0]].type.dtype;
    if (static_cast<size_t>(elements) > kMostBounded / dtype_size(type)) return run_on_host(p, node);
    CAMEO_ASSIGN(Value result, fresh(type, most.dims));
    CAMEO_ASSIGN(Value count, fresh(DType::kInt64, Dims{1}));
    made.push_back(std::move(result));
    made.push_back(std::move(count));
    const Status launched = launch_step(p, index, std::move(inputs), {seen(made[0]), seen(made[1])}, made);
    if (!launched.ok()) return otherwise(launched);
    CAMEO_TRY(fetch(made[1]));
    made[0].dims[most.axis] = *made[1].host->tensor.data<int64_t>();
    values_[node.outputs[0]] = std::move(made[0]);
    return {};
  }
  std::vector<View> outputs;
  for (ir::ValueId id : node.outputs) {
    Value v;
    if (id != ir::kNoValue) {
      const auto& plan = p.spec.values[id];
      if (plan.place == Place::kArena || plan.place == Place::kOutput) {
        v = placed_value(p, id);
      } else {
        const ir::Type& type = p.spec.facts[id].type;
        CAMEO_ASSIGN(v, fresh(type.dtype, *ir::to_dims(*type.shape)));
      }
    }
    outputs.push_back(id != ir::kNoValue ? seen(v) : View{});
    made.push_back(std::move(v));
  }
  const Status launched = launch_step(p, index, std::move(inputs), std::move(outputs), made);
  if (!launched.ok()) return otherwise(launched);
  for (size_t i = 0; i < node.outputs.size(); ++i)
    if (node.outputs[i] != ir::kNoValue) values_[node.outputs[i]] = std::move(made[i]);
  return {};
}

Result<Value> Runner::fresh(DType dtype, const Dims& dims) {
  Value v;
  v.dtype = v.storage = dtype;
  v.dims = dims;
  CAMEO_ASSIGN(const int64_t count, dims.checked_num_elements());
  CAMEO_ASSIGN(MemoryPool::Block block, session_.pool->allocate(static_cast<size_t>(count) * dtype_size(dtype)));
  auto owner = std::make_shared<MemoryPool::Block>(std::move(block));
  v.device = owner->data();
  v.owner = std::move(owner);
  return v;
}

Status Runner::launch_step(Prepared& p, size_t index, std::vector<View> inputs, std::vector<View> outputs, std::span<const Value> made) {
  const ir::Node& node = graph_.nodes[p.spec.steps[index].node];
  std::vector<View> views = inputs;
  views.insert(views.end(), outputs.begin(), outputs.end());
  std::optional<Ready>& ready = p.steps[index];
  const auto equal = [](const View& a, const View& b) {
    return a.dtype == b.dtype && a.storage == b.storage && a.dims == b.dims && a.value.defined() == b.value.defined() &&
           (!a.value.defined() || (a.weight && a.value.raw() == b.value.raw()));
  };
  if (!ready || ready->views.size() != views.size() || !std::equal(views.begin(), views.end(), ready->views.begin(), equal)) {
    const Tuning::Scope scope(session_.weights.tuning());
    CAMEO_ASSIGN(Ready made_ready, make_ready(node, std::move(inputs), std::move(outputs)));
    // What the step before this one used may still be read by the device.
    if (ready) CAMEO_TRY(synchronize(session_.stream));
    ready = std::move(made_ready);
  }
  std::vector<void*> from, to;
  for (ir::ValueId id : node.inputs) from.push_back(id == ir::kNoValue ? nullptr : values_[id].device);
  for (const Value& v : made) to.push_back(v.device);
  CAMEO_ASSIGN(void* memory, scratch(ready->step.scratch_bytes));
  return ready->step.run({from, to, static_cast<std::byte*>(memory)}, session_.stream);
}

Status Runner::run_on_host(Prepared& p, const ir::Node& node) {
  std::vector<RtValue> inputs;
  std::vector<std::vector<RtValue>> captures;
  const bool extents_only = named(node, {"Shape", "Size"});
  for (ir::ValueId id : node.inputs) {
    RtValue value;
    if (id != ir::kNoValue) {
      Value& v = values_[id];
      if (extents_only && v.is_tensor()) {
        value = RtValue::of(Tensor::view(v.dtype, v.dims, nullptr));
      } else {
        CAMEO_TRY(fetch(v));
        value = *v.host;
      }
    }
    inputs.push_back(std::move(value));
  }
  for (const ir::Subgraph& s : node.subgraphs) {
    std::vector<RtValue>& list = captures.emplace_back();
    for (ir::ValueId id : s.captures) {
      CAMEO_TRY(fetch(values_[id]));
      list.push_back(*values_[id].host);
    }
  }
  CAMEO_ASSIGN(std::vector<RtValue> outputs, ops::evaluate_node(node, inputs, captures));
  for (size_t i = 0; i < node.outputs.size() && i < outputs.size(); ++i) {
    const ir::ValueId id = node.outputs[i];
    if (id == ir::kNoValue) continue;
    Value v = Value::of(std::move(outputs[i]));
    // Captured or not, others read it where it was placed.
    if (const Place place = p.spec.values[id].place; v.is_tensor() && (place == Place::kArena || place == Place::kOutput)) {
      const Value there = placed_value(p, id);
      if (there.storage == v.dtype && there.dims == v.dims) {
        CAMEO_TRY(copy(there.device, v.host->tensor.raw(), v.host->tensor.num_bytes(), session_.stream));
        CAMEO_TRY(synchronize(session_.stream));
        v.device = there.device;
        v.storage = there.storage;
      }
    }
    values_[id] = std::move(v);
  }
  return {};
}

Status Runner::subgraph(const ir::Node& node, size_t index, std::vector<Value> formal, std::vector<Value>& outputs) {
  const ir::Subgraph& s = node.subgraphs[index];
  auto it = std::find_if(nested_.begin(), nested_.end(), [&](const auto& n) { return n.first == &s; });
  if (it == nested_.end()) {
    nested_.emplace_back(&s, std::make_unique<Runner>(*s.graph, session_, false));
    it = nested_.end() - 1;
  }
  for (ir::ValueId id : s.captures) {
    Value& v = values_[id];
    // Subgraphs know nothing of what is kept in 16 bits.
    if (v.device && v.storage != v.dtype) {
      Value wide = v;
      wide.host.reset();
      CAMEO_TRY(fetch(wide));
      wide.device = nullptr;
      formal.push_back(std::move(wide));
    } else {
      formal.push_back(v);
    }
  }
  CAMEO_TRY(it->second->run(formal, outputs));
  // The next run of the subgraph overwrites its memory.
  for (Value& v : outputs) {
    if (!v.device || v.host || v.owner) continue;
    CAMEO_ASSIGN(MemoryPool::Block block, session_.pool->allocate(static_cast<size_t>(v.dims.num_elements()) * dtype_size(v.storage)));
    auto owner = std::make_shared<MemoryPool::Block>(std::move(block));
    CAMEO_TRY(copy(owner->data(), v.device, static_cast<size_t>(v.dims.num_elements()) * dtype_size(v.storage), session_.stream));
    v.device = owner->data();
    v.owner = std::move(owner);
  }
  return {};
}

Status Runner::run_if(const ir::Node& node) {
  CAMEO_TRY(fetch(values_[node.inputs[0]]));
  const Tensor& condition = values_[node.inputs[0]].host->tensor;
  if (condition.num_elements() != 1) return error(ErrorCode::kInvalidInput, "the condition has {} elements", condition.num_elements());
  std::vector<Value> outputs;
  CAMEO_TRY(subgraph(node, *condition.data<uint8_t>() ? 0 : 1, {}, outputs));
  for (size_t i = 0; i < node.outputs.size(); ++i)
    if (node.outputs[i] != ir::kNoValue) values_[node.outputs[i]] = std::move(outputs[i]);
  return {};
}

// [n, …] from n values of one shape.
Result<Value> Runner::stacked(const std::vector<Value>& parts, const ir::Type& element) {
  Value v;
  if (parts.empty()) {
    Dims dims{0};
    if (element.shape)
      for (const ir::Dim& d : *element.shape) dims.push_back(d.is_const() ? d.value() : 0);
    CAMEO_ASSIGN(Tensor none, Tensor::allocate(element.dtype, dims));
    return Value::of(RtValue::of(std::move(none)));
  }
  v.dtype = v.storage = parts[0].dtype;
  v.dims = Dims{static_cast<int64_t>(parts.size())};
  for (int64_t d : parts[0].dims) v.dims.push_back(d);
  const size_t bytes = static_cast<size_t>(parts[0].dims.num_elements()) * dtype_size(v.dtype);
  CAMEO_ASSIGN(MemoryPool::Block block, session_.pool->allocate(bytes * parts.size()));
  auto owner = std::make_shared<MemoryPool::Block>(std::move(block));
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!(parts[i].dims == parts[0].dims)) return error(ErrorCode::kInvalidInput, "the parts of a scan output have different shapes");
    const void* from = parts[i].device ? parts[i].device : parts[i].host->tensor.raw();
    CAMEO_TRY(copy(static_cast<std::byte*>(owner->data()) + i * bytes, from, bytes, session_.stream));
  }
  CAMEO_TRY(synchronize(session_.stream));
  v.device = owner->data();
  v.owner = std::move(owner);
  return v;
}

Status Runner::run_loop(const ir::Node& node) {
  const auto present = [&](size_t i) { return i < node.inputs.size() && node.inputs[i] != ir::kNoValue; };
  int64_t trips = INT64_MAX;
  if (present(0)) {
    CAMEO_TRY(fetch(values_[node.inputs[0]]));
    const Tensor& t = values_[node.inputs[0]].host->tensor;
    if (t.num_elements() != 1) return error(ErrorCode::kInvalidInput, "the trip count has {} elements", t.num_elements());
    trips = t.dtype() == DType::kInt32 ? *t.data<int32_t>() : *t.data<int64_t>();
  }
  bool go = true;
  if (present(1)) {
    CAMEO_TRY(fetch(values_[node.inputs[1]]));
    const Tensor& t = values_[node.inputs[1]].host->tensor;
    if (t.num_elements() != 1) return error(ErrorCode::kInvalidInput, "the condition has {} elements", t.num_elements());
    go = *t.data<uint8_t>() != 0;
  }
  const ir::Graph& body = *node.subgraphs[0].graph;
  const size_t carried = node.inputs.size() > 2 ? node.inputs.size() - 2 : 0, scans = body.outputs.size() - 1 - carried;
  std::vector<Value> state;
  for (size_t i = 0; i < carried; ++i) state.push_back(values_[node.inputs[i + 2]]);
  std::vector<std::vector<Value>> parts(scans);
  for (int64_t trip = 0; trip < trips && go; ++trip) {
    if (session_.cancelled.load(std::memory_order_relaxed)) return error(ErrorCode::kCancelled, "the run was cancelled");
    std::vector<Value> formal = {Value::of(RtValue::of(Tensor::of<int64_t>({}, {trip}))),
                                 Value::of(RtValue::of(Tensor::of<bool>({}, {true})))};
    formal.insert(formal.end(), state.begin(), state.end());
    std::vector<Value> outputs;
    CAMEO_TRY(subgraph(node, 0, std::move(formal), outputs));
    CAMEO_TRY(fetch(outputs[0]));
    go = *outputs[0].host->tensor.data<uint8_t>() != 0;
    for (size_t i = 0; i < carried; ++i) state[i] = std::move(outputs[1 + i]);
    for (size_t i = 0; i < scans; ++i) parts[i].push_back(std::move(outputs[1 + carried + i]));
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == ir::kNoValue) continue;
    if (i < carried) {
      values_[node.outputs[i]] = std::move(state[i]);
    } else {
      CAMEO_ASSIGN(values_[node.outputs[i]], stacked(parts[i - carried], body.value(body.outputs[1 + i]).type));
    }
  }
  return {};
}

}  // namespace cameo::cuda
