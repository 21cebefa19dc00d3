#include <chrono>
#include <cstring>
#include <new>

#include "base/error.h"
#include "runtime/engine_impl.h"
#include "runtime/batch_run.h"

namespace cameo {

using ops::RtValue;

constexpr int kMaxThreads = 1024;

struct ExecutionContext::Impl {
  Impl(std::shared_ptr<const Engine::Impl> e, Allocator& allocator, const ContextOptions& options)
      : engine(std::move(e)),
        state(allocator, options.threads, options.cpus),
        executor(engine->content.graph, state),
        batch_run(engine->content.graph, engine->content.batch, engine->weight_bytes, executor, allocator),
        shapes(engine->inputs.size()),
        has_shape(engine->inputs.size(), false),
        inputs(engine->inputs.size()),
        bindings(engine->outputs.size()),
        outputs(engine->outputs.size()) {
    // Inputs whose extents are all fixed need no set_input_shape().
    for (size_t i = 0; i < engine->inputs.size(); ++i) {
      const TensorInfo& info = engine->inputs[i];
      if (!info.is_tensor || !info.has_rank) continue;
      Dims dims;
      bool fixed = true;
      for (const DimInfo& d : info.dims) {
        fixed &= d.value >= 0;
        dims.push_back(d.value);
      }
      if (!fixed) continue;
      shapes[i] = dims;
      has_shape[i] = true;
    }
  }

  // Whether all inputs have shapes that fit together.
  Status check_shapes() {
    if (shapes_checked) return {};
    for (size_t i = 0; i < engine->inputs.size(); ++i)
      if (engine->inputs[i].is_tensor && !has_shape[i])
        return error(ErrorCode::kInvalidInput, "input '{}' has no shape yet: call set_input_shape() or set_input()",
                     engine->inputs[i].name);
    CAMEO_TRY(engine->check_shapes(shapes, profile));
    shapes_checked = true;
    return {};
  }

  // A byte other than 0 and 1 would be undefined behaviour in a kernel.
  Status check_bools() const {
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Tensor& t = inputs[i].tensor;
      if (!inputs[i].is_tensor() || t.dtype() != DType::kBool) continue;
      for (const uint8_t byte : std::span(t.data<uint8_t>(), t.num_bytes()))
        if (byte > 1)
          return error(ErrorCode::kInvalidInput, "input '{}' is bool and holds the byte {}; only 0 and 1 are allowed",
                       engine->inputs[i].name, byte);
    }
    return {};
  }

  Status set_shape(size_t i, const Dims& shape) {
    if (has_shape[i] && shapes[i] == shape) return {};
    CAMEO_TRY(engine->check_input_shape(i, shape));
    shapes[i] = shape;
    has_shape[i] = true;
    shapes_checked = false;
    // Memory that was bound for another shape is not read with this one.
    if (inputs[i].is_tensor() && inputs[i].tensor.defined() && !(inputs[i].tensor.dims() == shape)) {
      const size_t bytes = static_cast<size_t>(shape.num_elements()) * dtype_size(inputs[i].tensor.dtype());
      inputs[i] = bytes <= bound_bytes(i) ? RtValue::of(Tensor::view(inputs[i].tensor.dtype(), shape, inputs[i].tensor.raw())) : RtValue{};
    }
    return {};
  }

  size_t bound_bytes(size_t i) const { return i < address_bytes.size() ? address_bytes[i] : 0; }

  // Runs on the device of the plan, on the caller's stream if there is one.
  Status run_on_device(void* const* stream) {
    device->cancel(false);
    return stream ? device->enqueue(*stream, inputs, bindings, outputs) : device->run(inputs, bindings, outputs);
  }

  Result<runtime::Specialization*> specialization() {
    const std::vector<ops::Fact> facts = engine->facts_of(shapes);
    return device ? device->specialization(facts) : executor.specialization(facts);
  }

  Result<const RtValue*> find_output(const std::string& name) const {
    CAMEO_ASSIGN(const size_t k, engine->find_output(name));
    if (!has_run) return error(ErrorCode::kInvalidArgument, "output '{}' has no value: no run() has succeeded since the last change", name);
    return &outputs[k];
  }

