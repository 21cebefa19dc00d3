// The entry of libcameo_cuda, and a plan on the GPU for one caller.
#include <algorithm>
#include <cstring>
#include <list>
#include <new>

#include "backends/cuda/decoder.h"
#include "backends/cuda/runner.h"
#include "cameo/version.h"

namespace cameo::cuda {
namespace {

using ops::RtValue;
using Binding = runtime::Executor::OutputBinding;

// Large inputs that come again and again from the same memory are page-locked, which makes their copies asynchronous and several
// times faster. The memory is kept alive meanwhile; what has no owner is left as it is.
class RepeatedInputs {
 public:
  // `wait` returns when nothing reads from inputs any more.
  void see(const Tensor& t, const std::function<void()>& wait) {
    if (!t.owner() || t.num_bytes() < kLeastBytes) return;
    for (Entry& e : entries_)
      if (e.data == t.raw() && e.bytes == t.num_bytes()) {
        e.used = ++clock_;
        if (e.registration || e.failed) return;
        auto made = Registration::make(e.data, e.bytes);
        if (made.ok())
          e.registration = std::make_unique<Registration>(std::move(made).value());
        else
          e.failed = true;
        return;
      }
    if (entries_.size() == kMost) {
      const auto oldest =
          std::min_element(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
      if (oldest->registration) wait();
      entries_.erase(oldest);
    }
    entries_.push_back({t.raw(), t.num_bytes(), t.owner(), nullptr, false, ++clock_});
  }

 private:
  static constexpr size_t kLeastBytes = size_t{64} << 10, kMost = 8;
  struct Entry {
    void* data;
    size_t bytes;
    std::shared_ptr<const void> owner;
    std::unique_ptr<Registration> registration;  // goes before the memory
    bool failed = false;
    uint64_t used = 0;
  };
  std::list<Entry> entries_;
  uint64_t clock_ = 0;
};

// The default stream, whose work cannot be captured: it is done on another one, between what lies before and behind it there.
bool is_legacy(cudaStream_t stream) {
#ifdef cudaStreamLegacy
  if (stream == cudaStreamLegacy) return true;
#endif
  return stream == nullptr;
}

class Context final : public runtime::DeviceContext {
 public:
  static Result<std::unique_ptr<Context>> make(const ir::Graph& graph, Device& device, WeightStore& weights,
                                               const runtime::DeviceModelOptions& model, const runtime::DeviceContextOptions& options) {
    CAMEO_ASSIGN(Stream stream, Stream::create());
    std::unique_ptr<Context> c(new Context(graph, device, weights, std::move(stream), options.memory_limit));
    c->session_.precision = model.precision;
    c->session_.cpu_fallback = model.cpu_fallback;
    c->session_.graphs = options.graphs;
    for (auto& event : c->events_) {
      CAMEO_ASSIGN(Event made, Event::create());
      event = std::make_unique<Event>(std::move(made));
    }
    return c;
  }
  ~Context() override {
    (void)synchronize(stream_.get());
    if (events_[3]) (void)events_[3]->wait();  // on a stream of the caller, which may be gone by now
  }

  Status run(std::span<const RtValue> inputs, std::span<const Binding> bindings, std::span<RtValue> outputs) override {
    CAMEO_TRY(use(stream_.get()));
    timed_ = false;
    CAMEO_TRY(launch_all(inputs, bindings, outputs));
    CAMEO_TRY(synchronize(session_.stream));
    CAMEO_TRY(session_.faults.take());
    timed_ = true;
    return {};
  }

  Status enqueue(void* stream, std::span<const RtValue> inputs, std::span<const Binding> bindings, std::span<RtValue> outputs) override {
    timings_ = timings();
    timed_ = false;
    const auto theirs = static_cast<cudaStream_t>(stream);
    if (!is_legacy(theirs)) {
      CAMEO_TRY(use(theirs));
      return launch_all(inputs, bindings, outputs);
    }
    CAMEO_TRY(use(stream_.get()));
    CAMEO_TRY(events_[0]->record(theirs));
    CAMEO_TRY(events_[0]->make_wait(stream_.get()));
    CAMEO_TRY(launch_all(inputs, bindings, outputs));
    return events_[3]->make_wait(theirs);
  }

  void time_nodes(std::vector<std::chrono::nanoseconds>* times) override { runner_.time_nodes(times); }
  std::string type_in_last_run(ir::ValueId id) const override { return runner_.type_in_last_run(id); }
  Result<runtime::Specialization*> specialization(std::span<const ops::Fact> inputs) override {
    if (!runner_.is_ready(inputs)) CAMEO_TRY(use(stream_.get()));
    return runner_.specialization(inputs);
  }
  runtime::DeviceTimings timings() const override {
    if (!timed_) return timings_;
    const auto between = [&](int k) {
      const auto time = events_[k + 1]->since(*events_[k]);
      return time.ok() ? *time : 0;
    };
    return {between(0), between(1), between(2)};
  }
  void cancel(bool cancelled) override { session_.cancelled.store(cancelled, std::memory_order_relaxed); }

