// cameo profile PLAN --shapes name:1x128
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/cli.h"

namespace cameo::cli {
namespace {

struct Options {
  BuildOptions build;
  std::string model, shapes;
  std::vector<std::string> inputs;
  uint64_t seed = 0;
  int threads = 0;
  double duration_seconds = 2;
  size_t top = 30;
};

struct Group {
  std::string name;
  double milliseconds = 0;
  size_t nodes = 0;
};

// Times by operator and kernel, longest first.
std::vector<Group> by_kernel(const std::vector<NodeTime>& nodes) {
  std::map<std::string, Group> groups;
  for (const NodeTime& n : nodes) {
    Group& g = groups[n.op + " [" + n.kernel + "]"];
    g.milliseconds += n.milliseconds;
    ++g.nodes;
  }
  std::vector<Group> list;
  for (auto& [name, g] : groups) list.push_back({name, g.milliseconds, g.nodes});
  std::sort(list.begin(), list.end(), [](const Group& a, const Group& b) { return a.milliseconds > b.milliseconds; });
  return list;
}

Result<int> run(const Options& o, const Common& common) {
  StderrLogger logger(common.verbose ? Severity::kVerbose : Severity::kWarning);
  BuildOptions build = o.build;
  build.progress = progress_bar();
  CAMEO_ASSIGN(const Plan plan, load_or_build(o.model, build, logger));
  CAMEO_ASSIGN(const Engine engine, Engine::load(plan, {.logger = &logger}));
  CAMEO_ASSIGN(const auto shapes, parse_input_shapes(o.shapes, engine));
  CAMEO_ASSIGN(const auto given, read_inputs(engine, o.inputs));
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context({.threads = o.threads}));
  for (const TensorInfo& info : engine.inputs()) {
    if (!info.is_tensor) return error(ErrorCode::kUnsupported, "input '{}' is a {}; only tensors can be made up", info.name, info.type);
    if (const auto it = given.find(info.name); it != given.end()) {
      CAMEO_TRY(context.set_input(info.name, it->second.front()));
      continue;
    }
    CAMEO_ASSIGN(const Tensor tensor, random_tensor(info, choose_shape(info, shapes, engine.profiles(), 0), o.seed));
    CAMEO_TRY(context.set_input(info.name, tensor));
  }
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < 2; ++i) CAMEO_TRY(context.run());
  context.start_profiling();
  const auto start = Clock::now();
  size_t runs = 0;
  std::chrono::duration<double> elapsed{};
  do {
    CAMEO_TRY(context.run());
    ++runs;
    elapsed = Clock::now() - start;
  } while (elapsed.count() < o.duration_seconds);
  std::vector<NodeTime> nodes = context.take_profile();
  double in_nodes = 0;
  for (NodeTime& n : nodes) {
    n.milliseconds /= static_cast<double>(runs);
    in_nodes += n.milliseconds;
  }
  const double whole = elapsed.count() * 1e3 / static_cast<double>(runs);
  if (common.json) {
    nlohmann::ordered_json object = {{"model", o.model}, {"runs", runs}, {"milliseconds", whole}, {"outside_nodes", whole - in_nodes}};
    object["nodes"] = nlohmann::ordered_json::array();
    for (const NodeTime& n : nodes)
      object["nodes"].push_back(
          {{"name", n.name}, {"op", n.op}, {"kernel", n.kernel}, {"outputs", n.outputs}, {"milliseconds", n.milliseconds}});
    std::printf("%s\n", object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return kDone;
  }
  std::printf("%zu runs, %.3f ms each; outside of the nodes %.3f ms\n", runs, whole, whole - in_nodes);
  std::printf("%9s %6s %6s  operator [kernel]\n", "ms", "%", "nodes");
  for (const Group& g : by_kernel(nodes))
    std::printf("%9.3f %6.1f %6zu  %s\n", g.milliseconds, 100 * g.milliseconds / whole, g.nodes, g.name.c_str());
  std::stable_sort(nodes.begin(), nodes.end(), [](const NodeTime& a, const NodeTime& b) { return a.milliseconds > b.milliseconds; });
  std::printf("%9s %6s  node\n", "ms", "%");
  for (size_t i = 0; i < std::min(nodes.size(), o.top); ++i)
    std::printf("%9.3f %6.1f  %s [%s] %s -> %s\n", nodes[i].milliseconds, 100 * nodes[i].milliseconds / whole, nodes[i].op.c_str(),
                nodes[i].kernel.c_str(), nodes[i].name.c_str(), nodes[i].outputs.c_str());
  return kDone;
}

}  // namespace

Run add_profile(CLI::App& app, const Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("plan", o->model, "Plan or ONNX file")->required();
  add_device_options(app, o->build);
  app.add_option("--shapes", o->shapes, "Input shapes, as name:1x128,other:1x3; default: opt of the first profile");
  app.add_option("-i,--input", o->inputs, "NAME=FILE.npy or NAME=[[1,2,3]]; repeat for more, the rest is made up")->allow_extra_args(false);
  app.add_option("--duration", o->duration_seconds, "Seconds to run")->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--threads", o->threads, "Threads to run with; 0: one for each processor")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  app.add_option("--top", o->top, "Nodes to list")->capture_default_str();
  app.add_option("--random-seed", o->seed, "Seed of the made-up inputs")->capture_default_str();
  return [o, &common] { return run(*o, common); };
}

}  // namespace cameo::cli