  std::shared_ptr<const Engine::Impl> engine;
  runtime::ExecutionState state;
  runtime::Executor executor;
  runtime::BatchRun batch_run;
  std::unique_ptr<runtime::DeviceContext> device;  // null on the CPU
  std::optional<size_t> profile;
  std::vector<Dims> shapes;
  std::vector<bool> has_shape;
  bool shapes_checked = false;
  std::vector<RtValue> inputs;
  std::vector<size_t> address_bytes;  // of inputs bound by set_tensor_address
  std::vector<runtime::Executor::OutputBinding> bindings;
  std::vector<RtValue> outputs;
  bool has_run = false;
  std::vector<std::chrono::nanoseconds> node_times;
};

ExecutionContext::ExecutionContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ExecutionContext::ExecutionContext(ExecutionContext&&) noexcept = default;
ExecutionContext& ExecutionContext::operator=(ExecutionContext&&) noexcept = default;
ExecutionContext::~ExecutionContext() = default;

Result<ExecutionContext> Engine::create_context(const ContextOptions& options) const try {
  if (options.threads < 0 || options.threads > kMaxThreads)
    return error(ErrorCode::kInvalidArgument, "threads is {}; it must be 0 (all processors) to {}", options.threads, kMaxThreads);
  Allocator& allocator = options.allocator ? *options.allocator : default_allocator();
  auto context = std::make_unique<ExecutionContext::Impl>(impl_, allocator, options);
  if (impl_->device) {
    CAMEO_ASSIGN(context->device, impl_->device->create_context({.graphs = options.cuda_graphs, .memory_limit = options.device_memory_limit}));
  }
  return ExecutionContext(std::move(context));
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory for an execution context");
}

Status ExecutionContext::set_profile(size_t index) {
  if (index >= impl_->engine->content.profiles.size())
    return error(ErrorCode::kInvalidArgument, "profile {} does not exist; the plan has {}", index, impl_->engine->content.profiles.size());
  impl_->profile = index;
  impl_->shapes_checked = false;
  return {};
}

Status ExecutionContext::set_input_shape(const std::string& name, const Dims& shape) {
  CAMEO_ASSIGN(const size_t i, impl_->engine->find_input(name));
  return impl_->set_shape(i, shape);
}

Status ExecutionContext::set_tensor_address(const std::string& name, void* data, size_t bytes) {
  Impl& c = *impl_;
  if (const auto it = c.engine->output_index.find(name); it != c.engine->output_index.end()) {
    c.bindings[it->second] = {data, data ? bytes : 0};
    return {};
  }
  CAMEO_ASSIGN(const size_t i, c.engine->find_input(name));
  const TensorInfo& info = c.engine->inputs[i];
  if (!info.is_tensor || info.dtype == DType::kString || info.dtype == DType::kUndefined)
    return error(ErrorCode::kInvalidArgument, "input '{}' ({}) cannot be bound to memory; use set_input()", name, info.type);
  if (!c.has_shape[i]) return error(ErrorCode::kInvalidInput, "input '{}' has no shape yet: call set_input_shape() first", name);
  const size_t needed = static_cast<size_t>(c.shapes[i].num_elements()) * dtype_size(info.dtype);
  if (bytes < needed || (data == nullptr && needed > 0))
    return error(ErrorCode::kInvalidInput, "input '{}' takes {} bytes at shape {}, the memory given has {}", name, needed,
                 c.shapes[i].to_string(), data ? bytes : 0);
  c.address_bytes.resize(c.inputs.size(), 0);
  c.address_bytes[i] = bytes;
  c.inputs[i] = RtValue::of(Tensor::view(info.dtype, c.shapes[i], data));
  return {};
}