 private:
  Context(const ir::Graph& graph, Device& device, WeightStore& weights, Stream stream, size_t memory_limit)
      : stream_(std::move(stream)), session_{device, weights, std::make_shared<MemoryPool>(memory_limit)}, runner_(graph, session_, true) {
    session_.stream = stream_.get();
    pinned_.resize(graph.outputs.size());
  }

  // What ran on another stream must be done with the memory first. The event says so, for a stream of the caller may be gone.
  Status use(cudaStream_t stream) {
    CAMEO_TRY(usable());
    if (session_.stream == stream) return {};
    CAMEO_TRY(events_[3]->wait());
    session_.stream = stream;
    return {};
  }

  Status launch_all(std::span<const RtValue> inputs, std::span<const Binding> bindings, std::span<RtValue> outputs) {
    Status status = launch(inputs, bindings, outputs);
    if (!status.ok()) (void)synchronize(session_.stream);  // with what was begun
    return status;
  }

  Status launch(std::span<const RtValue> inputs, std::span<const Binding> bindings, std::span<RtValue> outputs) {
    std::vector<Value> values;
    for (const RtValue& input : inputs) {
      Value v = Value::of(input);
      if (input.is_tensor() && input.tensor.num_bytes() > 0 && is_device_memory(input.tensor.raw())) {
        v.host.reset();
        v.device = input.tensor.raw();
        v.storage = v.dtype;
      } else if (input.is_tensor() && input.tensor.dtype() != DType::kString)
        repeated_.see(input.tensor, [&] { (void)events_[3]->wait(); });
      values.push_back(std::move(v));
    }
    session_.copies_to_host = 0;
    std::vector<Value> results;
    CAMEO_TRY(events_[0]->record(session_.stream));
    const bool to_host =
        std::none_of(bindings.begin(), bindings.end(), [](const Binding& b) { return b.data && is_device_memory(b.data); });
    CAMEO_TRY(runner_.run(values, results, events_[1].get(), to_host));
    CAMEO_TRY(events_[2]->record(session_.stream));
    std::vector<Target> to(results.size());
    for (size_t k = 0; k < results.size(); ++k) {
      const Binding binding = k < bindings.size() ? bindings[k] : Binding{};
      CAMEO_TRY(give(results[k], binding, k, outputs[k], to[k]));
    }
    CAMEO_TRY(runner_.copy_outputs(results, to));
    return events_[3]->record(session_.stream);
  }

  // Sets `later` to where the value is still to be copied, if it lies in the runner's memory.
  Status give(Value& value, const Binding& binding, size_t k, RtValue& output, Target& later) {
    if (!value.is_tensor() || value.dtype == DType::kString) {
      if (binding.data) return error(ErrorCode::kInvalidArgument, "output {} is no tensor of numbers and cannot be bound to memory", k);
      output = *value.host;
      return {};
    }
    const size_t bytes = static_cast<size_t>(value.dims.num_elements()) * dtype_size(value.dtype);
    void* to = binding.data;
    if (to && binding.bytes < bytes)
      return error(ErrorCode::kInvalidInput, "output {} takes {} bytes at shape {}, the memory bound to it has {}", k, bytes,
                   value.dims.to_string(), binding.bytes);
    if (!to) {
      if (pinned_[k].bytes() < bytes || !pinned_[k].data()) {
        CAMEO_TRY(events_[3]->wait());  // an earlier run may still write there
        pinned_[k] = PinnedBlock();
        CAMEO_ASSIGN(pinned_[k], PinnedBlock::allocate(bytes));
      }
      to = pinned_[k].data();
    }
    if (value.device && value.storage != value.dtype) {
      value.host.reset();
      CAMEO_TRY(runner_.fetch(value));
      value.device = nullptr;
    }
    if (value.device && !value.owner) {
      later = {to, !binding.data};
    } else {
      CAMEO_TRY(copy(to, value.device ? value.device : value.host->tensor.raw(), bytes, session_.stream));
      // The memory of values that are not the runner's may go when this returns.
      CAMEO_TRY(synchronize(session_.stream));
    }
    output = RtValue::of(Tensor::view(value.dtype, value.dims, to));
    return {};
  }

