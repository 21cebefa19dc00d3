// What runs plans on a device. A backend is a library of its own, libcameo_NAME, that is loaded when it is there; nothing
// else of Cameo depends on it.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cameo/logger.h"
#include "runtime/executor.h"

namespace cameo {
struct GenerateOptions;
}

namespace cameo::runtime {

// How float32 values are computed and kept on the device. Sums are float32 in all of them.
enum class Precision : uint8_t {
  kFloat32,
  kTf32,      // operands of products and convolutions are rounded to 10 bits of mantissa
  kFloat16,   // operands, and activations in memory
  kBfloat16,  // likewise
};
std::string_view precision_name(Precision precision);
Result<Precision> precision_from_name(std::string_view name);

struct DeviceTimings {
  double h2d_ms = 0, compute_ms = 0, d2h_ms = 0;  // of the last run, by the device's clock
};

struct DeviceContextOptions {
  bool graphs = true;       // capture the work of a shape once and replay it
  size_t memory_limit = 0;  // bytes of device memory for the context, 0: no limit
};

// A plan on a device, for one caller.
class DeviceContext {
 public:
  virtual ~DeviceContext() = default;
  // As Executor::run. Tensors and bindings may lie in memory of the host or of the device.
  virtual Status run(std::span<const ops::RtValue> inputs, std::span<const Executor::OutputBinding> bindings,
                     std::span<ops::RtValue> outputs) = 0;
  // The same on the caller's stream, without waiting for it where no size depends on data. Outputs that are not bound lie in
  // the context's memory and hold their values once the stream got there.
  virtual Status enqueue(void* stream, std::span<const ops::RtValue> inputs, std::span<const Executor::OutputBinding> bindings,
                         std::span<ops::RtValue> outputs) = 0;
  // As Executor::time_nodes; runs are slower meanwhile.
  virtual void time_nodes(std::vector<std::chrono::nanoseconds>* times) = 0;
  virtual std::string type_in_last_run(ir::ValueId id) const = 0;
  virtual Result<Specialization*> specialization(std::span<const ops::Fact> inputs) = 0;
  virtual DeviceTimings timings() const = 0;
  virtual void cancel(bool cancelled) = 0;
};

struct DeviceModelOptions {
  Precision precision = Precision::kFloat32;
  bool cpu_fallback = false;  // operators that the device lacks run on the CPU
  // How much to measure where kernels are chosen: 0 nothing, …, 5.
  int level = 3;
  bool deterministic = false;  // the same bits in every run and process
  bool error_on_miss = false;  // what would have to be measured is an error
  // Choices that were measured before, by problem, and the tuning_key() of where.
  std::string tuned_for;
  std::map<std::string, int> choices;
};

// A language model's plan with a cache (passes/add_kv_cache.h) whose layers the backend knows: tokens go from step to step on the
// device, and so do keys and values. For one caller.
class DeviceDecoder {
 public:
  virtual ~DeviceDecoder() = default;
  // Whether it can run so many rows of so many tokens.
  virtual bool covers(size_t rows, size_t tokens) const = 0;
  // Whether it can choose tokens so, without beam search.
  virtual bool chooses(const GenerateOptions& options) const = 0;
  // Begins anew with a row for each prompt, none of which is empty, and room for `more` tokens behind the longest. Either `logits`
  // says where those of each row's last token go, [rows, vocabulary], or the device chooses tokens by `options`, for generate().
  virtual Status prefill(std::span<const std::vector<uint32_t>> prompts, size_t more, float* logits, const GenerateOptions* options) = 0;
  // Feeds a token for each row.
  virtual Status step(std::span<const uint32_t> tokens, float* logits) = 0;
  // Row i becomes what row sources[i] is; there are at most as many rows as before.
  virtual Status reorder(std::span<const size_t> sources) = 0;
  // After prefill() with options: gives `count` tokens of each row, at most `more`, the first of which prefill() chose. `on_step` gets those of
  // all rows as they come, while the device goes on; false ends. Afterwards only prefill() may follow.
  virtual Status generate(size_t count, const std::function<Result<bool>(std::span<const uint32_t>)>& on_step) = 0;
  virtual void clear() = 0;
};

struct DeviceDecoderOptions {
  int64_t max_length = 0;  // tokens of a row that memory is set aside for at once; 0: it grows
  int64_t max_batch = 0;
};

// A plan on a device: its weights.
class DeviceModel {
 public:
  virtual ~DeviceModel() = default;
  // Errors: kUnsupported, with the reason, when the plan is none that the backend has a decoder for.
  virtual Result<std::unique_ptr<DeviceDecoder>> create_decoder(const DeviceDecoderOptions& options) const = 0;
  // Memory of the device, zeros.
  virtual Result<std::shared_ptr<std::byte>> allocate(size_t bytes) const = 0;
  // Between memory of the device and the host, in any direction; waits.
  virtual Status copy(void* to, const void* from, size_t bytes) const = 0;
  virtual Result<std::unique_ptr<DeviceContext>> create_context(const DeviceContextOptions& options) const = 0;
  // What was chosen for the model so far.
  virtual std::map<std::string, int> choices() const = 0;
};

// What supports() says of an operator that is not among operators().
inline constexpr std::string_view kNoSuchOperator = "there is no such operator on the device";

class Backend {
 public:
  virtual ~Backend() = default;
  // "NVIDIA H200, compute capability 9.0, …"; the error says why there is no device.
  virtual Result<std::string> device() = 0;
  // What measurements of the backend depend on: the GPU, its driver, and the version.
  virtual Result<std::string> tuning_key() = 0;
  // Whether the device can run the node; the reason if not. Needs no device.
  virtual Status supports(const ir::Node& node, const ir::Graph& graph) const = 0;
  // Whether the node belongs on the host whatever the device can do: shapes, control flow, sequences, texts.
  virtual bool on_host(const ir::Node& node, const ir::Graph& graph) const = 0;
  // The operators that the device has, as "Name" or "domain.Name".
  virtual std::vector<std::string> operators() const = 0;
  // The graph must outlive the model.
  virtual Result<std::unique_ptr<DeviceModel>> load(const ir::Graph& graph, const DeviceModelOptions& options, Logger& logger) = 0;
};

// The backend of that name ("cuda"), loaded on first use. Errors: kUnsupported when there is no such library beside this
// one, or it does not belong to this version.
Result<Backend*> find_backend(std::string_view name);

// What a backend's library exports as cameo_backend: null when `version` is not the one that it was built with.
using BackendEntry = Backend* (*)(const char* version);

}  // namespace cameo::runtime
