// Runs a graph on the device. Shapes are inferred on the host, once for each set of input shapes; where all of them are known
// before the run, the work is captured in a CUDA graph and replayed. Nodes whose extents depend on data are made ready while
// running; shapes, sequences and the control of If and Loop stay on the host.
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "backends/cuda/chain.h"
#include "backends/cuda/channel_gates.h"
#include "backends/cuda/division.h"
#include "backends/cuda/encoder_graph.h"
#include "backends/cuda/layout_fusion.h"
#include "backends/cuda/row_parts.h"
#include "backends/cuda/simplify.h"
#include "backends/cuda/step.h"
#include "runtime/backend.h"
#include "runtime/specialization.h"

namespace cameo::cuda {

// A value in a run: on the host, in device memory, or both.
struct Value {
  std::optional<ops::RtValue> host;
  void* device = nullptr;
  DType storage = DType::kUndefined;  // of the elements in device memory
  std::shared_ptr<const void> owner;  // of that memory, where it has one of its own
  DType dtype = DType::kUndefined;    // of a tensor
  Dims dims;

  bool present() const { return host || dtype != DType::kUndefined; }
  bool is_tensor() const { return !host || host->is_tensor(); }
  ir::Type type() const;
  static Value of(ops::RtValue v);
};

// Where an output goes; null: nowhere.
struct Target {
  void* data = nullptr;
  bool locked = false;  // page-locked memory of the host
};

// What the runners of one context share.
struct Session {
  Device& device;
  WeightStore& weights;
  std::shared_ptr<MemoryPool> pool;
  cudaStream_t stream = nullptr;
  Precision precision = Precision::kFloat32;
  bool cpu_fallback = false;
  bool graphs = true;
  std::atomic<bool> cancelled = false;
  size_t copies_to_host = 0;  // of the last run, besides inputs and outputs
  Faults faults;
};

class Runner {
 public:
  Runner(const ir::Graph& graph, Session& session, bool is_main);
  ~Runner();

  // `inputs` one for each input of the graph. Outputs lie in memory of the runner, valid until its next run, or their own.
  // `inputs_copied`, if given, is recorded where the computation may begin.
  // `outputs_to_host`: they will be copied there.
  Status run(std::span<const Value> inputs, std::vector<Value>& outputs, Event* inputs_copied = nullptr, bool outputs_to_host = true);
  // Copies outputs of the last run to where `to` says, parallel to the graph's. Where they were made in parts, each
  // part goes as soon as it is there.
  Status copy_outputs(std::span<const Value> outputs, std::span<const Target> to);

  // Makes the host's copy of a value, waiting for the device.
  Status fetch(Value& value);
  void time_nodes(std::vector<std::chrono::nanoseconds>* times) { node_times_ = times; }
  Result<runtime::Specialization*> specialization(std::span<const ops::Fact> inputs);
  // Whether these shapes were made ready before; otherwise that may take runs on the session's stream.
  bool is_ready(std::span<const ops::Fact> inputs) const;
  std::string type_in_last_run(ir::ValueId id) const { return current_ ? current_->spec.facts[id].type.to_string() : ""; }