  Stream stream_;
  Session session_;
  Runner runner_;
  std::unique_ptr<Event> events_[4];
  std::vector<PinnedBlock> pinned_;
  RepeatedInputs repeated_;
  runtime::DeviceTimings timings_;  // of the last run(), where enqueue() has used the events since
  bool timed_ = false;              // the events are those of the last run()
};

class Model final : public runtime::DeviceModel {
 public:
  Model(const ir::Graph& graph, std::shared_ptr<Device> device, const runtime::DeviceModelOptions& options)
      : graph_(graph),
        device_(std::move(device)),
        options_(options),
        weights_(*device_, options.level, options.deterministic, options.error_on_miss) {}
  // Other models go on using the device's pool; what this one had of it goes back to the device.
  ~Model() override {
    weights_.clear();
    device_->pool()->trim();
  }
  Result<std::unique_ptr<runtime::DeviceContext>> create_context(const runtime::DeviceContextOptions& options) const override {
    CAMEO_ASSIGN(auto context, Context::make(graph_, *device_, weights_, options_, options));
    return context;
  }
  Result<std::unique_ptr<runtime::DeviceDecoder>> create_decoder(const runtime::DeviceDecoderOptions& options) const override {
    CAMEO_TRY(usable());
    return make_decoder(graph_, *device_, weights_, options_, options);
  }
  Result<std::shared_ptr<std::byte>> allocate(size_t bytes) const override {
    CAMEO_TRY(usable());
    CAMEO_ASSIGN(MemoryPool::Block block, device_->pool()->allocate(bytes));
    const auto owner = std::make_shared<MemoryPool::Block>(std::move(block));
    const std::lock_guard lock(device_->mutex());
    CAMEO_TRY(fill(owner->data(), 0, bytes, device_->stream()));
    CAMEO_TRY(synchronize(device_->stream()));
    return std::shared_ptr<std::byte>(owner, static_cast<std::byte*>(owner->data()));
  }
  Status copy(void* to, const void* from, size_t bytes) const override {
    CAMEO_TRY(usable());
    const std::lock_guard lock(device_->mutex());
    CAMEO_TRY(cuda::copy(to, from, bytes, device_->stream()));
    return synchronize(device_->stream());
  }

  std::map<std::string, int> choices() const override { return weights_.tuning().chosen(); }

 private:
  const ir::Graph& graph_;
  const std::shared_ptr<Device> device_;
  const runtime::DeviceModelOptions options_;
  mutable WeightStore weights_;
};

// Constants without elements belong to packed forms, which only the CPU has.
Status check_complete(const ir::Graph& graph) {
  for (const ir::Value& v : graph.values)
    if (v.elided) return error(ErrorCode::kInvalidPlan, "constant '{}' has no elements, in a plan for a GPU", v.name);
  for (const ir::Node& node : graph.nodes)
    for (const ir::Subgraph& s : node.subgraphs) CAMEO_TRY(check_complete(*s.graph));
  return {};
}

class CudaBackend final : public runtime::Backend {
 public:
  Result<std::string> device() override {
    CAMEO_ASSIGN(const DeviceInfo info, current_device());
    return fmt::format("{}, compute capability {}.{}, {} multiprocessors, {:.0f} GB, CUDA driver {}.{}", info.name, info.major, info.minor,
                       info.multiprocessors, static_cast<double>(info.total_bytes) * 1e-9, info.driver_version / 1000,
                       info.driver_version % 1000 / 10);
  }

  Status supports(const ir::Node& node, const ir::Graph& graph) const override {
    if (!find_device_op(node)) return error(ErrorCode::kUnsupported, "{}", runtime::kNoSuchOperator);
    return supports_types(node, graph);
  }

  bool on_host(const ir::Node& node, const ir::Graph& graph) const override { return stays_on_host(node) || !only_numbers(node, graph); }

  std::vector<std::string> operators() const override { return device_operators(); }

  Result<std::string> tuning_key() override {
    CAMEO_ASSIGN(const std::shared_ptr<Device> device, shared_device());
    return device->tuning_key();
  }

  Result<std::unique_ptr<runtime::DeviceModel>> load(const ir::Graph& graph, const runtime::DeviceModelOptions& options,
                                                     Logger& logger) override {
    CAMEO_TRY(check_complete(graph));
    CAMEO_ASSIGN(std::shared_ptr<Device> device, shared_device());
    if (options.tuned_for == device->tuning_key())
      device->add_choices(options.choices);
    else if (!options.tuned_for.empty())
      logger.log(Severity::kInfo,
                 fmt::format("the plan was tuned for {}; its kernels are chosen anew for {}", options.tuned_for, device->tuning_key()));
    return std::make_unique<Model>(graph, std::move(device), options);
  }

 private:
  // One for all models: its handles and compiled kernels are shared.
  Result<std::shared_ptr<Device>> shared_device() {
    const std::lock_guard lock(mutex_);
    if (auto there = device_.lock()) return there;
    CAMEO_ASSIGN(std::shared_ptr<Device> device, Device::open());
    device_ = device;
    return device;
  }

  std::mutex mutex_;
  std::weak_ptr<Device> device_;
};

}  // namespace
}  // namespace cameo::cuda

extern "C" __attribute__((visibility("default"))) cameo::runtime::Backend* cameo_backend(const char* version) {
  static cameo::cuda::CudaBackend backend;
  return std::strcmp(version, CAMEO_VERSION) == 0 ? &backend : nullptr;
}
