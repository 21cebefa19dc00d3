// Runs a graph, over and over: keeps specialisations, memory and nested executors between runs.
#pragma once

#include <atomic>
#include <chrono>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "cameo/allocator.h"
#include "runtime/scratch.h"
#include "runtime/specialization.h"
#include "tactics/tactic.h"

namespace cameo::runtime {

// What the executors of one context share.
struct ExecutionState {
  explicit ExecutionState(Allocator& a, int num_threads = 1, std::span<const int> cpus = {})
      : allocator(a), scratch(a), threads(num_threads, cpus) {}
  Allocator& allocator;
  Scratch scratch;
  ThreadPool threads;
  std::atomic<bool> cancelled = false;
};

// A block that grows and never shrinks.
class GrowingBlock {
 public:
  explicit GrowingBlock(Allocator& allocator) : allocator_(&allocator) {}
  GrowingBlock(GrowingBlock&& other) noexcept;
  GrowingBlock& operator=(GrowingBlock&&) = delete;
  ~GrowingBlock();
  // Throws std::bad_alloc. The content is lost when the block grows. True when it moved.
  bool reserve(size_t bytes);
  std::byte* data() const { return data_; }

 private:
  Allocator* allocator_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

class Executor {
 public:
  Executor(const ir::Graph& graph, ExecutionState& state);
  ~Executor();

  // Caller's memory for an output; null: the executor's own, valid until the next run.
  struct OutputBinding {
    void* data = nullptr;
    size_t bytes = 0;
  };

  // Runs the graph on `inputs` (one per graph input). `outputs` gets one value per graph output. With `fresh` the
  // outputs own their memory. May throw std::bad_alloc.
  Status run(std::span<const ops::RtValue> inputs, std::span<const OutputBinding> bindings, std::span<ops::RtValue> outputs,
             bool fresh = false);

  // Adds up how long each node of the graph (not of subgraphs) takes, in `times`, one per node; null ends that.
  void time_nodes(std::vector<std::chrono::nanoseconds>* times) { node_times_ = times; }

  // The type that the value had in the last run.
  std::string type_in_last_run(ir::ValueId id) const { return bound_ ? bound_->facts[id].type.to_string() : ""; }

  // The specialisation for inputs of these types, made now if it was not made before.
  Result<Specialization*> specialization(std::span<const ops::Fact> inputs);

 private:
  class NodeContext;

  void bind(Specialization& s);
  Status run_step(Specialization& s, const Specialization::Step& step);
  bool inferred_for_inputs(Specialization& s, const ir::Node& node) const;
  Status prepare_outputs(Specialization& s, const ir::Node& node, bool shapes_known);
  Result<std::vector<ops::RtValue>> run_subgraph(const ir::Node& node, size_t index, std::span<const ops::RtValue> formal_inputs);
  Result<Tensor> new_tensor(DType dtype, const Dims& dims);

  const ir::Graph& graph_;
  ExecutionState& state_;
  std::vector<std::chrono::nanoseconds>* node_times_ = nullptr;
  std::vector<Status (*)(ops::KernelContext&)> kernels_;  // one per node
  std::list<Specialization> specializations_;             // most recently used first
  Specialization* bound_ = nullptr;                       // whose placements values_ holds
  GrowingBlock arena_;
  std::vector<GrowingBlock> output_memory_;  // one per graph output
  std::vector<ops::RtValue> values_;
  std::vector<ops::Fact> input_facts_;  // kept so that a run at a known shape allocates nothing
  std::vector<std::pair<const ir::Subgraph*, std::unique_ptr<Executor>>> nested_;
};

}  // namespace cameo::runtime
