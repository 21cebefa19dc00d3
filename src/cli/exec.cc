// cameo exec: trtexec's flags, its defaults and its report.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "builder/model_source.h"
#include "cameo/version.h"
#include "cli/cli.h"

namespace cameo::cli {
namespace {

struct Options {
  std::string onnx, save_engine, load_engine, shapes, load_inputs, percentiles = "90,95,99", export_times, export_output;
  std::vector<std::string> min, opt, max;
  int level = 3;
  size_t iterations = 10, average_runs = 10, streams = 1;
  double duration = 3, warmup_ms = 200, idle_ms = 0;
  std::optional<size_t> profile;
  std::string device;
  bool fp16 = false, bf16 = false, int8 = false, fp8 = false, int4 = false, best = false, strongly_typed = false;
  std::string calibration_cache, input_formats, output_formats;
  bool skip_inference = false, dump_output = false, time_load = false;
  std::string timing_cache, export_profile;
  bool error_on_miss = false, dump_profile = false;
};

// Flags of trtexec that change nothing, with the reason that is printed; `on_gpu` where it is another one there, and null where the
// flag does something there.
struct Ignored {
  const char* flag;
  bool takes_value;
  const char* why;
  const char* on_gpu;
};
constexpr Ignored everywhere(const char* flag, bool takes_value, const char* why) { return {flag, takes_value, why, why}; }
constexpr Ignored kIgnored[] = {
    {"--noTF32", false, "the CPU computes float32 in full", nullptr},
    {"--useCudaGraph", false, "there is no CUDA graph on the CPU", "CUDA graphs are used without it (--noCudaGraph leaves them out)"},
    {"--noCudaGraph", false, "there is no CUDA graph on the CPU", nullptr},
    {"--useSpinWait", false, "the CPU runs in the call itself", "a run returns as soon as the GPU is done"},
    {"--noDataTransfers", false, "on the CPU, tensors are used where they lie",
     "copies are measured apart: GPU Compute Time is without them"},
    {"--includeDataTransfers", false, "on the CPU, tensors are used where they lie", "copies are always measured, apart"},
    {"--hardwareCompatibilityLevel", true, "plans for the CPU run on every machine of its kind",
     "plans run on other GPUs, with kernels chosen anew"},
    {"--allowGPUFallback", false, "everything runs on the CPU", "there is no DLA to fall back from"},
    everywhere("--separateProfileRun", false, "a profile is always taken in runs of its own"),
    everywhere("--versionCompatible", false, "a plan is tied to the version of Cameo that built it"),
    everywhere("--profilingVerbosity", true, "plans always keep the names of their ONNX nodes"),
    everywhere("--memPoolSize", true, "no scratch pool is taken from a budget"),
    everywhere("--avgTiming", true, "--builderOptimizationLevel says how long kernels are timed"),
    everywhere("--dynamicPlugins", true, "plans hold no plugins"),
    everywhere("--threads", false, "every stream has a thread of its own"),
};

// Flags of trtexec that ask for something Cameo does not have yet: an error, so that nobody measures what was not done.
struct Unsupported {
  const char* flag;
  bool takes_value;
  const char* what;
};
constexpr Unsupported kUnsupported[] = {
    {"--precisionConstraints", true, "precision per layer"},
    {"--layerPrecisions", true, "precision per layer"},
    {"--layerOutputTypes", true, "types per layer"},
    {"--refit", false, "refitting weights"},
    {"--stripWeights", false, "plans without weights"},
    {"--markDebug", true, "debug tensors"},
    {"--loadRefOutputs", true, "reference outputs"},
    {"--accuracyAlgorithm", true, "accuracy checks"},
    {"--accuracyThreshold", true, "accuracy checks"},
    {"--atol", true, "accuracy checks"},
    {"--rtol", true, "accuracy checks"},
    {"--dumpLayerInfo", false, "layer information (use cameo inspect --layers)"},
    {"--exportLayerInfo", true, "layer information (use cameo inspect --layers --json)"},
};

// The report goes to stdout, as trtexec's does, or to stderr when stdout is for JSON.
std::FILE* report_stream = stdout;
#define SAY(...) std::fprintf(report_stream, __VA_ARGS__)

void print_times(const char* name, std::vector<double> values, const std::vector<double>& percents) {
  std::sort(values.begin(), values.end());
  const Statistics s = statistics(values);
  SAY("[I] %s: min = %g ms, max = %g ms, mean = %g ms, median = %g ms", name, s.min, s.max, s.mean, s.median);
  for (double p : percents) SAY(", percentile(%g%%) = %g ms", p, percentile(values, p));
  SAY("\n");
}

Result<std::vector<double>> parse_percentiles(const std::string& text) {
  std::vector<double> percents;
  std::istringstream list(text);
  for (std::string item; std::getline(list, item, ',');) {
    char* end = nullptr;
    const double p = std::strtod(item.c_str(), &end);
    if (item.empty() || *end || !(p > 0 && p <= 100))
      return error(ErrorCode::kInvalidArgument, "--percentile: '{}' is no number in (0, 100]", item);
    percents.push_back(p);
  }
  return percents;
}

// --loadInputs=name:file,…: raw bytes of the tensor, or a .npy file.
Status load_inputs(const std::string& text, const Engine& engine, const std::map<std::string, Dims>& shapes, size_t profile,
                   std::map<std::string, Tensor>& inputs) {
  std::istringstream list(text);
  for (std::string item; std::getline(list, item, ',');) {
    const size_t colon = item.rfind(':');
    const std::string name = item.substr(0, colon == std::string::npos ? 0 : colon),
                      path = colon == std::string::npos ? "" : item.substr(colon + 1);
    const auto found = std::find_if(engine.inputs().begin(), engine.inputs().end(), [&](const TensorInfo& t) { return t.name == name; });
    if (found == engine.inputs().end())
      return error(ErrorCode::kInvalidArgument, "--loadInputs: the model has no input '{}'; write name:file", name);
    if (path.ends_with(".npy")) {
      CAMEO_ASSIGN(const Tensor tensor, read_npy(path));
      CAMEO_ASSIGN(inputs[name], convert(tensor, found->dtype));
      continue;
    }
    CAMEO_ASSIGN(Tensor tensor, Tensor::allocate(found->dtype, choose_shape(*found, shapes, engine.profiles(), profile)));
    std::ifstream file(path, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    if (!file) return error(ErrorCode::kIo, "cannot read '{}'", path);
    if (found->dtype == DType::kString || bytes.size() != tensor.num_bytes())
      return error(ErrorCode::kInvalidInput, "'{}' has {} bytes, input '{}' takes {} at shape {}", path, bytes.size(), name,
                   tensor.num_bytes(), tensor.dims().to_string());
    std::copy(bytes.begin(), bytes.end(), tensor.data<char>());
    inputs[name] = std::move(tensor);
  }
  return {};
}

Status report(const Options& o, const RequestTimes& times, const std::vector<double>& percents) {
  SAY("[I] === Trace details ===\n[I] Trace averages of %zu runs:\n", o.average_runs);
  for (size_t at = 0; at + o.average_runs <= times.latency.size() && at < 10 * o.average_runs; at += o.average_runs) {
    const auto mean = [&](const std::vector<double>& v) {
      double sum = 0;
      for (size_t i = at; i < at + o.average_runs; ++i) sum += v[i];
      return sum / static_cast<double>(o.average_runs);
    };
    SAY("[I] Average on %zu runs - GPU latency: %g ms - Host latency: %g ms (enqueue %g ms)\n", o.average_runs, mean(times.compute),
        mean(times.latency), mean(times.enqueue));
  }
  double compute_total = 0;
  for (double t : times.compute) compute_total += t;
  SAY("\n[I] === Performance summary ===\n");
  SAY("[I] Throughput: %g qps\n", times.qps());
  print_times("Latency", times.latency, percents);
  print_times("Enqueue Time", times.enqueue, percents);
  print_times("H2D Latency", times.h2d, percents);
  print_times("GPU Compute Time", times.compute, percents);
  print_times("D2H Latency", times.d2h, percents);
  SAY("[I] Total Host Walltime: %g s\n", times.wall_seconds);
  SAY("[I] Total GPU Compute Time: %g s\n", compute_total / 1000);
  SAY("[I] Measured on the CPU: \"GPU Compute Time\" is the time of the run, H2D and D2H bind tensors without a copy; Latency includes all "
      "three.\n");
  const Statistics compute = statistics(times.compute);
  if (compute.median > 0 && (compute.p99 - compute.min) / compute.median > 0.025)
    SAY("[W] * Compute times vary by more than 2.5 %% (from %g to %g ms at 99 %%); other programs may use the machine.\n", compute.min,
        compute.p99);
  if (!o.export_times.empty()) {
    nlohmann::ordered_json list = nlohmann::json::array();
    for (size_t i = 0; i < times.latency.size(); ++i)
      list.push_back({{"latencyMs", times.latency[i]},
                      {"enqueueMs", times.enqueue[i]},
                      {"h2dMs", times.h2d[i]},
                      {"computeMs", times.compute[i]},
                      {"d2hMs", times.d2h[i]}});
    std::ofstream file(o.export_times);
    file << list.dump(1) << "\n";
    if (!file) return error(ErrorCode::kIo, "cannot write '{}'", o.export_times);
  }
  return {};
}

// One more run whose outputs are shown or written.
Status outputs(const Options& o, const Engine& engine, const std::map<std::string, Tensor>& inputs) {
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
  for (const auto& [name, tensor] : inputs) CAMEO_TRY(context.set_input(name, tensor));
  CAMEO_TRY(context.run());
  nlohmann::ordered_json list = nlohmann::json::array();
  for (const TensorInfo& info : engine.outputs()) {
    if (!info.is_tensor) continue;
    CAMEO_ASSIGN(const Tensor t, context.output(info.name));
    if (o.dump_output) SAY("[I] %s: (%s) %s\n", info.name.c_str(), t.dims().to_string().c_str(), preview(t, 64).c_str());
    list.push_back(
        {{"name", info.name}, {"dimensions", t.dims().to_string()}, {"values", preview(t, static_cast<size_t>(t.num_elements()))}});
  }
  if (!o.export_output.empty()) {
    std::ofstream file(o.export_output);
    file << list.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    if (!file) return error(ErrorCode::kIo, "cannot write '{}'", o.export_output);
  }
  return {};
}

// --dumpProfile, --exportProfile: the times of each layer, in runs of their own.
Status profile_layers(const Options& o, const Engine& engine, const std::map<std::string, Tensor>& inputs) {
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
  if (o.profile) CAMEO_TRY(context.set_profile(*o.profile));
  for (const auto& [name, tensor] : inputs) CAMEO_TRY(context.set_input(name, tensor));
  CAMEO_TRY(context.run());
  context.start_profiling();
  constexpr int kRuns = 20;
  std::vector<std::string> names;
  std::map<std::string, std::vector<double>> times;
  double total = 0;
  for (int i = 0; i < kRuns; ++i) {
    CAMEO_TRY(context.run());
    for (const NodeTime& n : context.take_profile()) {
      const std::string name = n.name + " [" + n.kernel + "]";
      if (!times.contains(name)) names.push_back(name);
      times[name].push_back(n.milliseconds);
      total += n.milliseconds;
    }
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array({{{"count", kRuns}}});
  if (o.dump_profile) SAY("[I] === Profile (%d iterations) ===\n[I]  Time(ms)  Avg.(ms)  Median(ms)  Time(%%)  Layer\n", kRuns);
  for (const std::string& name : names) {
    const Statistics s = statistics(times[name]);
    const double sum = s.mean * static_cast<double>(times[name].size());
    if (o.dump_profile) SAY("[I] %9.3f %9.4f %11.4f %8.1f  %s\n", sum, s.mean, s.median, 100 * sum / total, name.c_str());
    list.push_back({{"name", name}, {"timeMs", sum}, {"averageMs", s.mean}, {"medianMs", s.median}, {"percentage", 100 * sum / total}});
  }
  if (o.dump_profile) SAY("[I] %9.3f %9.4f %11s %8.1f  Total\n", total, total / kRuns, "", 100.0);
  if (o.export_profile.empty()) return {};
  std::ofstream file(o.export_profile);
  file << list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  return file ? Status() : error(ErrorCode::kIo, "cannot write '{}'", o.export_profile);
}

// --inputIOFormats, --outputIOFormats: fp16:chw for each of `values` in turn, or one for all of them.
Result<std::map<std::string, DType>> parse_formats(const std::string& text, const ir::Graph& graph, const std::vector<ir::ValueId>& values,
                                                   std::string_view flag) {
  std::vector<std::string> items;
  std::istringstream list(text);
  for (std::string item; std::getline(list, item, ',');) items.push_back(item);
  if (items.size() != values.size() && items.size() != 1)
    return error(ErrorCode::kInvalidArgument, "{} has {} formats; give one for all, or one for each of the model's {}", flag, items.size(),
                 values.size());
  std::map<std::string, DType> types;
  for (size_t i = 0; i < items.size(); ++i) {
    const size_t colon = items[i].find(':');
    const std::string type = items[i].substr(0, colon), layout = colon == std::string::npos ? "chw" : items[i].substr(colon + 1);
    if (type_from_name(type) == DType::kUndefined)
      return error(ErrorCode::kInvalidArgument, "{}: '{}' begins with no type such as fp32, fp16, int8", flag, items[i]);
    if (layout != "chw") return error(ErrorCode::kUnsupported, "{}: '{}': tensors lie as the model has them (chw)", flag, items[i]);
    types.emplace(items.size() == 1 && values.size() != 1 ? "*" : graph.value(values[i]).name, type_from_name(type));
  }
  return types;
}

Result<BuildOptions> build_options(const Options& o, const CLI::App& app) {
  BuildOptions build;
  CAMEO_ASSIGN(build.profiles, make_profiles(o.min, o.opt, o.max));
  // --shapes without ranges builds for just that shape, as trtexec does.
  if (build.profiles.empty() && !o.shapes.empty()) {
    CAMEO_ASSIGN(build.profiles, make_profiles({}, {o.shapes}, {}));
  }
  build.optimization_level = o.level;
  build.timing_cache = o.timing_cache;
  build.error_on_miss = o.error_on_miss;
  build.progress = progress_bar();
  const bool gpu = o.device == "cuda";
  if (gpu) build.device = o.device;
  if ((o.fp16 || o.bf16 || o.fp8) && !gpu)
    return error(ErrorCode::kUnsupported, "--fp16, --bf16 and --fp8 are for a GPU: add --device=cuda");
  // As in trtexec, products of float32 take TF32 unless that is ruled out.
  if (gpu) build.precision = app.count("--noTF32") > 0 ? DevicePrecision::kFloat32 : DevicePrecision::kTf32;
  if (gpu && (o.fp16 || o.best)) build.precision = DevicePrecision::kFloat16;
  if (o.bf16) build.precision = DevicePrecision::kBfloat16;
  build.int8 = o.int8 || (o.best && !o.calibration_cache.empty());
  build.float8 = o.fp8;
  if (o.int4) build.weights = WeightType::kInt4;
  build.strongly_typed = o.strongly_typed;
  build.calibration_cache = o.calibration_cache;
  if (!o.calibration_cache.empty() && !std::ifstream(o.calibration_cache))
    return error(ErrorCode::kIo, "--calib: cannot read '{}' (cameo build --calib-cache writes such a file)", o.calibration_cache);
  if (!o.input_formats.empty() || !o.output_formats.empty()) {
    CAMEO_ASSIGN(const ir::Graph graph, builder::read_graph(o.onnx, build));
    if (!o.input_formats.empty()) {
      CAMEO_ASSIGN(build.input_types, parse_formats(o.input_formats, graph, graph.inputs, "--inputIOFormats"));
    }
    if (!o.output_formats.empty()) {
      CAMEO_ASSIGN(build.output_types, parse_formats(o.output_formats, graph, graph.outputs, "--outputIOFormats"));
    }
  }
  return build;
}

Result<int> execute(const Options& o, const CLI::App& app, const Common& common) {
  for (const Unsupported& f : kUnsupported)
    if (app.count(f.flag) > 0) return error(ErrorCode::kUnsupported, "{}: Cameo does not have {} yet", f.flag, f.what);
  if (!o.device.empty() && o.device != "cuda") SAY("[W] --device=%s has no effect: write --device=cuda for a GPU\n", o.device.c_str());
  if (o.onnx.empty() == o.load_engine.empty()) return error(ErrorCode::kInvalidArgument, "give either --onnx=FILE or --loadEngine=FILE");
  CAMEO_ASSIGN(const std::vector<double> percents, parse_percentiles(o.percentiles));
  StderrLogger logger(common.verbose ? Severity::kVerbose : Severity::kWarning);

  Plan plan;
  if (!o.onnx.empty()) {
    CAMEO_ASSIGN(const BuildOptions build, build_options(o, app));
    CAMEO_ASSIGN(plan, Builder(logger).build(o.onnx, build));
    SAY("[I] Engine built: %s\n", human_bytes(plan.bytes().size()).c_str());
  } else {
    CAMEO_ASSIGN(plan, Plan::load(o.load_engine));
  }
  CAMEO_ASSIGN(const PlanInfo info, plan_info(plan));
  for (const Ignored& f : kIgnored)
    if (const char* why = info.backend == "cpu" ? f.why : f.on_gpu; why && app.count(f.flag) > 0)
      SAY("[W] %s has no effect: %s\n", f.flag, why);
  if (!o.save_engine.empty()) {
    CAMEO_TRY(plan.save(o.save_engine));
    SAY("[I] Engine saved to %s\n", o.save_engine.c_str());
  }
  if (o.skip_inference) {
    if (common.json) std::printf("%s\n", nlohmann::ordered_json({{"plan_bytes", plan.bytes().size()}}).dump(2).c_str());
    return kDone;
  }

  const auto start = std::chrono::steady_clock::now();
  CAMEO_ASSIGN(const Engine engine, Engine::load(plan, {.logger = &logger}));
  if (o.time_load)
    SAY("[I] Engine deserialized in %g sec.\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  CAMEO_ASSIGN(auto shapes, parse_input_shapes(o.shapes, engine));
  std::map<std::string, Tensor> inputs;
  if (!o.load_inputs.empty()) CAMEO_TRY(load_inputs(o.load_inputs, engine, shapes, o.profile.value_or(0), inputs));
  for (const TensorInfo& info : engine.inputs()) {
    if (!info.is_tensor) return error(ErrorCode::kUnsupported, "input '{}' is a {}; only tensors can be made up", info.name, info.type);
    if (inputs.count(info.name)) continue;
    const Dims shape = choose_shape(info, shapes, engine.profiles(), o.profile.value_or(0));
    SAY("[I] Using random values for input %s with shape %s\n", info.name.c_str(), shape.to_string().c_str());
    CAMEO_ASSIGN(inputs[info.name], random_tensor(info, shape, 0));
  }
  const Load load{.warmup_seconds = o.warmup_ms / 1000,
                  .duration_seconds = o.duration,
                  .idle_seconds = o.idle_ms / 1000,
                  .least_iterations = o.iterations,
                  .streams = o.streams,
                  .cuda_graphs = app.count("--noCudaGraph") == 0};
  CAMEO_ASSIGN(const RequestTimes times, measure(engine, inputs, o.profile, load));
  CAMEO_TRY(report(o, times, percents));
  if (o.dump_profile || !o.export_profile.empty()) CAMEO_TRY(profile_layers(o, engine, inputs));
  if (o.dump_output || !o.export_output.empty()) CAMEO_TRY(outputs(o, engine, inputs));
  if (common.json) std::printf("%s\n", to_json(times).dump(2).c_str());
  return kDone;
}

}  // namespace

Run add_exec(CLI::App& app, const Common& common) {
  auto o = std::make_shared<Options>();
  app.description(
      "Build and measure with trtexec's flags. Flags that change nothing on the CPU say so; flags for what Cameo does not have yet are an "
      "error.");
  app.add_option("--onnx", o->onnx, "ONNX model to build from");
  app.add_option("--saveEngine", o->save_engine, "Write the plan to this file");
  app.add_option("--loadEngine", o->load_engine, "Use this plan");
  app.add_option("--minShapes", o->min, "Least shapes of a profile: name:1x1,other:1x1; repeatable")->allow_extra_args(false);
  app.add_option("--optShapes", o->opt, "Shapes to tune for")->allow_extra_args(false);
  app.add_option("--maxShapes", o->max, "Largest shapes")->allow_extra_args(false);
  app.add_option("--shapes", o->shapes, "Shapes to run at; without ranges also the shapes to build for");
  app.add_option("--useProfile", o->profile, "Profile to run with");
  app.add_option("--builderOptimizationLevel", o->level, "0 to 5")->check(CLI::Range(0, 5))->capture_default_str();
  app.add_option("--timingCacheFile", o->timing_cache, "File of kernel times: read when it is there, written when something was measured");
  app.add_flag("--errorOnTimingCacheMiss", o->error_on_miss, "Measure nothing; what the timing cache does not hold is an error");
  app.add_option("--loadInputs", o->load_inputs, "Input values: name:file,… (raw bytes, or .npy)");
  app.add_option("--iterations", o->iterations, "Runs to measure at least")->capture_default_str();
  app.add_option("--duration", o->duration, "Seconds to measure at least")->capture_default_str();
  app.add_option("--warmUp", o->warmup_ms, "Milliseconds to run before measuring")->capture_default_str();
  app.add_option("--idleTime", o->idle_ms, "Milliseconds to sleep between runs")->capture_default_str();
  app.add_option("--infStreams,--streams", o->streams, "Contexts that run at once")->check(CLI::Range(1, 256))->capture_default_str();
  app.add_option("--avgRuns", o->average_runs, "Runs per printed average")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--percentile", o->percentiles, "Percentiles to report")->capture_default_str();
  app.add_option("--exportTimes", o->export_times, "Write the time of every run to this JSON file");
  app.add_option("--exportOutput", o->export_output, "Write the outputs to this JSON file");
  app.add_option("--device", o->device, "cuda builds for an NVIDIA GPU; anything else changes nothing");
  app.add_flag("--fp16", o->fp16, "float16 for products, convolutions and activations, on a GPU");
  app.add_flag("--bf16", o->bf16, "The same in bfloat16");
  app.add_flag("--int8", o->int8, "Products and convolutions on 8-bit integers, with the ranges of --calib");
  app.add_flag("--fp8", o->fp8, "Products on 8-bit floats, on a GPU");
  app.add_flag("--int4", o->int4, "Weights of products in 4 bits");
  app.add_flag("--best", o->best, "float16 on a GPU, and --int8 where --calib is given");
  app.add_flag("--stronglyTyped", o->strongly_typed, "Types are those of the model");
  app.add_option("--calib", o->calibration_cache, "File of ranges of activations, as cameo build --calib-cache writes it");
  app.add_option("--inputIOFormats", o->input_formats, "Types of inputs: fp16:chw for all floats, or one for each input in turn");
  app.add_option("--outputIOFormats", o->output_formats, "The same for outputs");
  app.add_flag("--dumpProfile", o->dump_profile, "Print the time of each layer");
  app.add_option("--exportProfile", o->export_profile, "Write the time of each layer to this JSON file");
  app.add_flag("--dumpOutput", o->dump_output, "Print the outputs of the last run");
  app.add_flag("--skipInference,--buildOnly", o->skip_inference, "Only build");
  app.add_flag("--timeDeserialize", o->time_load, "Print how long the plan takes to load");
  const auto add = [&app](const auto& f, const std::string& help) {
    if (f.takes_value)
      app.add_option(f.flag, help)->expected(1);
    else
      app.add_flag(f.flag, help);
  };
  for (const Ignored& f : kIgnored) add(f, std::string(f.on_gpu == f.why ? "No effect: " : "No effect on a CPU: ") + f.why);
  for (const Unsupported& f : kUnsupported) add(f, std::string("Not yet: ") + f.what);
  return [o, &app, &common]() -> Result<int> {
    if (common.json) report_stream = stderr;
    auto result = execute(*o, app, common);
    const bool passed = result.ok() && *result == kDone;
    SAY("&&&& %s Cameo.exec [Cameo v%s]\n", passed ? "PASSED" : "FAILED", CAMEO_VERSION);
    return result;
  };
}

}  // namespace cameo::cli
