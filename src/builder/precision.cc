#include "builder/precision.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/thread_pool.h"
#include "builder/calibration.h"
#include "cameo/allocator.h"
#include "passes/lower_quantized.h"
#include "passes/quantize_weights.h"
#include "runtime/executor.h"
#include "tactics/tactic.h"

namespace cameo::builder {
namespace {

// Samples that a layer is judged by alone; the whole model is judged by all.
constexpr size_t kSamplesPerLayer = 2;
constexpr int kTimedRuns = 3;

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

  // Microseconds of each node, the least of a few runs, by the node's name; names that two nodes have are left out.
  Result<std::map<std::string, double>> time(std::span<const std::vector<ops::RtValue>> samples) {
    std::vector<double> least(graph_.nodes.size(), INFINITY);
    CAMEO_TRY(run(samples));
    for (int i = 0; i < kTimedRuns; ++i) {
      std::vector<std::chrono::nanoseconds> times(graph_.nodes.size());
      executor_->time_nodes(&times);
      auto ran = run(samples);
      executor_->time_nodes(nullptr);
      if (!ran.ok()) return std::move(ran).error();
      for (size_t n = 0; n < times.size(); ++n) least[n] = std::min(least[n], static_cast<double>(times[n].count()) / 1000);
    }
    std::map<std::string, double> by_name;
    std::set<std::string> twice;
    for (size_t n = 0; n < least.size(); ++n)
      if (!by_name.emplace(graph_.nodes[n].name, least[n]).second) twice.insert(graph_.nodes[n].name);
    for (const std::string& name : twice) by_name.erase(name);
    return by_name;
  }

 private:
  ir::Graph graph_;
  runtime::ExecutionState state_;
  std::unique_ptr<runtime::Executor> executor_;
};

class Lowering {
 public:
  Lowering(const ir::Graph& graph, const BuildOptions& options, std::vector<LayerPrecision>& layers)
      : graph_(graph), options_(options), layers_(layers), threads_(ThreadPool(options.threads).size()) {}

  Result<ir::Graph> run(std::vector<PassReport>& reports) {
    if (options_.max_loss && options_.calibration.empty())
      return error(ErrorCode::kInvalidArgument, "a bound on the loss needs inputs to measure it on");
    if (options_.int8) CAMEO_TRY(find_ranges());
    CAMEO_TRY(find_candidates());
    std::set<ir::ValueId> chosen(candidates_.begin(), candidates_.end());
    if (options_.max_loss) {
      CAMEO_ASSIGN(chosen, within_budget());
    }
    CAMEO_ASSIGN(ir::Graph graph, lowered(chosen, &reports));
    for (size_t i = 0; i < candidates_.size(); ++i)
      if (layers_[i].reason.empty()) layers_[i].precision = low_name();
    return graph;
  }

 private:
  std::string low_name() const { return options_.int8 ? "int8" : std::string(type_name(options_.weights)); }
  // int8 is chosen layer by layer; with it, weights are what the rest of the products get.
  bool by_weights() const { return !options_.int8; }

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
      CAMEO_ASSIGN(found, passes::int8_candidates(copy));
    }
    for (const ir::Node& node : graph_.nodes) {
      if (node.outputs.empty() || std::ranges::find(found, node.outputs[0]) == found.end()) continue;
      candidates_.push_back(node.outputs[0]);
      LayerPrecision layer;
      layer.layer = node.name;
      layer.precision = "float32";
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
      CAMEO_TRY(passes::insert_qdq(graph, ranges_, is_chosen, report()));
      CAMEO_TRY(passes::lower_quantized(graph, report()));
    }
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
    Trial plain(graph_, threads_);
    CAMEO_TRY(plain.prepare());
    CAMEO_ASSIGN(want_, plain.run(samples));
    CAMEO_ASSIGN(const auto float_times, plain.time(few));
    CAMEO_ASSIGN(ir::Graph all, lowered(std::set(candidates_.begin(), candidates_.end()), nullptr));
    Trial low(std::move(all), threads_);
    CAMEO_TRY(low.prepare());
    CAMEO_ASSIGN(const auto low_times, low.time(few));

    std::vector<size_t> order;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      LayerPrecision& layer = layers_[i];
      if (!layer.reason.empty()) continue;
      CAMEO_TRY(report(fmt::format("precision of {}", layer.layer)));
      CAMEO_ASSIGN(layer.loss, loss_with({candidates_[i]}, few));
      const auto before = float_times.find(layer.layer), after = low_times.find(layer.layer);
      if (before != float_times.end()) layer.float_microseconds = before->second;
      if (after != low_times.end()) layer.low_microseconds = after->second;
      if (layer.float_microseconds >= 0 && layer.low_microseconds >= layer.float_microseconds)
        layer.reason = "it would not be faster";
      else
        order.push_back(i);
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
  std::vector<LayerPrecision>& layers_;
  int threads_;
  Ranges ranges_;
  std::vector<ir::ValueId> candidates_;  // their results, parallel to layers_
  std::set<ir::ValueId> refused_;
  std::vector<Tensor> want_;  // of the float model, sample after sample
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

Status lower_precision(ir::Graph& graph, const BuildOptions& options, std::vector<PassReport>& reports,
                       std::vector<LayerPrecision>& layers) {
  layers.clear();
  if (!options.int8 && options.weights == WeightType::kFloat32) {
    if (options.max_loss) return error(ErrorCode::kInvalidArgument, "a bound on the loss is for int8 or weights of fewer bits");
    return {};
  }
  if (options.weight_group_size < 0 || options.weight_group_size % 16 != 0)
    return error(ErrorCode::kInvalidArgument, "the group size of weights is {}; it must be 0 or a multiple of 16",
                 options.weight_group_size);
  CAMEO_ASSIGN(graph, Lowering(graph, options, layers).run(reports));
  return {};
}

}  // namespace cameo::builder