 private:
  struct Ready {  // a step made ready for its shapes
    Step step;
    std::vector<View> views;  // of inputs and outputs, to recognise the shapes again
  };
  // The columns from `column` on of rows of `pitch` elements, whose first columns are the value `first`.
  struct Beside {
    ir::ValueId first = 0;
    int64_t column = 0, pitch = 0;
  };
  // Steps that one kernel does.
  struct ChainedSteps {
    size_t last = 0;  // behind them
    std::unique_ptr<Chain> chain;
  };
  struct Overlap;
  struct Prepared {
    runtime::Specialization spec;
    std::vector<DType> storage;                 // by value
    std::vector<size_t> offsets;                // by value: of placed values, in the block
    std::optional<Simplified> simplified;       // what `spec` leaves out; only where every step was made ready
    std::map<uint32_t, EncoderChain> encoders;  // by node: what its step does instead
    std::map<uint32_t, FusedLayout> layouts;    // by node: steps that others are part of
    std::map<uint32_t, ChannelGate> gates;      // by node: steps that make their gates, too
    std::map<ir::ValueId, Beside> beside;       // values that lie beside others, row by row
    std::map<uint32_t, uint32_t> norms;         // by node, of a product: the norm before it, which has no step of its own
    std::map<uint32_t, uint32_t> shortcuts;     // by node, of Conv: the 1x1 convolution that it adds, which has no step of its own
    std::map<uint32_t, uint32_t> pools;         // by node, of Conv: the max pool that its step does, too; the step gives the pool's output
    std::vector<std::optional<Ready>> steps;    // parallel to spec.steps
    std::map<size_t, ChainedSteps> chains;      // by their first step
    size_t block_bytes = 0, scratch_bytes = 0;
    bool fixed = false;  // every step runs on the device and was made ready
    std::optional<CapturedGraph> graph;
    const void* captured_at = nullptr;  // addresses that the captured work uses
    const void* captured_scratch = nullptr;
    int runs = 0;
    std::unique_ptr<Overlap> overlap;
  };
  // The run at a part of the batch.
  struct Part {
    Prepared prepared;
    RowParts apart;  // the steps that may run in such parts
  };
  using Parts = std::array<std::shared_ptr<Part>, Division::kLevels>;  // by level of a division; null: not made, or not possible
  // A divided run. What steps of two tasks share lies in the memory of the whole, as do inputs and outputs, part behind part.
  struct Overlap {
    enum class Lies : uint8_t { kInLane, kInWhole, kBetween };
    Division division;
    std::vector<Segment> segments;
    std::vector<Task> tasks;
    Parts parts;
    std::vector<Lies> lies;                                      // by value
    std::vector<size_t> between_offsets;                         // by value
    size_t between_bytes = 0;                                    // of what is gone where the whole batch begins, or not there yet
    std::array<std::vector<size_t>, Division::kLevels> strides;  // by level and value: bytes from part to part; 0: the same for all
    std::vector<char> read_first;                                // by input: the parts of the first steps read it
    std::vector<size_t> made_in;                                 // by output: the segment that makes it
    MemoryPool::Block memory[2], scratch[2], between;            // by lane: what lies between the steps of a part, and scratch memory
    std::vector<CapturedGraph> graphs;                           // by task
    std::vector<Event> done, copied;                             // by task; by part of the first segment
    const void* captured_at = nullptr;
    const void* captured_scratch = nullptr;
    bool begins_in_parts() const { return segments.front().parts() > 1; }
    bool ends_in_parts() const { return segments.back().parts() > 1; }
  };
  using AddressOf = std::function<void*(ir::ValueId)>;

