// Loading and running a plan.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cameo/allocator.h"
#include "cameo/error.h"
#include "cameo/export.h"
#include "cameo/logger.h"
#include "cameo/plan.h"
#include "cameo/profile.h"
#include "cameo/tensor.h"

namespace cameo {

class ExecutionContext;

// An extent of an input or output: a number, or what the model calls it.
struct DimInfo {
  int64_t value = -1;  // -1 when it is not fixed
  std::string symbol;  // "batch_size", "past + seq"; empty when fixed or unnamed
};

// An input or output of an engine.
struct TensorInfo {
  std::string name;
  std::string type;       // "float32[batch_size, 3]", "sequence(int64[?])"
  bool is_tensor = true;  // false for sequences and optionals
  DType dtype = DType::kUndefined;
  bool has_rank = true;  // false when the model does not fix the rank
  std::vector<DimInfo> dims;
};

// Sizes of working memory for one set of input shapes, in bytes.
struct MemoryForecast {
  size_t arena = 0;          // intermediate tensors, with reuse: what a context allocates
  size_t without_reuse = 0;  // what they would take if each had memory of its own
  size_t outputs = 0;
  size_t weights = 0;
  bool complete = true;  // false when the sizes of some tensors depend on data
};

struct EngineOptions {
  Logger* logger = nullptr;  // null: default_logger(); kept for the engine's life
  // Compare the weights with their checksum. Unset: only when they are at most 64 MiB, because it reads all of them.
  std::optional<bool> verify_weights;
};

struct ContextOptions {
  Allocator* allocator = nullptr;  // null: default_allocator(); kept for the context's life
  // Threads that a run may use, the caller's among them; 0: one for each processor that the process may use. Several
  // contexts at once do best with as many threads together as there are processors.
  int threads = 0;
  // Processors that the threads besides the caller's are pinned to, in turn; empty: left to the system.
  std::vector<int> cpus;
  // On a GPU: bytes of its memory that the context may take beside the engine's weights; 0: no limit.
  size_t device_memory_limit = 0;
  // On a GPU: the work at a shape is captured in a CUDA graph in its second run, and replayed from then on.
  bool cuda_graphs = true;
};
// How long the parts of a run took by the GPU's clock, in milliseconds.
struct DeviceTimes {
  double h2d = 0, compute = 0, d2h = 0;
};

// How long a node of the plan took.
struct NodeTime {
  std::string name;         // of the node; nodes that a pass made are named after what they stand for
  std::string op;           // "Conv", "ai.cameo.MatMul"
  std::string kernel;       // the tactic; "reference" without one
  std::string outputs;      // types of its outputs in the last run, "float32[1, 64, 56, 56]"
  double milliseconds = 0;  // of all runs since profiling began, or the last reset
};

// A loaded plan. Immutable: any number of threads may use one engine; copies share it.
class CAMEO_API Engine {
 public:
  // Checks every byte of the plan's metadata before using it. Errors: kInvalidPlan, kVersionMismatch, kIo.
  static Result<Engine> load(const Plan& plan, const EngineOptions& options = {});
  static Result<Engine> load(const std::string& path, const EngineOptions& options = {});

  std::span<const TensorInfo> inputs() const;
  std::span<const TensorInfo> outputs() const;
  std::span<const Profile> profiles() const;
  const PlanInfo& plan_info() const;

  // What a context needs for these shapes, one per input in the engine's order; known without running.
  Result<MemoryForecast> memory_forecast(std::span<const Dims> input_shapes) const;

  // What one caller needs to run; make one per thread.
  Result<ExecutionContext> create_context(const ContextOptions& options = {}) const;

  struct Impl;
  const std::shared_ptr<const Impl>& impl() const { return impl_; }

 private:
  explicit Engine(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

// The state of one caller: input and output bindings and working memory. Not for use by two threads at once
// (but cancel() may be called from another). A run at a shape that was run before allocates nothing, except
// for tensors whose sizes depend on data.
class CAMEO_API ExecutionContext {
 public:
  ExecutionContext(ExecutionContext&&) noexcept;
  ExecutionContext& operator=(ExecutionContext&&) noexcept;
  ~ExecutionContext();

  // Ties the context to one profile of the plan. Without it any profile that holds the shapes will do.
  Status set_profile(size_t index);

  // The shape of an input for the next runs; it stays until it is set again. Checked against the model and the profile.
  Status set_input_shape(const std::string& name, const Dims& shape);
  // Caller's memory for an input or output, kept alive by the caller until it is bound anew: `bytes` must hold
  // the tensor at its shape. With an engine on a GPU it may be memory of the GPU. For an output, null goes back to memory of the context.
  Status set_tensor_address(const std::string& name, void* data, size_t bytes);
  // Shape and memory in one: the input is read from the tensor at run(). The tensor is kept until it is set anew.
  Status set_input(const std::string& name, const Tensor& tensor);
  // An input that is a sequence of tensors.
  Status set_input_sequence(const std::string& name, std::vector<Tensor> elements);
  // An optional input without a value.
  Status set_input_absent(const std::string& name);

  // The shape that an output will have for the input shapes set, before the run; -1 for extents that depend on data.
  Result<Dims> output_shape(const std::string& name);

  // Runs the model and returns when the outputs are written. Errors name the tensor or node they are about.
  Status run();
  // The same on a CUDA stream of the caller (null: the default stream), for an engine on a GPU: returns without waiting for the
  // device, where no tensor's size depends on data. Outputs hold their values once the stream got there; memory bound by
  // set_tensor_address() stays the caller's until then. On the CPU it is run().
  Status enqueue(void* stream);

  // Of the last run() on a GPU; nothing on the CPU.
  std::optional<DeviceTimes> device_times() const;

  // The output of the last run with its true shape: memory of the caller, if bound, else of the context, which
  // stays valid until the next run.
  Result<Tensor> output(const std::string& name) const;
  // The elements of an output that is a sequence.
  Result<std::vector<Tensor>> output_sequence(const std::string& name) const;
  // Whether an optional output has a value.
  Result<bool> output_present(const std::string& name) const;

  // From now on runs note how long each node takes. Costs about 0.1 microseconds a node.
  void start_profiling();
  // One entry per node that ran, in order; nodes of subgraphs count for the node that runs them. Empty when profiling was
  // not started. Resets the times.
  std::vector<NodeTime> take_profile();

  // Makes a run() in progress on another thread stop with kCancelled soon; without one it does nothing.
  void cancel();

  // For the shapes set now.
  Result<MemoryForecast> memory_forecast();

  struct Impl;

 private:
  friend class Engine;
  explicit ExecutionContext(std::unique_ptr<Impl> impl);
  Status run(void* const* stream);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cameo
