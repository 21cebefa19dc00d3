// cameo bench PLAN --shapes name:1x128 --duration S
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/generate.h"

namespace cameo::cli {
namespace {

struct Options {
  BuildOptions build;
  std::string model, shapes;
  std::vector<std::string> inputs;
  uint64_t seed = 0;
  std::optional<size_t> profile;
  Load load;
};

void print_row(const char* name, const Statistics& s) {
  std::printf("%-10s %9.3f %9.3f %9.3f %9.3f %9.3f %9.3f %9.3f\n", name, s.min, s.mean, s.median, s.p90, s.p95, s.p99, s.max);
}

Result<int> run(const Options& o, const Common& common) {
  StderrLogger logger(common.verbose ? Severity::kVerbose : Severity::kWarning);
  BuildOptions build = o.build;
  build.progress = progress_bar();
  CAMEO_ASSIGN(const Plan plan, load_or_build(o.model, build, logger));
  CAMEO_ASSIGN(const Engine engine, Engine::load(plan, {.logger = &logger}));
  CAMEO_ASSIGN(const auto shapes, parse_input_shapes(o.shapes, engine));
  CAMEO_ASSIGN(const auto given, read_inputs(engine, o.inputs));
  std::map<std::string, Tensor> inputs;
  std::vector<Dims> chosen;
  for (const TensorInfo& info : engine.inputs()) {
    if (!info.is_tensor) return error(ErrorCode::kUnsupported, "input '{}' is a {}; only tensors can be made up", info.name, info.type);
    if (const auto it = given.find(info.name); it != given.end()) {
      inputs[info.name] = it->second.front();
      chosen.push_back(it->second.front().dims());
      continue;
    }
    chosen.push_back(choose_shape(info, shapes, engine.profiles(), o.profile.value_or(0)));
    CAMEO_ASSIGN(inputs[info.name], random_tensor(info, chosen.back(), o.seed));
  }
  CAMEO_ASSIGN(const RequestTimes times, measure(engine, inputs, o.profile, o.load));
  CAMEO_ASSIGN(const MemoryForecast memory, engine.memory_forecast(chosen));
  if (common.json) {
    nlohmann::ordered_json object = to_json(times);
    object["model"] = o.model;
    object["arena_bytes"] = memory.arena;
    object["weight_bytes"] = memory.weights;
    for (size_t i = 0; i < chosen.size(); ++i)
      object["shapes"][engine.inputs()[i].name] = std::vector<int64_t>(chosen[i].begin(), chosen[i].end());
    std::printf("%s\n", object.dump(2).c_str());
    return kDone;
  }
  for (size_t i = 0; i < chosen.size(); ++i) std::printf("%s: %s\n", engine.inputs()[i].name.c_str(), chosen[i].to_string().c_str());
  std::printf("%zu runs in %.2f s, %.2f requests/s\n", times.latency.size(), times.wall_seconds, times.qps());
  std::printf("%-10s %9s %9s %9s %9s %9s %9s %9s   (ms)\n", "", "min", "mean", "median", "p90", "p95", "p99", "max");
  print_row("latency", statistics(times.latency));
  print_row("h2d", statistics(times.h2d));
  print_row("compute", statistics(times.compute));
  print_row("d2h", statistics(times.d2h));
  print_row("enqueue", statistics(times.enqueue));
  return kDone;
}

}  // namespace

Run add_bench(CLI::App& app, const Common& common) {
  auto o = std::make_shared<Options>();
  app.require_subcommand(0, 1);
  CLI::App* text = app.add_subcommand("generate", "Text generation: without a cache, with O1 and with a cache, and how steps grow");
  text->add_flag(
      "--json", [&common](int64_t) { const_cast<Common&>(common).json = true; }, "Print one JSON object on stdout");
  const Run run_text = add_bench_generate(*text, common);
  app.add_option("plan", o->model, "Plan or ONNX file");
  add_device_options(app, o->build);
  app.add_option("-i,--input", o->inputs, "NAME=FILE.npy or NAME=[[1,2,3]]; repeat for more, the rest is made up")->allow_extra_args(false);
  app.add_option("--shapes", o->shapes, "Input shapes, as name:1x128,other:1x3; default: opt of the profile");
  app.add_option("--duration", o->load.duration_seconds, "Seconds to measure")->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--warm-up", o->load.warmup_seconds, "Seconds to run before measuring")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--iterations", o->load.least_iterations, "Runs to measure at least")->capture_default_str();
  app.add_option("--streams", o->load.streams, "Contexts that run at once, each on its own thread")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  app.add_option("--threads", o->load.threads, "Threads of each context; 0: the processors divided among the streams")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  app.add_option("--cpus", o->load.cpus, "Processors to pin the threads to that Cameo starts, as 0,1")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  app.add_flag_callback(
      "--no-cuda-graphs", [o] { o->load.cuda_graphs = false; }, "On a GPU: kernels are launched one by one in every run");
  app.add_option("--profile", o->profile, "Use this profile of the plan");
  app.add_option("--random-seed", o->seed, "Seed of the made-up inputs")->capture_default_str();
  return [o, text, run_text, &common]() -> Result<int> {
    if (text->parsed()) return run_text();
    if (o->model.empty()) return error(ErrorCode::kInvalidArgument, "there is no plan to measure");
    return run(*o, common);
  };
}

}  // namespace cameo::cli