  bool is_for(const Prepared& p, std::span<const ops::Fact> inputs) const;
  Result<Prepared*> prepare(std::span<const ops::Fact> inputs);
  // `joined`: convolutions may take over what is next to them; `like`: one whose order of steps it shall have.
  Result<Prepared> make_prepared(std::span<const ops::Fact> inputs, bool simplified, bool joined, const Prepared* like = nullptr);
  void put_small_first(Prepared& p) const;
  Status chain_small(Prepared& p);
  bool all_on_device(const runtime::Specialization& spec) const;
  void find_encoders(Prepared& p) const;
  std::vector<ir::ValueId> inputs_of(const Prepared& p, uint32_t node) const;
  const ir::Node* rounding_of(const Prepared& p, uint32_t node) const;
  std::vector<View> views_of_inputs(const Prepared& p, uint32_t node) const;
  void lay_beside(Prepared& p) const;
  void join_norms(Prepared& p) const;
  ir::ValueId output_of(const Prepared& p, uint32_t node, size_t output) const;
  void for_each_input(const Prepared& p, uint32_t node, const std::function<void(ir::ValueId)>& each) const;
  void for_each_output(const Prepared& p, uint32_t node, const std::function<void(ir::ValueId)>& each) const;
  void join_shortcuts(Prepared& p) const;
  void join_pools(Prepared& p) const;
  bool takes_image(Prepared& p, std::vector<runtime::Specialization::Step>& steps, uint32_t node, const ir::Node& pool) const;
  bool read_once(const Prepared& p, ir::ValueId id) const;
  void assign_storage(Prepared& p) const;
  void drop_casts(Prepared& p) const;
  void place(Prepared& p) const;
  Status make_fixed(Prepared& p);
  Status reserve(Prepared& p);
  Value placed_value(const Prepared& p, ir::ValueId id) const;
  Status run_each(Prepared& p);
  Status run_fixed(Prepared& p);
  Status launch_fixed(Prepared& p);
  Status launch_steps(Prepared& p, size_t first, size_t last, const AddressOf& address, void* scratch, cudaStream_t stream);
  Status copy_inputs(Prepared& p, std::span<const Value> inputs);
  bool runs_in_parts(const Prepared& p, std::span<const Value> inputs, bool outputs_to_host) const;
  Status run_in_parts(Prepared& p, std::span<const Value> inputs, Event* inputs_copied);
  Status copy_part_of_inputs(const Prepared& p, std::span<const Value> inputs, int part);
  Status reserve_parts(Prepared& p);
  Status capture_parts(Prepared& p);
  Status choose_overlap(Prepared& p);
  Result<Division> measure_divisions(Prepared& p, size_t in_bytes, size_t out_bytes);
  Result<std::shared_ptr<Part>> make_part(const Prepared& p, int parts);
  std::unique_ptr<Overlap> make_overlap(const Prepared& p, const Parts& parts, const Division& division) const;
  Result<double> time_run(Prepared& p, std::span<const Value> inputs, std::span<const Target> to);
  Status run_step(Prepared& p, size_t index);
  Status run_on_host(Prepared& p, const ir::Node& node);
  Status run_if(const ir::Node& node);
  Status run_loop(const ir::Node& node);
  Status run_scan(const ir::Node& node);
  Result<Value> moved(Value v, size_t axis, bool to_front);
  Status infer(Prepared& p, const ir::Node& node);
  Result<Ready> make_ready(const ir::Node& node, std::vector<View> inputs, std::vector<View> outputs, const ir::Node* norm = nullptr,
                           const ir::Node* shortcut = nullptr, const ir::Node* pool = nullptr,
                           const std::function<Status(StepBuilder&)>& make = nullptr);
  // A value of its own memory.
  Result<Value> fresh(DType dtype, const Dims& dims);
  // Makes the step ready if it is not, or was for other shapes, and puts it on the stream.
  Status launch_step(Prepared& p, size_t index, std::vector<View> inputs, std::vector<View> outputs, std::span<const Value> made);
  View view_of(const Prepared& p, ir::ValueId id) const;
  Status to_device(Value& value);
  Result<void*> scratch(size_t bytes);
  Status subgraph(const ir::Node& node, size_t index, std::vector<Value> formal, std::vector<Value>& outputs);
  Result<Value> stacked(const std::vector<Value>& parts, const ir::Type& element);
  bool host_suffices(const ir::Node& node) const;

  const ir::Graph& graph_;
  Session& session_;
  const bool is_main_;
  std::list<Prepared> prepared_;
  Prepared* current_ = nullptr;
  std::vector<Value> values_;
  MemoryPool::Block block_, scratch_;
  std::optional<Stream> copy_in_, copy_out_, beside_;
  std::optional<Event> begun_, copied_out_, beside_done_;
  bool ran_in_parts_ = false;
  std::vector<std::chrono::nanoseconds>* node_times_ = nullptr;
  std::vector<std::pair<const ir::Subgraph*, std::unique_ptr<Runner>>> nested_;
};

// Operators that stay on the host: shapes, sequences, control flow, texts, random numbers (which are the CPU's then).
bool stays_on_host(const ir::Node& node);

}  // namespace cameo::cuda
