#include "builder/precision.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>
#include <set>

#include "base/error.h"
#include "base/thread_pool.h"
#include "builder/calibration.h"
#include "cameo/allocator.h"
#include "passes/lower_float8.h"
#include "passes/lower_quantized.h"
#include "passes/quantize_weights.h"
#include "plan/layout.h"
#include "runtime/backend.h"
#include "runtime/executor.h"
#include "tactics/tactic.h"

namespace cameo::builder {
namespace {

// Samples that a layer is judged by alone; the whole model is judged by all.
constexpr size_t kSamplesPerLayer = 2;
constexpr int kTimedRuns = 5;
constexpr double kTimedSeconds = 2;  // no more runs after that
constexpr int kDeviceRuns = 12;      // the first ones make the work ready and capture it

std::string_view type_name(WeightType type) {
  switch (type) {
    case WeightType::kFloat16:
      return "float16";
    case WeightType::kBfloat16:
      return "bfloat16";
    case WeightType::kInt8:
      return "int8 weights";
    case WeightType::kInt4:
      return "int4 weights";
    case WeightType::kFloat32:
      break;
  }
  return "float32";
}

double loss_of_tensor(MaxLoss::Metric metric, std::span<const float> want, std::span<const float> got, int64_t last_axis) {
  if (metric == MaxLoss::Metric::kKl) {
    if (last_axis == 0) return 0;
    double sum = 0;
    const size_t row = static_cast<size_t>(last_axis), rows = want.size() / row;
    for (size_t r = 0; r < rows; ++r) {
      const auto log_sum = [&](std::span<const float> x) {
        const double most = *std::ranges::max_element(x);
        double total = 0;
        for (float v : x) total += std::exp(v - most);
        return most + std::log(total);
      };
      const auto w = want.subspan(r * row, row), g = got.subspan(r * row, row);
      const double a = log_sum(w), b = log_sum(g);
      for (size_t i = 0; i < row; ++i) sum += std::exp(w[i] - a) * ((w[i] - a) - (g[i] - b));
    }
    return rows == 0 ? 0 : std::isnan(sum) ? INFINITY : std::max(0., sum / static_cast<double>(rows));
  }
  double dot = 0, wants = 0, gots = 0, difference = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double w = want[i], g = got[i];
    if (w == g && !std::isfinite(w)) continue;
    dot += w * g;
    wants += w * w;
    gots += g * g;
    difference += (w - g) * (w - g);
  }
  if (difference == 0) return 0;
  const double loss = metric == MaxLoss::Metric::kCosine ? 1 - dot / std::sqrt(wants * gots) : std::sqrt(difference / wants);
  return std::isnan(loss) ? INFINITY : std::max(0., loss);
}

// A graph that is run on the samples.
class Trial {
 public:
  Trial(ir::Graph graph, int threads) : graph_(std::move(graph)), state_(default_allocator(), threads) {}
  Status prepare() { return tactics::select_tactics(graph_); }

  // The outputs for each of the first `count` samples, one after the other.
  Result<std::vector<Tensor>> run(std::span<const std::vector<ops::RtValue>> samples) {
    if (!executor_) executor_ = std::make_unique<runtime::Executor>(graph_, state_);
    std::vector<Tensor> all;
    for (const auto& inputs : samples) {
      std::vector<ops::RtValue> outputs(graph_.outputs.size());
      CAMEO_TRY(executor_->run(inputs, {}, outputs, /*fresh=*/true));
      for (const ops::RtValue& value : outputs) all.push_back(value.tensor);
    }
    return all;
  }

