#include "runtime/executor.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>

#include "base/error.h"
#include "ops/value.h"
#include "runtime/memory_plan.h"

namespace cameo::runtime {
namespace {

using ops::RtValue;
using Place = Specialization::Place;

constexpr size_t kMaxSpecializations = 32;

// Whether a fact says of an input just what the value is: type and extents.
bool same_type(const ops::Fact& fact, const RtValue& value) {
  if (!value.is_tensor() || !fact.type.is_tensor() || !fact.type.shape) return false;
  if (fact.type.dtype != value.tensor.dtype() || fact.type.shape->size() != value.tensor.rank()) return false;
  for (size_t i = 0; i < value.tensor.rank(); ++i)
    if (!(*fact.type.shape)[i].is(value.tensor.dim(i))) return false;
  return true;
}

bool same_type(const ir::Type& a, const ir::Type& b) {
  return a.is_tensor() && b.is_tensor() && a.dtype == b.dtype && a.shape && b.shape && *a.shape == *b.shape;
}

// Copies what `to` has room for exactly; both are tensors of the same type and extents.
void copy_elements(const Tensor& from, Tensor& to) {
  if (from.dtype() == DType::kString)
    std::copy_n(from.data<std::string>(), from.num_elements(), to.data<std::string>());
  else if (from.num_bytes() > 0 && from.raw() != to.raw())
    std::memcpy(to.raw(), from.raw(), from.num_bytes());
}

// The value with memory that outlives the arena: tensors that own none are copied.
Result<RtValue> owned(const RtValue& value) {
  if (value.is_tensor()) {
    if (!value.tensor.defined() || value.tensor.owner()) return value;
    CAMEO_ASSIGN(Tensor copy, value.tensor.clone());
    return RtValue::of(std::move(copy));
  }
  if (!value.elements || std::all_of(value.elements->begin(), value.elements->end(),
                                     [](const RtValue& v) { return v.is_tensor() && (!v.tensor.defined() || v.tensor.owner()); }))
    return value;
  RtValue copy = value;
  copy.elements = std::make_shared<std::vector<RtValue>>();
  for (const RtValue& v : *value.elements) {
    CAMEO_ASSIGN(RtValue element, owned(v));
    copy.elements->push_back(std::move(element));
  }
  return copy;
}

}  // namespace

GrowingBlock::GrowingBlock(GrowingBlock&& other) noexcept
    : allocator_(other.allocator_), data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

GrowingBlock::~GrowingBlock() {
  if (data_) allocator_->deallocate(data_, bytes_);
}

bool GrowingBlock::reserve(size_t bytes) {
  if (bytes <= bytes_ && data_) return false;
  bytes = std::max(bytes, kTensorAlignment);
  if (data_) allocator_->deallocate(data_, bytes_);
  bytes_ = 0;
  data_ = static_cast<std::byte*>(allocator_->allocate(bytes, kTensorAlignment));
  if (!data_) throw std::bad_alloc();
  bytes_ = bytes;
  return true;
}

// What a kernel sees of its node.
class Executor::NodeContext final : public ops::KernelContext {
 public:
  NodeContext(Executor& executor, Specialization& s, const ir::Node& node) : e_(executor), s_(s), node_(node) {}

