#include "builder/calibration.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "base/thread_pool.h"
#include "cameo/allocator.h"
#include "plan/layout.h"
#include "runtime/executor.h"
#include "tactics/tactic.h"

namespace cameo::builder {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "cameo calibration";
constexpr int kVersion = 1;
constexpr int kBins = 4096;
constexpr double kPercentile = 0.9999;
constexpr double kValuesPerBin = 16;

std::string_view method_name(CalibrationMethod method) {
  return method == CalibrationMethod::kMinMax ? "min-max" : method == CalibrationMethod::kEntropy ? "entropy" : "percentile";
}

// The distribution of one activation between the extremes of the first pass.
struct Histogram {
  passes::ValueRange range;
  std::vector<double> counts;  // kBins, when there is a second pass

  void add(std::span<const float> values) {
    const float width = (range.max - range.min) / kBins;
    for (float v : values) {
      if (!std::isfinite(v)) continue;
      const float bin = width > 0 ? (v - range.min) / width : 0;
      counts[static_cast<size_t>(std::clamp(bin, 0.f, static_cast<float>(kBins - 1)))] += 1;
    }
  }
  float at(double bin) const { return range.min + static_cast<float>(bin * (range.max - range.min) / kBins); }

  passes::ValueRange percentile() const {
    double total = 0, below = 0, above = 0;
    for (double c : counts) total += c;
    size_t first = 0, last = kBins;
    while (first + 1 < last && below + counts[first] <= total * (1 - kPercentile)) below += counts[first++];
    while (last - 1 > first && above + counts[last - 1] <= total * (1 - kPercentile)) above += counts[--last];
    return {at(static_cast<double>(first)), at(static_cast<double>(last))};
  }

  passes::ValueRange entropy() const {
    // Magnitudes, in half as many bins at most: few values fill few bins, and empty ones look like a distribution's tail.
    const float most = std::max(std::fabs(range.min), std::fabs(range.max));
    const double total = std::accumulate(counts.begin(), counts.end(), 0.);
    const auto bins = static_cast<size_t>(std::min<double>(kBins / 2, total / kValuesPerBin));
    if (most <= 0 || bins <= 128) return range;
    std::vector<double> magnitudes(bins, 0);
    for (size_t i = 0; i < counts.size(); ++i) {
      const float centre = std::fabs(at(static_cast<double>(i) + 0.5));
      magnitudes[std::min(magnitudes.size() - 1, static_cast<size_t>(centre / most * static_cast<float>(magnitudes.size())))] += counts[i];
    }
    const float bound = most * static_cast<float>(entropy_threshold(magnitudes)) / static_cast<float>(magnitudes.size());
    return {std::max(range.min, -bound), std::min(range.max, bound)};
  }
};

// What one pass over an activation tells.
struct Statistics {
  Histogram histogram = {{INFINITY, -INFINITY}, {}};
  double squares = 0, numbers = 0;
  std::array<double, 256> magnitudes = {};  // by the exponent of a float, values other than zero
  bool by_channel = false;                  // the last axis: fills these
  std::vector<float> channel_min, channel_max;
  std::vector<double> channel_squares;