  // Microseconds, the least of a few runs.
  struct Times {
    double total = INFINITY;
    std::map<std::string, double> nodes;  // by name; what rounds the input of a layer has the layer's name
  };
  Result<Times> time(std::span<const std::vector<ops::RtValue>> samples) {
    std::vector<double> least(graph_.nodes.size(), INFINITY);
    CAMEO_TRY(run(samples));
    Times result;
    const auto start = std::chrono::steady_clock::now();
    const auto since = [](auto from) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count(); };
    for (int i = 0; i < kTimedRuns && (i == 0 || since(start) < kTimedSeconds); ++i) {
      const auto plain_start = std::chrono::steady_clock::now();
      CAMEO_TRY(run(samples));
      result.total = std::min(result.total, since(plain_start) * 1e6);
      std::vector<std::chrono::nanoseconds> times(graph_.nodes.size());
      executor_->time_nodes(&times);
      auto ran = run(samples);
      executor_->time_nodes(nullptr);
      if (!ran.ok()) return std::move(ran).error();
      for (size_t n = 0; n < times.size(); ++n) least[n] = std::min(least[n], static_cast<double>(times[n].count()) / 1000);
    }
    for (size_t n = 0; n < least.size(); ++n)
      if (!graph_.nodes[n].name.empty()) result.nodes[graph_.nodes[n].name] += least[n];
    return result;
  }

 private:
  ir::Graph graph_;
  runtime::ExecutionState state_;
  std::unique_ptr<runtime::Executor> executor_;
};

class Lowering {
 public:
  Lowering(const ir::Graph& graph, const BuildOptions& options, std::span<const Profile> profiles, TimingCache& cache,
           std::vector<LayerPrecision>& layers)
      : graph_(graph),
        options_(options),
        profiles_(profiles),
        cache_(cache),
        layers_(layers),
        threads_(ThreadPool(options.threads).size()) {}

  Result<ir::Graph> run(std::vector<PassReport>& reports) {
    if (options_.max_loss && options_.calibration.empty())
      return error(ErrorCode::kInvalidArgument, "a bound on the loss needs inputs to measure it on");
    const bool calibrated = !options_.calibration.empty() || !options_.calibration_cache.empty();
    if (options_.int8 || (options_.float8 && calibrated)) CAMEO_TRY(find_ranges());
    CAMEO_TRY(find_candidates());
    std::set<ir::ValueId> chosen;
    if (options_.optimization_level > 0) CAMEO_TRY(measure());
    for (size_t i = 0; i < candidates_.size(); ++i)
      if (layers_[i].reason.empty()) chosen.insert(candidates_[i]);
    if (options_.max_loss) {
      CAMEO_ASSIGN(chosen, within_budget());
    }
    if (options_.optimization_level > 0 && !chosen.empty()) {
      CAMEO_ASSIGN(const bool gains, pays(chosen));
      if (!gains) chosen.clear();
    }
    CAMEO_ASSIGN(ir::Graph graph, lowered(chosen, &reports));
    name_precisions(graph, reports);
    return graph;
  }

 private:
  std::string low_name() const { return options_.int8 ? "int8" : options_.float8 ? "fp8" : std::string(type_name(options_.weights)); }
  // int8 is chosen layer by layer; with it, weights are what the rest of the products get.
  bool by_weights() const { return !options_.int8 && !options_.float8; }

  Status find_ranges() {
    const uint64_t hash = model_hash(graph_);
    std::error_code ignored;
    if (!options_.calibration_cache.empty() && std::filesystem::exists(options_.calibration_cache, ignored)) {
      CAMEO_ASSIGN(ranges_, load_ranges(options_.calibration_cache, hash, options_.calibration_method));
      return {};
    }
    CAMEO_ASSIGN(ranges_, calibrate(graph_, options_.calibration, options_.calibration_method, threads_));
    return options_.calibration_cache.empty() ? Status()
                                              : save_ranges(options_.calibration_cache, ranges_, hash, options_.calibration_method);
  }