Status ExecutionContext::set_input(const std::string& name, const Tensor& tensor) {
  Impl& c = *impl_;
  CAMEO_ASSIGN(const size_t i, c.engine->find_input(name));
  if (!tensor.defined()) return error(ErrorCode::kInvalidInput, "input '{}' was given a tensor without a type", name);
  const ir::Type& declared = c.engine->content.graph.value(c.engine->content.graph.inputs[i]).type;
  if (declared.kind == ir::Type::Kind::kOptional && declared.element->is_tensor()) {
    c.inputs[i] = RtValue::optional(RtValue::of(tensor));
    return {};
  }
  CAMEO_TRY(c.engine->check_input_type(i, tensor.dtype()));
  CAMEO_TRY(c.set_shape(i, tensor.dims()));
  if (i < c.address_bytes.size()) c.address_bytes[i] = 0;
  c.inputs[i] = RtValue::of(tensor);
  return {};
}

Status ExecutionContext::set_input_sequence(const std::string& name, std::vector<Tensor> elements) {
  Impl& c = *impl_;
  CAMEO_ASSIGN(const size_t i, c.engine->find_input(name));
  const ir::Type& declared = c.engine->content.graph.value(c.engine->content.graph.inputs[i]).type;
  const bool optional = declared.kind == ir::Type::Kind::kOptional && declared.element->kind == ir::Type::Kind::kSequence;
  if (declared.kind != ir::Type::Kind::kSequence && !optional)
    return error(ErrorCode::kInvalidInput, "input '{}' is a {}, not a sequence", name, c.engine->inputs[i].type);
  const DType dtype = c.engine->inputs[i].dtype;
  std::vector<RtValue> values;
  for (size_t k = 0; k < elements.size(); ++k) {
    if (elements[k].dtype() != dtype)
      return error(ErrorCode::kInvalidInput, "element {} of input '{}' has type {}, the model takes {}", k, name,
                   dtype_name(elements[k].dtype()), dtype_name(dtype));
    values.push_back(RtValue::of(std::move(elements[k])));
  }
  RtValue sequence = RtValue::sequence(std::move(values), dtype);
  c.inputs[i] = optional ? RtValue::optional(std::move(sequence)) : std::move(sequence);
  return {};
}

Status ExecutionContext::set_input_absent(const std::string& name) {
  Impl& c = *impl_;
  CAMEO_ASSIGN(const size_t i, c.engine->find_input(name));
  if (c.engine->content.graph.value(c.engine->content.graph.inputs[i]).type.kind != ir::Type::Kind::kOptional)
    return error(ErrorCode::kInvalidInput, "input '{}' is a {}, which cannot be absent", name, c.engine->inputs[i].type);
  c.inputs[i] = RtValue::optional(std::nullopt);
  return {};
}

Result<Dims> ExecutionContext::output_shape(const std::string& name) try {
  Impl& c = *impl_;
  CAMEO_ASSIGN(const size_t k, c.engine->find_output(name));
  CAMEO_TRY(c.check_shapes());
  CAMEO_ASSIGN(const auto* s, c.specialization());
  const ir::Type& type = s->facts[c.engine->content.graph.outputs[k]].type;
  if (!type.is_tensor() || !type.shape)
    return error(ErrorCode::kInvalidArgument, "the shape of output '{}' is known only after a run", name);
  Dims dims;
  for (const ir::Dim& d : *type.shape) dims.push_back(d.is_const() ? d.value() : -1);
  return dims;
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory to infer the model's shapes");
}

Status ExecutionContext::run() { return run(nullptr); }
Status ExecutionContext::enqueue(void* stream) { return run(&stream); }

Status ExecutionContext::run(void* const* stream) try {
  Impl& c = *impl_;
  c.has_run = false;
  c.state.cancelled.store(false, std::memory_order_relaxed);
  CAMEO_TRY(c.check_shapes());
  for (size_t i = 0; i < c.inputs.size(); ++i)
    if (c.inputs[i].is_tensor() && !c.inputs[i].tensor.defined())
      return error(ErrorCode::kInvalidInput, "input '{}' was given no data: call set_input() or set_tensor_address()",
                   c.engine->inputs[i].name);
  if (c.device) {
    CAMEO_TRY(c.run_on_device(stream));
  } else {
    CAMEO_TRY(c.check_bools());
    CAMEO_TRY(c.batch_run.run(c.inputs, c.bindings, c.outputs));
  }
  c.has_run = true;
  return {};
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "the run needs more memory than there is");
}