  void add_channels(std::span<const float> values, size_t channels) {
    if (channel_min.empty()) {
      channel_min.assign(channels, INFINITY);
      channel_max.assign(channels, -INFINITY);
      channel_squares.assign(channels, 0);
    }
    if (channels == 0 || channel_min.size() != channels) by_channel = false;
    if (!by_channel) return;
    for (size_t i = 0; i < values.size(); ++i) {
      if (!std::isfinite(values[i])) continue;
      const size_t c = i % channels;
      channel_min[c] = std::min(channel_min[c], values[i]);
      channel_max[c] = std::max(channel_max[c], values[i]);
      channel_squares[c] += static_cast<double>(values[i]) * values[i];
    }
  }
  void add(std::span<const float> values) {
    for (float v : values) {
      if (!std::isfinite(v)) continue;
      squares += static_cast<double>(v) * v;
      ++numbers;
      histogram.range.min = std::min(histogram.range.min, v);
      histogram.range.max = std::max(histogram.range.max, v);
      if (v != 0) ++magnitudes[std::bit_cast<uint32_t>(v) >> 23 & 0xff];
    }
  }
  passes::ValueRange with(passes::ValueRange range) const {
    range.rms = static_cast<float>(std::sqrt(squares / numbers));
    const float half_step = (std::max(range.max, 0.f) - std::min(range.min, 0.f)) / 255 / 2;
    double small = 0, all = 0;
    for (size_t e = 0; e < magnitudes.size(); ++e) {
      all += magnitudes[e];
      if (e < std::bit_cast<uint32_t>(half_step) >> 23) small += magnitudes[e];
    }
    range.vanishing = all > 0 ? static_cast<float>(small / all) : 0;
    if (by_channel && std::ranges::none_of(channel_min, [](float v) { return std::isinf(v); })) {
      range.channel_min = channel_min;
      range.channel_max = channel_max;
      const double rows = numbers / static_cast<double>(channel_squares.size());
      for (double sum : channel_squares) range.channel_rms.push_back(static_cast<float>(std::sqrt(sum / rows)));
    }
    return range;
  }
};

}  // namespace

size_t entropy_threshold(std::span<const double> counts) {
  constexpr size_t kLevels = 128;
  if (counts.size() <= kLevels) return counts.size();
  double best = INFINITY;
  size_t best_bins = counts.size();
  double outside = 0;
  for (double c : counts) outside += c;
  const double total = outside;
  if (total <= 0) return counts.size();
  for (size_t i = 0; i < kLevels; ++i) outside -= counts[i];
  for (size_t bins = kLevels; bins <= counts.size(); outside -= bins < counts.size() ? counts[bins] : 0, bins += 1) {
    if (bins % 8 != 0 && bins != counts.size()) continue;
    // p: what is cut falls into the last bin. q: p without it, each level's count spread over its bins that are not empty.
    double divergence = 0;
    double q_total = 0;
    for (size_t i = 0; i < bins; ++i) q_total += counts[i];
    if (q_total <= 0) continue;
    for (size_t level = 0; level < kLevels; ++level) {
      const size_t first = level * bins / kLevels, last = (level + 1) * bins / kLevels;
      double sum = 0;
      size_t filled = 0;
      for (size_t i = first; i < last; ++i) {
        sum += counts[i];
        filled += counts[i] > 0;
      }
      for (size_t i = first; i < last; ++i) {
        const double p = (counts[i] + (i + 1 == bins ? outside : 0)) / total;
        if (p <= 0) continue;
        const double q = counts[i] > 0 ? sum / static_cast<double>(filled) / q_total : 1e-9;
        divergence += p * std::log(p / q);
      }
    }
    if (divergence < best) {
      best = divergence;
      best_bins = bins;
    }
  }
  return best_bins;
}

namespace {

// Whether the extents are those of the type; `symbols` holds those of the inputs before.
Status check_extents(const Dims& dims, const ir::Type& type, std::map<std::string, int64_t>& symbols) {
  if (!type.shape) return {};
  if (dims.rank() != type.shape->size())
    return error(ErrorCode::kInvalidArgument, "it has shape {}, but the model's is {}", dims.to_string(), type.to_string());
  for (size_t i = 0; i < dims.rank(); ++i) {
    const ir::Dim& want = (*type.shape)[i];
    if (want.is_const() && want.value() != dims[i])
      return error(ErrorCode::kInvalidArgument, "it has shape {}, but the model's is {}", dims.to_string(), type.to_string());
    const auto symbol = want.symbol_name();
    if (!symbol) continue;
    const auto [known, fresh] = symbols.emplace(*symbol, dims[i]);
    if (!fresh && known->second != dims[i])
      return error(ErrorCode::kInvalidArgument, "it has shape {}, but '{}' of {} is {} in an input before", dims.to_string(), *symbol,
                   type.to_string(), known->second);
  }
  return {};
}

}  // namespace