  Status find_candidates() {
    ir::Graph copy = graph_;
    std::vector<ir::ValueId> found;
    if (by_weights()) {
      PassReport report;
      // Asks about each node without lowering any.
      const auto ask = [&](const ir::Node& node) {
        if (passes::has_constant_weight(copy, node)) found.push_back(node.outputs[0]);
        return WeightType::kFloat32;
      };
      CAMEO_TRY(passes::quantize_weights(copy, ask, options_.weight_group_size, report));
    } else {
      CAMEO_ASSIGN(found, options_.int8 ? passes::int8_candidates(copy) : passes::float8_candidates(copy));
    }
    for (const ir::Node& node : graph_.nodes) {
      if (node.outputs.empty() || std::ranges::find(found, node.outputs[0]) == found.end()) continue;
      candidates_.push_back(node.outputs[0]);
      LayerPrecision layer;
      layer.layer = node.name;
      const auto precision = static_cast<runtime::Precision>(options_.precision);
      layer.precision = precision == runtime::Precision::kFloat32 ? type_name(WeightType::kFloat32) : runtime::precision_name(precision);
      if (options_.int8) layer.reason = passes::int8_refusal(graph_, node, ranges_);
      layers_.push_back(std::move(layer));
    }
    // What is refused takes no part in the choice.
    for (size_t i = candidates_.size(); i-- > 0;)
      if (!layers_[i].reason.empty()) refused_.insert(candidates_[i]);
    return {};
  }

  Result<ir::Graph> lowered(const std::set<ir::ValueId>& chosen, std::vector<PassReport>* reports) {
    ir::Graph graph = graph_;
    PassReport ignored;
    const auto report = [&]() -> PassReport& { return reports ? reports->emplace_back() : ignored = {}; };
    const auto is_chosen = [&](const ir::Node& node) {
      return !node.outputs.empty() && chosen.contains(node.outputs[0]) && !refused_.contains(node.outputs[0]);
    };
    const int64_t group = options_.weight_group_size == 0 && options_.weights == WeightType::kInt4 ? 32 : options_.weight_group_size;
    if (options_.int8) {
      CAMEO_TRY(passes::insert_qdq(graph, ranges_, options_.symmetric_activations, is_chosen, report()));
      CAMEO_TRY(passes::lower_quantized(graph, report()));
    }
    if (options_.float8) CAMEO_TRY(passes::lower_float8(graph, ranges_, is_chosen, report()));
    if (options_.weights != WeightType::kFloat32) {
      // Embedding tables are no layers of their own: without a bound on the loss they follow.
      const auto choose = [&](const ir::Node& node) {
        const bool is_table = node.op->name == "Gather" && !options_.max_loss;
        return options_.int8 || is_table || is_chosen(node) ? options_.weights : WeightType::kFloat32;
      };
      CAMEO_TRY(passes::quantize_weights(graph, choose, group, report()));
    }
    return graph;
  }

  // What the layers became. One that was chosen may have been refused all the same; then a note says why.
  void name_precisions(const ir::Graph& graph, const std::vector<PassReport>& reports) {
    std::set<std::string> low;
    for (const ir::Node& node : graph.nodes)
      if (node.op->name.starts_with("Quantized") || node.op->name.starts_with("Float8")) low.insert(node.name);
    for (LayerPrecision& layer : layers_) {
      if (!layer.reason.empty()) continue;
      if (layer.layer.empty() || low.contains(layer.layer)) {
        layer.precision = low_name();
        continue;
      }
      layer.reason = "it cannot be lowered";
      for (const PassReport& report : reports)
        for (const std::string& note : report.notes)
          if (note.starts_with(fmt::format("node '{}' (", layer.layer)))
            layer.reason = note.substr(std::min(note.size(), note.find("): ") + 3));
    }
  }

  // Inputs of the extents that plans are tuned for: ones where numbers are whole (ids, masks), else random. None without a profile,
  // where extents are open.
  std::vector<std::vector<ops::RtValue>> inputs_at_opt() const {
    std::vector<ops::RtValue> inputs;
    std::minstd_rand random(1);
    for (ir::ValueId id : graph_.inputs) {
      const ir::Value& value = graph_.value(id);
      if (!value.type.is_tensor() || value.type.dtype == DType::kString || !value.type.shape) return {};
      std::optional<Dims> dims;
      for (const InputRange& range : profiles_.empty() ? std::vector<InputRange>() : profiles_[0].inputs)
        if (range.name == value.name) dims = range.opt;
      if (!dims) dims = ir::to_dims(*value.type.shape);
      if (!dims) return {};
      auto tensor = Tensor::allocate(value.type.dtype, *dims);
      if (!tensor.ok()) return {};
      const int64_t count = tensor->num_elements();
      switch (value.type.dtype) {
        case DType::kFloat32:
          for (float& v : tensor->span<float>()) v = static_cast<float>(random()) * (2.f / 2147483647.f) - 1.f;
          break;
        case DType::kInt64:
          std::fill_n(tensor->data<int64_t>(), count, 1);
          break;
        case DType::kInt32:
          std::fill_n(tensor->data<int32_t>(), count, 1);
          break;
        case DType::kBool:
          std::fill_n(tensor->data<uint8_t>(), count, 1);
          break;
        default:
          std::memset(tensor->raw(), 0, tensor->num_bytes());
      }
      inputs.push_back(ops::RtValue::of(std::move(*tensor)));
    }
    return {inputs};
  }