Result<Tensor> ExecutionContext::output(const std::string& name) const {
  CAMEO_ASSIGN(const RtValue* value, impl_->find_output(name));
  if (value->kind == ir::Type::Kind::kOptional && !value->elements->empty() && value->elements->front().is_tensor())
    return value->elements->front().tensor;
  if (!value->is_tensor())
    return error(ErrorCode::kInvalidArgument, "output '{}' is not a tensor; use output_sequence() or output_present()", name);
  return value->tensor;
}

Result<std::vector<Tensor>> ExecutionContext::output_sequence(const std::string& name) const {
  CAMEO_ASSIGN(const RtValue* value, impl_->find_output(name));
  if (value->kind == ir::Type::Kind::kOptional && !value->elements->empty()) value = &value->elements->front();
  if (value->kind != ir::Type::Kind::kSequence) return error(ErrorCode::kInvalidArgument, "output '{}' is not a sequence", name);
  std::vector<Tensor> elements;
  for (const RtValue& v : *value->elements) elements.push_back(v.tensor);
  return elements;
}

Result<bool> ExecutionContext::output_present(const std::string& name) const {
  CAMEO_ASSIGN(const RtValue* value, impl_->find_output(name));
  return value->kind != ir::Type::Kind::kOptional || !value->elements->empty();
}

void ExecutionContext::start_profiling() {
  impl_->node_times.assign(impl_->engine->content.graph.nodes.size(), {});
  if (impl_->device)
    impl_->device->time_nodes(&impl_->node_times);
  else
    impl_->executor.time_nodes(&impl_->node_times);
}

std::vector<NodeTime> ExecutionContext::take_profile() {
  std::vector<NodeTime> profile;
  const ir::Graph& graph = impl_->engine->content.graph;
  for (size_t i = 0; i < impl_->node_times.size(); ++i) {
    const auto time = std::exchange(impl_->node_times[i], {});
    if (time.count() == 0) continue;
    const ir::Node& node = graph.nodes[i];
    std::string outputs;
    for (ir::ValueId id : node.outputs) {
      if (id == ir::kNoValue) continue;
      outputs += (outputs.empty() ? "" : ", ") + (impl_->device ? impl_->device->type_in_last_run(id) : impl_->executor.type_in_last_run(id));
    }
    profile.push_back({node.name, (node.op->domain.empty() ? "" : std::string(node.op->domain) + ".") + std::string(node.op->name),
                       impl_->device ? impl_->engine->content.backend : node.kernel.empty() ? "reference" : node.kernel, std::move(outputs),
                       std::chrono::duration<double, std::milli>(time).count()});
  }
  return profile;
}

void ExecutionContext::cancel() {
  impl_->state.cancelled.store(true, std::memory_order_relaxed);
  if (impl_->device) impl_->device->cancel(true);
}

std::optional<DeviceTimes> ExecutionContext::device_times() const {
  if (!impl_->device) return std::nullopt;
  const runtime::DeviceTimings t = impl_->device->timings();
  return DeviceTimes{t.h2d_ms, t.compute_ms, t.d2h_ms};
}

Result<MemoryForecast> ExecutionContext::memory_forecast() try {
  Impl& c = *impl_;
  CAMEO_TRY(c.check_shapes());
  if (c.device) {
    CAMEO_ASSIGN(const auto* s, c.specialization());
    return MemoryForecast{s->arena_bytes, s->without_reuse, s->output_bytes, c.engine->weight_bytes, s->complete};
  }
  const std::vector<ops::Fact> facts = c.engine->facts_of(c.shapes);
  CAMEO_ASSIGN(const auto* used, c.batch_run.specialization_used(facts));
  const size_t arena = used->arena_bytes;
  CAMEO_ASSIGN(const auto* whole, c.executor.specialization(facts));
  return MemoryForecast{arena, whole->without_reuse, whole->output_bytes, c.engine->weight_bytes, whole->complete};
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory to infer the model's shapes");
}

}  // namespace cameo