Result<std::vector<std::vector<ops::RtValue>>> graph_inputs(const ir::Graph& graph, const Samples& samples) {
  std::vector<std::vector<ops::RtValue>> all;
  for (size_t i = 0; i < samples.size(); ++i) {
    auto& inputs = all.emplace_back();
    std::map<std::string, int64_t> symbols;
    for (ir::ValueId id : graph.inputs) {
      const ir::Value& value = graph.value(id);
      const auto given = samples[i].find(value.name);
      if (given == samples[i].end()) {
        std::string names;
        for (const auto& [name, tensor] : samples[i]) names += (names.empty() ? "'" : ", '") + name + "'";
        return error(ErrorCode::kInvalidArgument, "calibration sample {} has no input '{}'; it has {}", i + 1, value.name,
                     names.empty() ? "none" : names);
      }
      if (given->second.dtype() != value.type.dtype)
        return error(ErrorCode::kInvalidArgument, "input '{}' of calibration sample {} is {}, but the model's is {}", value.name, i + 1,
                     dtype_name(given->second.dtype()), dtype_name(value.type.dtype));
      if (auto status = check_extents(given->second.dims(), value.type, symbols); !status.ok())
        return std::move(status).error().in(fmt::format("input '{}' of calibration sample {}", value.name, i + 1));
      if (value.type.dtype == DType::kFloat32 && std::ranges::any_of(given->second.span<float>(), [](float v) { return std::isnan(v); }))
        return error(ErrorCode::kInvalidArgument, "input '{}' of calibration sample {} has NaN", value.name, i + 1);
      inputs.push_back(ops::RtValue::of(given->second));
    }
  }
  return all;
}

Result<Ranges> calibrate(const ir::Graph& original, const Samples& samples, CalibrationMethod method, int threads) {
  if (samples.empty()) return error(ErrorCode::kInvalidArgument, "int8 needs calibration inputs, or a calibration cache");
  ir::Graph graph = original;
  CAMEO_ASSIGN(const auto inputs, graph_inputs(graph, samples));
  CAMEO_ASSIGN(std::vector<ir::ValueId> watched, passes::int8_inputs(graph));
  const size_t first = graph.outputs.size();
  graph.outputs.insert(graph.outputs.end(), watched.begin(), watched.end());
  CAMEO_TRY(tactics::select_tactics(graph));
  runtime::ExecutionState state(default_allocator(), threads);
  runtime::Executor executor(graph, state);

  const auto for_each_value = [&](auto&& fn) -> Status {
    std::vector<ops::RtValue> outputs(graph.outputs.size());
    for (size_t sample = 0; sample < inputs.size(); ++sample) {
      if (auto status = executor.run(inputs[sample], {}, outputs, /*fresh=*/true); !status.ok())
        return std::move(status).error().in(fmt::format("calibration sample {}", sample + 1));
      for (size_t i = 0; i < watched.size(); ++i)
        if (outputs[first + i].tensor.dtype() == DType::kFloat32) fn(i, outputs[first + i].tensor);
    }
    return {};
  };
  std::vector<Statistics> seen(watched.size());
  for (size_t i = 0; i < watched.size(); ++i)
    seen[i].by_channel =
        std::ranges::any_of(original.nodes, [&](const ir::Node& n) { return n.op->name == "MatMul" && n.inputs[0] == watched[i]; });
  CAMEO_TRY(for_each_value([&](size_t i, const Tensor& t) {
    seen[i].add(t.span<float>());
    if (seen[i].by_channel) seen[i].add_channels(t.span<float>(), t.rank() == 0 ? 0 : static_cast<size_t>(t.dims().back()));
  }));
  if (method != CalibrationMethod::kMinMax) {
    for (Statistics& s : seen) s.histogram.counts.assign(kBins, 0);
    CAMEO_TRY(for_each_value([&](size_t i, const Tensor& t) { seen[i].histogram.add(t.span<float>()); }));
  }
  Ranges ranges;
  for (size_t i = 0; i < watched.size(); ++i) {
    const Histogram& h = seen[i].histogram;
    if (!(h.range.min <= h.range.max)) continue;
    ranges[graph.value(watched[i]).name] = seen[i].with(method == CalibrationMethod::kMinMax    ? h.range
                                                        : method == CalibrationMethod::kEntropy ? h.entropy()
                                                                                                : h.percentile());
  }
  return ranges;
}