  // Of the whole graph on the device, without the copies of inputs and outputs.
  Result<Trial::Times> time_on_device(const ir::Graph& graph) {
    CAMEO_ASSIGN(runtime::Backend * backend, runtime::find_backend(options_.device));
    StderrLogger silent(Severity::kError);
    CAMEO_ASSIGN(const auto model, backend->load(graph, {.precision = static_cast<runtime::Precision>(options_.precision)}, silent));
    CAMEO_ASSIGN(const auto context, model->create_context({}));
    Trial::Times times;
    for (int i = 0; i < kDeviceRuns; ++i) {
      std::vector<ops::RtValue> outputs(graph.outputs.size());
      CAMEO_TRY(context->run(timed_inputs_[0], {}, outputs));
      times.total = std::min(times.total, context->timings().compute_ms * 1000);
    }
    return times;
  }

  Result<Trial::Times> time(ir::Graph graph) {
    if (on_device()) return time_on_device(graph);
    Trial trial(std::move(graph), threads_);
    CAMEO_TRY(trial.prepare());
    return trial.time(timed_inputs_);
  }

  bool on_device() const { return options_.device != "cpu"; }
  // What the times of this build belong to.
  std::string machine() const {
    if (!on_device()) return machine_name(threads_);
    auto backend = runtime::find_backend(options_.device);
    auto name = backend.ok() ? (*backend)->device() : Result<std::string>(std::move(backend).error());
    return fmt::format("{} {}", name.ok() ? *name : "no device",
                       runtime::precision_name(static_cast<runtime::Precision>(options_.precision)));
  }

  std::string problem(std::string_view what) const {
    std::string text = fmt::format("precision {} of model {:016x}, {}:", low_name(), model_hash(graph_), what);
    for (const auto& inputs : timed_inputs_)
      for (const ops::RtValue& input : inputs) text += " " + input.tensor.dims().to_string();
    return text;
  }

  // Times of all layers in float32 and lowered; those that do not gain are taken out.
  Status measure() {
    CAMEO_TRY(report("time of layers"));
    timed_inputs_ = inputs_at_opt();
    if (timed_inputs_.empty() && !options_.calibration.empty()) {
      CAMEO_ASSIGN(timed_inputs_, graph_inputs(graph_, options_.calibration));
      timed_inputs_.resize(1);
    }
    if (timed_inputs_.empty()) return {};
    const std::string key = problem(fmt::format("group {}", options_.weight_group_size)), machine = this->machine();
    const TimingCache::Times* known = cache_.find(machine, key);
    if (known == nullptr) {
      if (options_.error_on_miss)
        return error(ErrorCode::kInvalidArgument, "the timing cache has no times of {} on '{}', and measuring was forbidden", key, machine);
      const auto before = time(graph_);
      // Made-up inputs need not suit the model; then nothing is known.
      if (!before.ok()) return timed_inputs_.clear(), Status();
      // Layers cannot be told apart there: the model as a whole is what counts.
      if (on_device()) {
        cache_.add(machine, key, "float32", static_cast<float>(before->total));
        float_time_ = before->total;
        return {};
      }
      CAMEO_ASSIGN(ir::Graph all, lowered(std::set(candidates_.begin(), candidates_.end()), nullptr));
      CAMEO_ASSIGN(const Trial::Times after, time(std::move(all)));
      cache_.add(machine, key, "float32", static_cast<float>(before->total));
      for (const LayerPrecision& layer : layers_) {
        const auto was = before->nodes.find(layer.layer), is = after.nodes.find(layer.layer);
        if (was == before->nodes.end() || is == after.nodes.end()) continue;
        cache_.add(machine, key, "float32 " + layer.layer, static_cast<float>(was->second));
        cache_.add(machine, key, "lowered " + layer.layer, static_cast<float>(is->second));
      }
      known = cache_.find(machine, key);
    }
    for (LayerPrecision& layer : layers_) {
      const auto was = known->find("float32 " + layer.layer), is = known->find("lowered " + layer.layer);
      if (!layer.reason.empty() || was == known->end() || is == known->end()) continue;
      layer.float_microseconds = was->second;
      layer.low_microseconds = is->second;
      if (is->second >= was->second) layer.reason = "it would not be faster";
    }
    if (const auto total = known->find("float32"); total != known->end()) float_time_ = total->second;
    return {};
  }