  const ir::Node& node() const override { return node_; }
  const RtValue& value(size_t i) const override { return e_.values_[node_.inputs[i]]; }
  Tensor& output(size_t i) override { return e_.values_[node_.outputs[i]].tensor; }
  Status allocate_output(size_t i, DType dtype, const Dims& dims) override {
    RtValue& slot = e_.values_[node_.outputs[i]];
    if (placed(i) && slot.tensor.dtype() == dtype && slot.tensor.dims() == dims) return {};
    if (placed(i))
      return error(ErrorCode::kInternal, "output {} was inferred as {}[{}] but is {}[{}]", i, dtype_name(slot.tensor.dtype()),
                   slot.tensor.dims().to_string(), dtype_name(dtype), dims.to_string());
    CAMEO_ASSIGN(Tensor tensor, e_.new_tensor(dtype, dims));
    slot = RtValue::of(std::move(tensor));
    return {};
  }
  void set_value(size_t i, RtValue value) override {
    if (!has_output(i)) return;
    RtValue& slot = e_.values_[node_.outputs[i]];
    if (placed(i)) {
      if (value.is_tensor() && value.tensor.dtype() == slot.tensor.dtype() && value.tensor.dims() == slot.tensor.dims())
        return copy_elements(value.tensor, slot.tensor);
      failed_ = error(ErrorCode::kInternal, "output {} has another type than was inferred", i);
      return;
    }
    auto kept = owned(value);
    if (kept.ok())
      slot = std::move(kept).value();
    else
      failed_ = std::move(kept).error();
  }
  ThreadPool& threads() override { return e_.state_.threads; }
  void* scratch_bytes(size_t bytes) override { return e_.state_.scratch.allocate(bytes); }
  Result<std::vector<RtValue>> run_subgraph(size_t index, std::span<const RtValue> formal_inputs) override {
    return e_.run_subgraph(node_, index, formal_inputs);
  }
  Status check_cancelled() const override {
    if (e_.state_.cancelled.load(std::memory_order_relaxed)) return error(ErrorCode::kCancelled, "the run was cancelled");
    return {};
  }
  Status status() const { return failed_ ? Status(*failed_) : Status(); }

 private:
  bool placed(size_t i) const {
    const Place place = s_.values[node_.outputs[i]].place;
    return place == Place::kArena || place == Place::kOutput;
  }
  Executor& e_;
  Specialization& s_;
  const ir::Node& node_;
  std::optional<Error> failed_;
};

Executor::Executor(const ir::Graph& graph, ExecutionState& state)
    : graph_(graph), state_(state), arena_(state.allocator), values_(graph.values.size()) {
  for (const ir::Node& node : graph.nodes) {
    const tactics::Tactic* tactic = node.kernel.empty() ? nullptr : tactics::find_tactic(node.kernel);
    kernels_.push_back(tactic ? tactic->run : node.op->reference);
  }
  for (size_t i = 0; i < graph.outputs.size(); ++i) output_memory_.emplace_back(state.allocator);
}

Executor::~Executor() = default;

Result<Specialization*> Executor::specialization(std::span<const ops::Fact> inputs) {
  for (auto it = specializations_.begin(); it != specializations_.end(); ++it) {
    bool same = true;
    for (size_t i = 0; i < inputs.size() && same; ++i) same = same_type(it->facts[graph_.inputs[i]].type, inputs[i].type);
    if (!same) continue;
    specializations_.splice(specializations_.begin(), specializations_, it);
    return &specializations_.front();
  }
  CAMEO_ASSIGN(Specialization made, specialize(graph_, inputs));
  if (specializations_.size() == kMaxSpecializations) {
    if (bound_ == &specializations_.back()) bound_ = nullptr;
    specializations_.pop_back();
  }
  specializations_.push_front(std::move(made));
  return &specializations_.front();
}

// Points every placed value at its memory.
void Executor::bind(Specialization& s) {
  const bool moved = arena_.reserve(s.arena_bytes);
  if (bound_ == &s && !moved) return;
  bound_ = &s;
  for (size_t i = 0; i < values_.size(); ++i) {
    const auto& v = s.values[i];
    if (v.place == Place::kArena)
      values_[i] = RtValue::of(Tensor::view(v.dtype, v.dims, arena_.data() + v.offset));
    else if (v.place == Place::kConstant)
      values_[i] = RtValue::of(s.facts[i].constant);
    else if (v.place == Place::kElided)
      values_[i] = RtValue::of(Tensor::view(v.dtype, v.dims, nullptr));
    else
      values_[i] = RtValue{};
  }
}

Result<Tensor> Executor::new_tensor(DType dtype, const Dims& dims) {
  CAMEO_ASSIGN(const int64_t count, dims.checked_num_elements());
  if (dtype == DType::kString || &state_.allocator == &default_allocator()) return Tensor::allocate(dtype, dims);
  size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(count), dtype_size(dtype), &bytes)) throw std::bad_alloc();
  Allocator& allocator = state_.allocator;
  void* memory = allocator.allocate(std::max<size_t>(bytes, 1), kTensorAlignment);
  if (!memory) return error(ErrorCode::kOutOfMemory, "no memory for a {} tensor of shape {}", dtype_name(dtype), dims.to_string());
  return Tensor::shared(dtype, dims, memory, std::shared_ptr<const void>(memory, [&allocator, bytes](const void* p) {
                          allocator.deallocate(const_cast<void*>(p), std::max<size_t>(bytes, 1));
                        }));
}