uint64_t model_hash(const ir::Graph& graph) {
  const std::string text = ir::to_string(graph);
  uint64_t hash = plan::checksum(text.data(), text.size());
  for (const ir::Value& value : graph.values) {
    if (!value.is_constant() || value.constant.dtype() == DType::kString) continue;
    const uint64_t both[] = {hash, plan::checksum(value.constant.raw(), value.constant.num_bytes())};
    hash = plan::checksum(both, sizeof both);
  }
  return hash;
}

Result<Ranges> load_ranges(const std::string& path, uint64_t model, CalibrationMethod method) {
  CAMEO_ASSIGN(const MappedFile file, map_file(path));
  const auto refused = [&](std::string_view what) {
    return error(ErrorCode::kInvalidArgument, "calibration file '{}': {}; delete it to calibrate anew", path, what);
  };
  const auto* text = reinterpret_cast<const char*>(file.bytes.data());
  const Json json = Json::parse(text, text + file.bytes.size(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("format") || json["format"] != kFormat) return refused("it is damaged, or no calibration file");
  if (!json.contains("version") || json["version"] != kVersion) return refused("it is of another version");
  if (!json.contains("ranges") || !json["ranges"].is_object() || !json.contains("checksum") || !json["checksum"].is_number_unsigned())
    return refused("it is damaged");
  const std::string body = json["ranges"].dump(-1, ' ', false, Json::error_handler_t::replace);
  if (json["checksum"].get<uint64_t>() != plan::checksum(body.data(), body.size()))
    return refused("it is damaged: its checksum does not fit");
  if (!json.contains("model") || json["model"] != model) return refused("it was made for another model, or by other passes");
  if (!json.contains("method") || json["method"] != method_name(method))
    return refused(fmt::format("it was made by another method than {}", method_name(method)));
  Ranges ranges;
  for (const auto& [name, entry] : json["ranges"].items()) {
    const auto numbers = [&entry = entry](const char* key, std::vector<float>& to) {
      if (!entry.is_object() || !entry.contains(key)) return true;
      const Json& list = entry[key];
      if (!list.is_array() || !std::ranges::all_of(list, [](const Json& v) { return v.is_number(); })) return false;
      for (const Json& v : list) to.push_back(v.get<float>());
      return std::ranges::all_of(to, [](float v) { return std::isfinite(v); });
    };
    std::vector<float> whole;
    passes::ValueRange r;
    if (!numbers("range", whole) || whole.size() != 4 || !numbers("channel_min", r.channel_min) || !numbers("channel_max", r.channel_max) ||
        !numbers("channel_rms", r.channel_rms))
      return refused("a range is damaged");
    r.min = whole[0], r.max = whole[1], r.rms = whole[2], r.vanishing = whole[3];
    if (r.min > r.max || r.rms < 0) return refused(fmt::format("the range of '{}' is none", name));
    ranges[name] = std::move(r);
  }
  return ranges;
}

Status save_ranges(const std::string& path, const Ranges& ranges, uint64_t model, CalibrationMethod method) {
  Json body = Json::object();
  for (const auto& [name, range] : ranges) {
    body[name]["range"] = {range.min, range.max, range.rms, range.vanishing};
    if (range.channel_min.empty()) continue;
    body[name]["channel_min"] = range.channel_min;
    body[name]["channel_max"] = range.channel_max;
    body[name]["channel_rms"] = range.channel_rms;
  }
  const std::string text = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  const Json json = {{"format", kFormat},
                     {"version", kVersion},
                     {"model", model},
                     {"method", method_name(method)},
                     {"checksum", plan::checksum(text.data(), text.size())},
                     {"ranges", body}};
  const std::string file = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return write_file(path, std::as_bytes(std::span(file)));
}

}  // namespace cameo::builder