  // Whether the graph with these layers lowered is faster as a whole: rounding inputs takes time of its own.
  Result<bool> pays(const std::set<ir::ValueId>& chosen) {
    if (timed_inputs_.empty()) return true;
    std::string names;
    for (size_t i = 0; i < candidates_.size(); ++i)
      if (chosen.contains(candidates_[i])) names += layers_[i].layer + "\n";
    const std::string key = problem(
                          fmt::format("group {}, layers {:016x}", options_.weight_group_size, plan::checksum(names.data(), names.size()))),
                      machine = this->machine();
    if (cache_.find(machine, key) == nullptr) {
      if (options_.error_on_miss)
        return error(ErrorCode::kInvalidArgument, "the timing cache has no times of {} on '{}', and measuring was forbidden", key, machine);
      CAMEO_ASSIGN(ir::Graph graph, lowered(chosen, nullptr));
      CAMEO_ASSIGN(const Trial::Times times, time(std::move(graph)));
      cache_.add(machine, key, "lowered", static_cast<float>(times.total));
    }
    const TimingCache::Times& known = *cache_.find(machine, key);
    const auto low = known.find("lowered");
    if (low == known.end() || low->second < float_time_) return true;
    for (LayerPrecision& layer : layers_)
      if (layer.reason.empty())
        layer.reason = fmt::format("the model would not be faster ({:.0f} us instead of {:.0f} us)", low->second, float_time_);
    return false;
  }

  Result<double> loss_with(const std::set<ir::ValueId>& chosen, std::span<const std::vector<ops::RtValue>> samples) {
    CAMEO_ASSIGN(ir::Graph graph, lowered(chosen, nullptr));
    Trial trial(std::move(graph), threads_);
    CAMEO_TRY(trial.prepare());
    CAMEO_ASSIGN(const std::vector<Tensor> got, trial.run(samples));
    return loss_of(options_.max_loss->metric, std::span(want_).first(got.size()), got);
  }

  Status report(std::string_view stage) {
    if (options_.progress && !options_.progress(stage, 0.25))
      return error(ErrorCode::kCancelled, "the build was cancelled while it did: {}", stage);
    return {};
  }