Status Executor::run(std::span<const RtValue> inputs, std::span<const OutputBinding> bindings, std::span<RtValue> outputs, bool fresh) {
  // The usual case first: the shapes of the last run.
  Specialization* s = nullptr;
  if (bound_) {
    bool same = true;
    for (size_t i = 0; i < inputs.size() && same; ++i) same = same_type(bound_->facts[graph_.inputs[i]], inputs[i]);
    if (same) s = bound_;
  }
  if (!s) {
    input_facts_.resize(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) input_facts_[i] = ops::Fact::of(ops::type_of(inputs[i]));
    CAMEO_ASSIGN(s, specialization(input_facts_));
  }
  bind(*s);
  for (size_t i = 0; i < inputs.size(); ++i) values_[graph_.inputs[i]] = inputs[i];
  for (size_t k = 0; k < graph_.outputs.size(); ++k) {
    const ir::ValueId id = graph_.outputs[k];
    const auto& v = s->values[id];
    if (v.place != Place::kOutput) continue;
    const size_t bytes = static_cast<size_t>(v.dims.num_elements()) * dtype_size(v.dtype);
    const OutputBinding binding = k < bindings.size() ? bindings[k] : OutputBinding{};
    if (binding.data) {
      if (binding.bytes < bytes)
        return error(ErrorCode::kInvalidInput, "output '{}' takes {} bytes at shape {}, the memory bound to it has {}",
                     graph_.value(id).name, bytes, v.dims.to_string(), binding.bytes);
      values_[id] = RtValue::of(Tensor::view(v.dtype, v.dims, binding.data));
    } else if (fresh) {
      CAMEO_ASSIGN(Tensor tensor, new_tensor(v.dtype, v.dims));
      values_[id] = RtValue::of(std::move(tensor));
    } else {
      output_memory_[k].reserve(bytes);
      values_[id] = RtValue::of(Tensor::view(v.dtype, v.dims, output_memory_[k].data()));
    }
  }

  for (ir::ValueId id : s->views) {
    const auto& v = s->values[id];
    void* data = values_[v.source].tensor.raw();
    if (!values_[id].tensor.defined() || values_[id].tensor.raw() != data) values_[id] = RtValue::of(Tensor::view(v.dtype, v.dims, data));
  }

  for (const auto& step : s->steps) {
    if (state_.cancelled.load(std::memory_order_relaxed)) return error(ErrorCode::kCancelled, "the run was cancelled");
    if (auto status = run_step(*s, step); !status.ok()) return std::move(status).error().in(graph_.nodes[step.node].describe());
    for (ir::ValueId id : step.released) values_[id] = RtValue{};
  }

  for (size_t k = 0; k < graph_.outputs.size(); ++k) {
    const ir::ValueId id = graph_.outputs[k];
    const OutputBinding binding = k < bindings.size() ? bindings[k] : OutputBinding{};
    RtValue& value = values_[id];
    if (binding.data && value.is_tensor() && value.tensor.raw() != binding.data) {
      const Tensor& t = value.tensor;
      if (t.dtype() == DType::kString)
        return error(ErrorCode::kInvalidArgument, "output '{}' holds strings and cannot be bound to memory", graph_.value(id).name);
      if (binding.bytes < t.num_bytes())
        return error(ErrorCode::kInvalidInput, "output '{}' takes {} bytes at shape {}, the memory bound to it has {}",
                     graph_.value(id).name, t.num_bytes(), t.dims().to_string(), binding.bytes);
      if (t.num_bytes() > 0) std::memcpy(binding.data, t.raw(), t.num_bytes());
      outputs[k] = RtValue::of(Tensor::view(t.dtype(), t.dims(), binding.data));
    } else if (s->values[id].place == Place::kOutput) {
      outputs[k] = value;
    } else {
      // Constants, inputs that pass through, and values made at run time: memory of their own.
      CAMEO_ASSIGN(outputs[k], owned(value));
    }
  }
  return {};
}

