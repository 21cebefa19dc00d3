// cameo build MODEL -o PLAN
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/cli.h"
#include "plan/content.h"

namespace cameo::cli {
namespace {

// "cos:1e-3"
Result<MaxLoss> parse_max_loss(const std::string& text) {
  static const std::map<std::string, MaxLoss::Metric> kMetrics = {
      {"cos", MaxLoss::Metric::kCosine}, {"rel", MaxLoss::Metric::kRelative}, {"kl", MaxLoss::Metric::kKl}};
  const size_t colon = text.find(':');
  const auto metric = kMetrics.find(text.substr(0, colon));
  char* end = nullptr;
  const std::string number = colon == std::string::npos ? "" : text.substr(colon + 1);
  const double most = std::strtod(number.c_str(), &end);
  if (metric == kMetrics.end() || number.empty() || *end != 0 || !(most >= 0) || !std::isfinite(most))
    return error(ErrorCode::kInvalidArgument, "--max-loss is '{}'; it must be cos:, rel: or kl: and a number, such as cos:1e-3", text);
  return MaxLoss{metric->second, most};
}

nlohmann::ordered_json to_json(const std::vector<LayerPrecision>& layers) {
  auto list = nlohmann::ordered_json::array();
  for (const LayerPrecision& l : layers) {
    nlohmann::ordered_json layer = {{"layer", l.layer}, {"precision", l.precision}};
    if (l.loss >= 0) layer["loss"] = l.loss;
    if (l.float_microseconds >= 0) layer["float_us"] = l.float_microseconds;
    if (l.low_microseconds >= 0) layer["low_us"] = l.low_microseconds;
    if (!l.reason.empty()) layer["reason"] = l.reason;
    list.push_back(std::move(layer));
  }
  return list;
}

// The table, when a layer was measured or kept float32; else its layers say nothing that the options did not.
void print_precisions(const std::vector<LayerPrecision>& layers) {
  if (std::ranges::none_of(layers, [](const LayerPrecision& l) { return l.loss >= 0 || !l.reason.empty(); })) return;
  std::printf("%-14s %10s %12s %12s  layer\n", "precision", "loss", "float32 us", "lowered us");
  const auto number = [](double value, const char* format) {
    char text[32];
    std::snprintf(text, sizeof text, format, value);
    return value < 0 ? std::string("-") : std::string(text);
  };
  size_t lowered = 0;
  double saved = 0;
  for (const LayerPrecision& l : layers) {
    std::printf("%-14s %10s %12s %12s  %s%s\n", l.precision.c_str(), number(l.loss, "%.3g").c_str(),
                number(l.float_microseconds, "%.1f").c_str(), number(l.low_microseconds, "%.1f").c_str(), l.layer.c_str(),
                l.reason.empty() ? "" : (": " + l.reason).c_str());
    if (!l.reason.empty()) continue;
    ++lowered;
    if (l.float_microseconds >= 0 && l.low_microseconds >= 0) saved += l.float_microseconds - l.low_microseconds;
  }
  std::printf("%zu of %zu layers lowered, %.1f us less in them\n", lowered, layers.size(), saved);
}

}  // namespace

Run add_build(CLI::App& app, const Common& common) {
  struct Options {
    std::string model, output;
    std::vector<std::string> min, opt, max, disabled;
    std::string calibration, max_loss, input_types, output_types;
    BuildOptions build;
  };
  auto o = std::make_shared<Options>();
  app.add_option("model", o->model, "ONNX file, folder with config.json and *.safetensors, or GGUF file")->required();
  app.add_option("-o,--output", o->output, "Plan file to write")->required();
  app.add_option("--min-shapes", o->min, "Least input shapes, as name:1x1,other:1x3; repeat for several profiles")->allow_extra_args(false);
  app.add_option("--opt-shapes", o->opt, "Shapes to tune for")->allow_extra_args(false);
  app.add_option("--max-shapes", o->max, "Largest input shapes")->allow_extra_args(false);
  app.add_option("--opt-level", o->build.optimization_level,
                 "How much to measure when kernels are chosen: 0 (nothing, builds at once) to 5")
      ->check(CLI::Range(0, 5))
      ->capture_default_str();
  app.add_option("--timing-cache", o->build.timing_cache,
                 "File of kernel times: read when it is there, written when something was measured");
  app.add_flag("--error-on-miss", o->build.error_on_miss, "Measure nothing; what the timing cache does not hold is an error");
  app.add_option("--tuning-seconds", o->build.tuning_seconds, "Stop measuring after so long; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--threads", o->build.threads, "Threads that runs will use; 0: one for each processor")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_flag("--reference", o->build.reference, "Neither passes nor fast kernels: the plain operators, to compare with");
  app.add_option("--disable-pass", o->disabled, "Leave a pass out (names: cameo inspect --passes); repeatable")->allow_extra_args(false);
  app.add_option("--weights", o->build.weights, "How weights of matrix products are stored: fp32, fp16, bf16, int8, int4")
      ->transform(CLI::CheckedTransformer(weight_types()).description(""));
  app.add_option(
         "--group-size", o->build.weight_group_size,
         "Rows of an int8 or int4 weight that share a scale: a multiple of 16, such as 32, 64, 128; 0: 32 for int4, all rows for int8")
      ->check(CLI::NonNegativeNumber);
  CLI::Option* int8 =
      app.add_flag("--int8", o->build.int8,
                   "Run products and convolutions on 8-bit activations and weights (a scale an output channel) where that is "
                   "faster and loses little; needs --calib or --calib-cache");
  app.add_flag("--fp8", o->build.float8,
               "Run matrix products on 8-bit floats (E4M3) where that is faster, for --device cuda; activations are scaled by what --calib "
               "has seen, or else by their largest value in each run")
      ->excludes(int8);
  app.add_option("--calib", o->calibration,
                 "Inputs to calibrate and measure losses on, as NumPy saves them, under the names of the model's inputs: a folder of "
                 "SAMPLE.npz, or of SAMPLE/INPUT.npy; for one sample its .npz, or a folder of INPUT.npy");
  static const std::map<std::string, CalibrationMethod> kMethods = {
      {"minmax", CalibrationMethod::kMinMax}, {"entropy", CalibrationMethod::kEntropy}, {"percentile", CalibrationMethod::kPercentile}};
  app.add_option(
         "--calib-method", o->build.calibration_method,
         "Range of an activation: minmax (all that was seen), entropy (what loses least information), percentile (all but 0.01 % at "
         "either end)")
      ->transform(CLI::CheckedTransformer(kMethods).description(""));
  app.add_flag("--calib-symmetric", o->build.symmetric_activations, "Ranges are symmetric about zero")->needs(int8);
  app.add_option("--calib-cache", o->build.calibration_cache,
                 "File of ranges: read in place of --calib when it is there, else written; holds for one model and method");
  app.add_option(
      "--max-loss", o->max_loss,
      "Lower layers by --int8 or --weights only as far as results on the --calib inputs stay within a bound, and print what each "
      "layer costs and gains: cos:1e-3 (1 - cosine), rel:1e-2 (norm of the difference), kl:1e-3 (divergence of the softmax)");
  app.add_flag("--strongly-typed", o->build.strongly_typed,
               "Types are those of the model: what it rounds to 8 bits and back is rounded, even where nothing needs the bytes");
  app.add_option("--input-types", o->input_types,
                 "Types of inputs in place of the model's: fp16 for all floats, or NAME:TYPE,… such as pixels:uint8; the plan converts");
  app.add_option("--output-types", o->output_types, "The same for outputs: fp16 halves what a GPU copies back");
  static const std::map<std::string, KvCache> kCaches = {{"off", KvCache::kOff}, {"auto", KvCache::kAuto}, {"on", KvCache::kOn}};
  app.add_option("--kv-cache", o->build.kv_cache,
                 "Make a language model keep keys and values: off, auto (where it can be done), on. Its inputs become the next tokens and "
                 "the caches; shapes of input_ids then say how many rows and tokens these hold")
      ->transform(CLI::CheckedTransformer(kCaches).description(""));
  app.add_flag("--hidden-states", o->build.hidden_states,
               "Of a language model from config.json or GGUF: its hidden states in place of logits, for cameo embed");
  add_device_options(app, o->build);
  app.add_flag("--verify-passes", o->build.verify_passes, "Check the graph after every pass");
  app.add_option("--external-data-root", o->build.external_data_root, "One more folder that the model's external data may lie in");
  return [o, &common]() -> Result<int> {
    CAMEO_ASSIGN(o->build.profiles, make_profiles(o->min, o->opt, o->max));
    o->build.disabled_passes = o->disabled;
    if (!o->calibration.empty()) {
      CAMEO_ASSIGN(o->build.calibration, read_samples(o->calibration));
    }
    if (!o->max_loss.empty()) {
      CAMEO_ASSIGN(o->build.max_loss, parse_max_loss(o->max_loss));
    }
    if (!o->input_types.empty()) {
      CAMEO_ASSIGN(o->build.input_types, parse_types(o->input_types, "--input-types"));
    }
    if (!o->output_types.empty()) {
      CAMEO_ASSIGN(o->build.output_types, parse_types(o->output_types, "--output-types"));
    }
    o->build.progress = progress_bar();
    StderrLogger logger(common.verbose ? Severity::kVerbose : Severity::kWarning);
    const auto start = std::chrono::steady_clock::now();
    Builder builder(logger);
    CAMEO_ASSIGN(const Plan plan, builder.build(o->model, o->build));
    CAMEO_TRY(plan.save(o->output));
    if (o->build.kv_cache == KvCache::kAuto)
      for (const PassReport& p : builder.passes())
        for (const std::string& note : p.notes)
          if (p.name == "add_kv_cache") std::fprintf(stderr, "no cache of keys and values: %s\n", note.c_str());
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    CAMEO_ASSIGN(const PlanInfo info, plan_info(plan));
    // A model with a cache has two where one was given.
    CAMEO_ASSIGN(const plan::Content content, plan::read(plan, /*verify_weights=*/false));
    const size_t profiles = content.profiles.size();
    if (common.json) {
      nlohmann::ordered_json object = {{"plan", o->output},    {"bytes", plan.bytes().size()}, {"weight_bytes", info.weight_bytes},
                                       {"profiles", profiles}, {"seconds", seconds},           {"passes", nlohmann::json::array()}};
      for (const PassReport& p : builder.passes())
        object["passes"].push_back({{"name", p.name}, {"changes", p.changes}, {"milliseconds", p.milliseconds}});
      if (!builder.precisions().empty()) object["layers"] = to_json(builder.precisions());
      std::printf("%s\n", object.dump(2).c_str());
    } else {
      print_precisions(builder.precisions());
      const std::string shapes = profiles == 0 ? "all shapes" : fmt::format("{} profile{}", profiles, profiles == 1 ? "" : "s");
      std::printf("%s: %s (%s of weights), %s, built in %.2f s\n", o->output.c_str(), human_bytes(plan.bytes().size()).c_str(),
                  human_bytes(info.weight_bytes).c_str(), shapes.c_str(), seconds);
    }
    return kDone;
  };
}

}  // namespace cameo::cli
