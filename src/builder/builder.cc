#include "cameo/builder.h"

#include <charconv>
#include <new>

#include "base/error.h"
#include "base/thread_pool.h"
#include "builder/batch_rows.h"
#include "builder/io_types.h"
#include "builder/kv_cache.h"
#include "builder/model_source.h"
#include "builder/precision.h"
#include "builder/profiles.h"
#include "builder/tune.h"
#include "cameo/version.h"
#include "onnx/import.h"
#include "passes/driver.h"
#include "passes/lower_float8.h"
#include "passes/lower_quantized.h"
#include "plan/content.h"
#include "runtime/backend.h"

namespace cameo {
namespace {

Status report(const BuildOptions& options, std::string_view stage, double done) {
  if (options.progress && !options.progress(stage, done))
    return error(ErrorCode::kCancelled, "the build was cancelled while it did: {}", stage);
  return {};
}

Status tune(plan::Content& content, const BuildOptions& options, builder::TimingCache& cache, Logger& logger) {
  const builder::TuneOptions tune_options = {
      .level = options.optimization_level,
      .threads = ThreadPool(options.threads).size(),
      .budget_seconds = options.tuning_seconds,
      .error_on_miss = options.error_on_miss,
      .logger = &logger,
      .progress = [&](const std::string& what, double done) { return report(options, what, 0.3 + 0.6 * done); }};
  return builder::choose_tactics(content.graph, content.profiles, tune_options, cache);
}

// Where the nodes run that the device cannot.
void place_on_device(const ir::Graph& graph, const runtime::Backend& backend, std::vector<std::string>& refused) {
  for (const ir::Node& node : graph.nodes) {
    if (!backend.on_host(node, graph))
      if (const Status s = backend.supports(node, graph); !s.ok())
        refused.push_back(fmt::format("{}: {}", node.describe(), s.error().message()));
    for (const ir::Subgraph& s : node.subgraphs) place_on_device(*s.graph, backend, refused);
  }
}

// The types that the device's runs will see at opt of a profile; nothing where an extent is open.
std::optional<std::vector<ops::Fact>> facts_at_opt(const ir::Graph& graph, const Profile* profile) {
  std::vector<ops::Fact> facts;
  for (ir::ValueId id : graph.inputs) {
    ir::Type type = graph.value(id).type;
    if (!type.is_tensor()) return std::nullopt;
    for (size_t k = 0; profile && k < profile->inputs.size(); ++k)
      if (profile->inputs[k].name == graph.value(id).name) type.shape = ir::to_shape(profile->inputs[k].opt);
    if (!type.is_concrete()) return std::nullopt;
    facts.push_back(ops::Fact::of(std::move(type)));
  }
  return facts;
}

// Chooses the device's kernels by measuring, where there is a device; otherwise that is done where the plan is loaded.
Status tune_on_device(plan::Content& content, const BuildOptions& options, runtime::Backend& backend, builder::TimingCache& cache,
                      Logger& logger) {
  content.deterministic = options.deterministic;
  content.tuning_level = options.portable || options.deterministic ? 0 : options.optimization_level;
  if (content.tuning_level == 0) return {};
  const auto key = backend.tuning_key();
  if (!key.ok()) {
    if (options.error_on_miss)
      return error(ErrorCode::kInvalidArgument, "nothing is known of the kernels' times: {}", key.error().message());
    logger.log(Severity::kVerbose, "kernels are chosen where the plan is loaded: " + key.error().message());
    return {};
  }
  runtime::DeviceModelOptions device{.cpu_fallback = content.cpu_fallback, .level = content.tuning_level, .tuned_for = *key};
  device.error_on_miss = options.error_on_miss;
  CAMEO_ASSIGN(device.precision, runtime::precision_from_name(content.precision));
  for (const auto& [problem, tactic] : cache.fastest(*key))
    if (int choice = 0; std::from_chars(tactic.data(), tactic.data() + tactic.size(), choice).ec == std::errc() && choice >= 0)
      device.choices.emplace(problem, choice);
  CAMEO_ASSIGN(const auto model, backend.load(content.graph, device, logger));
  CAMEO_ASSIGN(const auto context, model->create_context({}));
  for (size_t p = 0; p < std::max<size_t>(1, content.profiles.size()); ++p) {
    CAMEO_TRY(report(options, "measure kernels", 0.3));
    const auto facts = facts_at_opt(content.graph, content.profiles.empty() ? nullptr : &content.profiles[p]);
    if (!facts) {
      logger.log(Severity::kVerbose, "kernels are chosen at the first run: the shapes are not known, and there is no profile");
      continue;
    }
    if (auto made = context->specialization(*facts); !made.ok()) return std::move(made).error();
  }
  content.tuned_for = *key;
  content.choices = model->choices();
  for (const auto& [problem, choice] : content.choices)
    if (const auto known = device.choices.find(problem); known == device.choices.end() || known->second != choice)
      cache.add(*key, problem, std::to_string(choice), 0);
  return {};
}

// What a plan for a GPU has besides the graph, and whether the GPU can run it.
Status make_device_plan(plan::Content& content, const BuildOptions& options, runtime::Backend& backend, builder::TimingCache& cache,
                        Logger& logger) {
  std::vector<std::string> refused;
  place_on_device(content.graph, backend, refused);
  constexpr size_t kMostNamed = 10;
  std::string names;
  for (size_t i = 0; i < refused.size() && i < kMostNamed; ++i) names += "\n  " + refused[i];
  if (refused.size() > kMostNamed) names += fmt::format("\n  and {} more", refused.size() - kMostNamed);
  if (!refused.empty() && !options.cpu_fallback)
    return error(ErrorCode::kUnsupported, "{} node{} cannot run on device '{}' (--allow-cpu-fallback lets them run on the CPU):{}",
                 refused.size(), refused.size() == 1 ? "" : "s", options.device, names);
  if (!refused.empty()) logger.log(Severity::kWarning, fmt::format("{} nodes run on the CPU:{}", refused.size(), names));
  content.backend = content.target = options.device;
  content.precision = runtime::precision_name(static_cast<runtime::Precision>(options.precision));
  content.cpu_fallback = options.cpu_fallback;
  return tune_on_device(content, options, backend, cache, logger);
}

Result<Plan> build_graph(ir::Graph graph, const BuildOptions& options, Logger& logger, std::vector<PassReport>& reports,
                         std::vector<LayerPrecision>& precisions) {
  reports.clear();
  if (options.optimization_level < 0 || options.optimization_level > 5)
    return error(ErrorCode::kInvalidArgument, "optimization_level is {}; it must be 0 to 5", options.optimization_level);
  if (options.threads < 0 || options.threads > 1024)
    return error(ErrorCode::kInvalidArgument, "threads is {}; it must be 0 (all processors) to 1024", options.threads);
  if (options.reference && options.kv_cache != KvCache::kOff)
    return error(ErrorCode::kInvalidArgument, "a cache of keys and values is made by passes, and `reference` asks for none");
  if (options.device == "cpu" && (options.portable || options.deterministic))
    return error(ErrorCode::kInvalidArgument, "`portable` and `deterministic` are for a GPU; on the CPU all plans are both");
  const bool other_types = !options.input_types.empty() || !options.output_types.empty();
  if (other_types && options.kv_cache != KvCache::kOff)
    return error(ErrorCode::kInvalidArgument, "inputs and outputs of a model with a cache have the types that the cache's passes give them");
  runtime::Backend* device = nullptr;
  if (options.device != "cpu") {
    CAMEO_ASSIGN(device, runtime::find_backend(options.device));
  }
  plan::Content content;
  content.graph = std::move(graph);
  CAMEO_TRY(ir::infer_types(content.graph));
  if (other_types) CAMEO_TRY(builder::set_io_types(content.graph, options.input_types, options.output_types));
  CAMEO_ASSIGN(content.profiles, builder::check_profiles(content.graph, options.profiles));
  CAMEO_TRY(report(options, "optimise", 0.1));
  if (!options.reference) {
    const passes::PassOptions pass_options = {.disabled = options.disabled_passes,
                                              .verify = options.verify_passes,
                                              .folding_budget_bytes = options.folding_budget_bytes,
                                              .strongly_typed = options.strongly_typed,
                                              .logger = &logger,
                                              .check_cancelled = [&] { return report(options, "optimise", 0.2); }};
    std::vector<PassReport> early;
    if (options.kv_cache != KvCache::kOff) CAMEO_TRY(builder::add_kv_cache(content, options.kv_cache, pass_options, early));
    CAMEO_TRY(passes::run_passes(content.graph, pass_options, reports));
    if (!early.empty()) reports.push_back(std::move(early.back()));
    // Products that the model itself has in 8-bit floats; before the rest of what is quantised becomes float.
    if (device)
      CAMEO_TRY(passes::lower_float8(
          content.graph, {}, [](const ir::Node&) { return false; }, reports.emplace_back()));
    CAMEO_TRY(passes::lower_quantized(content.graph, reports.emplace_back()));
  }
  builder::TimingCache cache;
  if (!options.timing_cache.empty()) {
    CAMEO_ASSIGN(cache, builder::TimingCache::load(options.timing_cache));
  }
  CAMEO_TRY(builder::lower_precision(content.graph, options, content.profiles, cache, reports, precisions));
  content.target = plan::host_target();
  if (device)
    CAMEO_TRY(make_device_plan(content, options, *device, cache, logger));
  else if (!options.reference)
    CAMEO_TRY(tune(content, options, cache, logger));
  if (!options.timing_cache.empty() && cache.changed()) CAMEO_TRY(cache.save(options.timing_cache));
  CAMEO_TRY(report(options, "write the plan", 0.9));
  if (!options.reference) {
    if (auto batch = builder::independent_batch(content.graph); batch.ok())
      content.batch = std::move(batch).value();
    else
      logger.log(Severity::kVerbose, "runs take the whole batch at once: " + batch.error().message());
  }
  content.cameo_version = CAMEO_VERSION;
  content.model_name = content.graph.name;
  CAMEO_ASSIGN(Plan plan, plan::write(content));
  CAMEO_TRY(report(options, "done", 1));
  return plan;
}

}  // namespace

Result<Plan> Builder::build(const std::string& model_path, const BuildOptions& options) try {
  CAMEO_TRY(report(options, "import", 0));
  CAMEO_ASSIGN(ir::Graph graph, builder::read_graph(model_path, options));
  auto plan = build_graph(std::move(graph), options, *logger_, passes_, precisions_);
  if (!plan.ok()) return std::move(plan).error().in(model_path);
  return plan;
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory to build a plan from '{}'", model_path);
}

Result<Plan> Builder::build(std::span<const std::byte> model_bytes, const std::string& folder, const BuildOptions& options) try {
  CAMEO_TRY(report(options, "import", 0));
  CAMEO_ASSIGN(const onnx::Model model, onnx::read_model(model_bytes, folder));
  CAMEO_ASSIGN(onnx::ImportedModel imported, onnx::import_model(model, {.external_data_root = options.external_data_root}));
  return build_graph(std::move(imported.graph), options, *logger_, passes_, precisions_);
} catch (const std::bad_alloc&) {
  return error(ErrorCode::kOutOfMemory, "no memory to build the plan");
}

}  // namespace cameo