Status Executor::run_step(Specialization& s, const Specialization::Step& step) {
  const ir::Node& node = graph_.nodes[step.node];
  const Scratch::Scope scope(state_.scratch);
  CAMEO_TRY(prepare_outputs(s, node, step.shapes_known));
  NodeContext context(*this, s, node);
  if (node_times_ == nullptr) {
    CAMEO_TRY(kernels_[step.node](context));
    return context.status();
  }
  const auto start = std::chrono::steady_clock::now();
  CAMEO_TRY(kernels_[step.node](context));
  (*node_times_)[step.node] += std::chrono::steady_clock::now() - start;
  return context.status();
}

// Whether a node with subgraphs was inferred before on inputs of the types that are there now; what it says of its outputs
// then still holds. (Types of other nodes' outputs may also depend on values.)
bool Executor::inferred_for_inputs(Specialization& s, const ir::Node& node) const {
  if (!(node.op->flags & ops::kControlFlow)) return false;
  const size_t index = static_cast<size_t>(&node - graph_.nodes.data());
  if (s.inferred.size() < graph_.nodes.size()) s.inferred.resize(graph_.nodes.size(), 0);
  bool same = true;
  ir::for_each_use(node, [&](ir::ValueId id) { same = same && same_type(s.facts[id], values_[id]); });
  return std::exchange(s.inferred[index], char{1}) != 0 && same;
}

// Makes memory for outputs that were not placed before, inferring their shapes from the real inputs.
Status Executor::prepare_outputs(Specialization& s, const ir::Node& node, bool shapes_known) {
  if (!shapes_known && !inferred_for_inputs(s, node)) {
    ir::for_each_use(node, [&](ir::ValueId id) {
      const RtValue& v = values_[id];
      s.facts[id] = v.is_tensor() && v.tensor.defined() ? ops::Fact::of(v.tensor) : ops::Fact::of(ops::type_of(v));
    });
    const Status inferred = ops::infer_node(node, s.facts, {.fold_elements = 0});
    // Facts of inputs must not say more than their type, or the next lookup would take this run's values for constants.
    ir::for_each_use(node, [&](ir::ValueId id) {
      if (s.values[id].place != Place::kConstant) s.facts[id].constant = {};
    });
    CAMEO_TRY(inferred);
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const ir::ValueId id = node.outputs[i];
    if (id == ir::kNoValue || s.values[id].place != Place::kRunTime) continue;
    ops::Fact& fact = s.facts[id];
    fact.constant = {};
    CAMEO_TRY(ops::check_settled(node, i, fact.type));
    // Nodes with subgraphs make their outputs themselves.
    if (!fact.type.is_concrete() || (node.op->flags & ops::kControlFlow)) continue;
    CAMEO_ASSIGN(Tensor tensor, new_tensor(fact.type.dtype, *ir::to_dims(*fact.type.shape)));
    values_[id] = RtValue::of(std::move(tensor));
  }
  return {};
}

Result<std::vector<RtValue>> Executor::run_subgraph(const ir::Node& node, size_t index, std::span<const RtValue> formal_inputs) {
  const ir::Subgraph& subgraph = node.subgraphs[index];
  if (formal_inputs.size() != subgraph.num_formal_inputs())
    return error(ErrorCode::kInvalidModel, "{} has {} inputs where {} are given", subgraph.attribute, subgraph.num_formal_inputs(),
                 formal_inputs.size());
  auto it = std::find_if(nested_.begin(), nested_.end(), [&](const auto& n) { return n.first == &subgraph; });
  if (it == nested_.end()) {
    nested_.emplace_back(&subgraph, std::make_unique<Executor>(*subgraph.graph, state_));
    it = nested_.end() - 1;
  }
  Executor& inner = *it->second;
  std::vector<RtValue> inputs(formal_inputs.begin(), formal_inputs.end());
  for (ir::ValueId id : subgraph.captures) inputs.push_back(values_[id]);
  std::vector<RtValue> outputs(subgraph.graph->outputs.size());
  CAMEO_TRY(inner.run(inputs, {}, outputs, /*fresh=*/true));
  return outputs;
}

}  // namespace cameo::runtime