  Result<std::set<ir::ValueId>> within_budget() {
    CAMEO_ASSIGN(const auto samples, graph_inputs(graph_, options_.calibration));
    const auto few = std::span(samples).first(std::min(samples.size(), kSamplesPerLayer));
    {
      Trial plain(graph_, threads_);
      CAMEO_TRY(plain.prepare());
      CAMEO_ASSIGN(want_, plain.run(samples));
    }
    std::vector<size_t> order;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      LayerPrecision& layer = layers_[i];
      if (refused_.contains(candidates_[i])) continue;
      CAMEO_TRY(report(fmt::format("loss of {}", layer.layer)));
      CAMEO_ASSIGN(layer.loss, loss_with({candidates_[i]}, few));
      if (layer.reason.empty()) order.push_back(i);
    }
    // The most harmless first, as many as the budget allows together.
    std::ranges::stable_sort(order, {}, [&](size_t i) { return layers_[i].loss; });
    const auto first = [&](size_t count) {
      std::set<ir::ValueId> chosen;
      for (size_t k = 0; k < count; ++k) chosen.insert(candidates_[order[k]]);
      return chosen;
    };
    size_t fits = 0, too_many = order.size() + 1;
    for (size_t count = order.size(); fits + 1 < too_many; count = (fits + too_many) / 2) {
      CAMEO_ASSIGN(const double loss, loss_with(first(count), samples));
      (loss <= options_.max_loss->most ? fits : too_many) = count;
    }
    for (size_t k = fits; k < order.size(); ++k) layers_[order[k]].reason = "the loss would be too large";
    return first(fits);
  }

  const ir::Graph& graph_;
  const BuildOptions& options_;
  std::span<const Profile> profiles_;
  TimingCache& cache_;
  std::vector<LayerPrecision>& layers_;
  int threads_;
  Ranges ranges_;
  std::vector<ir::ValueId> candidates_;  // their results, parallel to layers_
  std::set<ir::ValueId> refused_;
  std::vector<Tensor> want_;  // of the float model, sample after sample
  std::vector<std::vector<ops::RtValue>> timed_inputs_;
  double float_time_ = INFINITY;  // of the whole graph, in microseconds
};

}  // namespace

double loss_of(MaxLoss::Metric metric, std::span<const Tensor> want, std::span<const Tensor> got) {
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    if (want[i].dtype() != DType::kFloat32) continue;
    if (i >= got.size() || !(want[i].dims() == got[i].dims())) return INFINITY;
    const int64_t last = want[i].rank() == 0 ? 1 : want[i].dim(want[i].rank() - 1);
    worst = std::max(worst, loss_of_tensor(metric, want[i].span<float>(), got[i].span<float>(), last));
  }
  return worst;
}

Status lower_precision(ir::Graph& graph, const BuildOptions& options, std::span<const Profile> profiles, TimingCache& cache,
                       std::vector<PassReport>& reports, std::vector<LayerPrecision>& layers) {
  layers.clear();
  const auto refused = [](std::string_view reason) { return error(ErrorCode::kInvalidArgument, "{}", reason); };
  const bool few_bits = options.weights == WeightType::kInt8 || options.weights == WeightType::kInt4;
  const bool lowers = options.int8 || options.float8 || options.weights != WeightType::kFloat32;
  if (options.float8 && options.device == "cpu") return refused("8-bit floats are for GPUs: the processor has no products of them");
  if (options.float8 && (options.int8 || options.weights != WeightType::kFloat32))
    return refused("8-bit floats go neither with int8 nor with weights of fewer bits");
  if (options.float8 && options.max_loss) return refused("a bound on the loss is for int8 or weights of fewer bits, not for 8-bit floats");
  if (options.max_loss && !lowers) return refused("a bound on the loss is for int8 or weights of fewer bits, and neither was asked for");
  if (!options.int8 && !options.float8 && !options.calibration_cache.empty())
    return refused("a calibration cache is for int8 or fp8, and neither was asked for");
  if (!options.int8 && !options.float8 && !options.max_loss && !options.calibration.empty())
    return refused("calibration inputs are for int8, fp8 or a bound on the loss, and none of them was asked for");
  if (!few_bits && options.weight_group_size != 0) return refused("a group size is for weights of type int8 or int4");
  if (!lowers) return {};
  if (options.max_loss && options.int8 && options.weights != WeightType::kFloat32)
    return refused("a bound on the loss takes either int8 or weights of fewer bits, not both");
  if (options.reference) return refused("the reference plan computes as the model says; it takes neither int8 nor weights of fewer bits");
  if (options.strongly_typed)
    return refused("a strongly typed plan keeps the model's types; it takes neither int8 nor weights of fewer bits");
  if (options.weight_group_size < 0 || options.weight_group_size % 16 != 0)
    return error(ErrorCode::kInvalidArgument, "the group size of weights is {}; it must be 0 or a multiple of 16",
                 options.weight_group_size);
  CAMEO_ASSIGN(graph, Lowering(graph, options, profiles, cache, layers).run(reports));
  return {};
}

}  // namespace cameo::builder
