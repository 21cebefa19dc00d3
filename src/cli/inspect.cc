// cameo inspect PLAN|MODEL|FOLDER
#include <fmt/ranges.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "builder/kv_cache.h"
#include "builder/model_source.h"
#include "cli/cli.h"

#include "cli/placement.h"
#include "gguf/file.h"
#include "onnx/import.h"
#include "ops/op.h"
#include "passes/driver.h"
#include "pipelines/model_folder.h"
#include "plan/content.h"

namespace cameo::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string path, shapes;
  std::vector<std::string> disabled;
  bool layers = false, passes = false, onnx_operators = false, kv_cache = false;
};

struct Weights {
  int64_t parameters = 0;
  size_t bytes = 0;
};

void add_weights(const ir::Graph& graph, Weights& w, std::map<std::string, int64_t>* operators) {
  for (const ir::Value& v : graph.values)
    if (v.is_constant()) {
      w.parameters += v.constant.num_elements();
      w.bytes += v.constant.num_bytes();
    }
  for (const ir::Node& node : graph.nodes) {
    if (operators) ++(*operators)[(node.op->domain.empty() ? "" : std::string(node.op->domain) + ".") + std::string(node.op->name)];
    for (const ir::Subgraph& s : node.subgraphs) add_weights(*s.graph, w, operators);
  }
}

Json tensors(const ir::Graph& graph, const std::vector<ir::ValueId>& ids) {
  Json list = Json::array();
  for (ir::ValueId id : ids) list.push_back({{"name", graph.value(id).name}, {"type", graph.value(id).type.to_string()}});
  return list;
}

Json layers(const ir::Graph& graph) {
  Json list = Json::array();
  for (const ir::Node& n : graph.nodes) {
    Json inputs = Json::array(), outputs = Json::array();
    for (ir::ValueId id : n.inputs) inputs.push_back(id == ir::kNoValue ? std::string() : graph.value(id).name);
    for (ir::ValueId id : n.outputs)
      if (id != ir::kNoValue) outputs.push_back(graph.value(id).name + ": " + graph.value(id).type.to_string());
    list.push_back({{"name", n.name},
                    {"op", n.op->name},
                    {"attributes", attributes_text(n)},
                    {"kernel", n.kernel.empty() ? "reference" : n.kernel},
                    {"inputs", inputs},
                    {"outputs", outputs},
                    {"onnx_nodes", n.sources}});
  }
  return list;
}

void print_tensors(const char* title, const Json& list) {
  std::printf("%s:\n", title);
  for (const Json& t : list) std::printf("  %s: %s\n", t["name"].get<std::string>().c_str(), t["type"].get<std::string>().c_str());
  if (list.empty()) std::printf("  none\n");
}

void print_operators(const Json& operators) {
  size_t total = 0, width = 0;
  for (const auto& [name, count] : operators.items()) {
    total += count.get<size_t>();
    width = std::max(width, name.size());
  }
  std::printf("operators: %zu nodes of %zu types\n", total, operators.size());
  for (const auto& [name, count] : operators.items())
    std::printf("  %-*s %6zu\n", static_cast<int>(width), name.c_str(), count.get<size_t>());
}

void print_layers(const Json& list) {
  std::printf("layers:\n");
  for (const Json& l : list) {
    std::printf("  %s %s", l["op"].get<std::string>().c_str(), l["name"].get<std::string>().c_str());
    if (const auto a = l["attributes"].get<std::string>(); !a.empty()) std::printf(" {%s}", a.c_str());
    for (const Json& o : l["outputs"]) std::printf(" -> %s", o.get<std::string>().c_str());
    std::printf(" [%s]\n", l["kernel"].get<std::string>().c_str());
  }
}

// Of a language model, whether it can be built with a cache of keys and values; with --kv-cache the graph is what it becomes.
std::optional<PassReport> add_cache(const Options& o, const std::vector<std::string>& disabled, ir::Graph& graph) {
  const auto has = [&](const std::vector<ir::ValueId>& ids, std::string_view name) {
    return std::any_of(ids.begin(), ids.end(), [&](ir::ValueId id) { return graph.value(id).name == name; });
  };
  if (!has(graph.inputs, "input_ids") || !has(graph.outputs, "logits")) return std::nullopt;
  plan::Content content;
  content.graph = graph;
  std::vector<PassReport> reports;
  if (auto status = builder::add_kv_cache(content, KvCache::kAuto, {.disabled = disabled}, reports); !status.ok())
    return PassReport{"add_kv_cache", 0, 0, {status.error().message()}};
  if (o.kv_cache) graph = std::move(content.graph);
  return reports.back();
}

// A model that is no plan: what to print of it, and its graph.
struct Inspected {
  Json object;        // file, kind, and what the kind has of its own
  std::string title;  // the first lines for people
  onnx::ImportedModel model;
};

Result<Inspected> read_onnx(const std::string& path) {
  CAMEO_ASSIGN(const onnx::Model model, onnx::read_model(path));
  CAMEO_ASSIGN(onnx::ImportedModel m, onnx::import_model(model, {.allow_unsupported = true, .allow_missing_external_data = true}));
  Json object = {{"file", path}, {"kind", "onnx"}, {"ir_version", m.ir_version}, {"producer", m.producer}, {"opsets", Json::object()}};
  std::string title =
      fmt::format("{}: ONNX model, IR version {}{}{}\nopsets:", path, m.ir_version, m.producer.empty() ? "" : ", made by ", m.producer);
  for (const auto& [domain, version] : m.opsets) {
    const std::string name = domain.empty() ? "ai.onnx" : domain;
    object["opsets"][name] = version;
    title += fmt::format(" {} {}", name, version);
  }
  return Inspected{std::move(object), title + "\n", std::move(m)};
}

// A graph that is made from other files than ONNX has nothing that cannot be run.
Result<Inspected> read_made(const std::string& path, const char* kind, const char* called) {
  onnx::ImportedModel m;
  CAMEO_ASSIGN(m.graph, builder::read_graph(path, {}));
  Weights unused;
  add_weights(m.graph, unused, &m.operator_counts);
  return Inspected{{{"file", path}, {"kind", kind}, {"architecture", m.graph.name}},
                   fmt::format("{}: {}, architecture {}\n", path, called, m.graph.name),
                   std::move(m)};
}

// The types of a GGUF file's tensors, and what it says of itself.
Status describe_gguf(const std::string& path, Inspected& inspected) {
  CAMEO_ASSIGN(const gguf::File file, gguf::File::open(path));
  std::map<std::string, int64_t> types;
  for (const auto& [name, tensor] : file.tensors()) ++types[tensor.type->name];
  inspected.object["tensors"] = types;
  inspected.title += fmt::format("{} tensors:", file.tensors().size());
  for (const auto& [type, count] : types) inspected.title += fmt::format(" {} {}", count, type);
  inspected.title += "\n";
  return {};
}

// What generate and embed find beside a model.
Status describe_folder(const std::string& path, Inspected& inspected) {
  CAMEO_ASSIGN(const ModelFolder folder, read_model_folder(path));
  Json beside = Json::object();
  const auto note = [&](const char* key, const char* called, const auto& what, const std::string& text) {
    beside[key] = what;
    inspected.title += fmt::format("{}: {}\n", called, text);
  };
  const auto note_file = [&](const char* key, const char* called, const std::string& file) { note(key, called, file, file); };
  std::error_code unknown;
  if (!folder.model.empty()) note_file("model", "generate and embed run", folder.model);
  if (std::filesystem::exists(folder.tokenizer, unknown))
    note_file("tokenizer", "tokenizer", folder.tokenizer);
  else if (!folder.tokenizer_json.empty())
    note_file("tokenizer", "tokenizer", folder.model);
  if (!folder.chat_template.empty()) note_file("chat_template", "chat template", folder.chat_template_file);
  if (!folder.end_tokens.empty())
    note("end_tokens", "end tokens", folder.end_tokens, fmt::format("{}", fmt::join(folder.end_tokens, ", ")));
  if (folder.max_positions > 0) note("positions", "positions", folder.max_positions, std::to_string(folder.max_positions));
  inspected.object["beside"] = std::move(beside);
  return {};
}

Result<Inspected> read_any(const std::string& path) {
  CAMEO_ASSIGN(const builder::ModelSource source, builder::find_model(path));
  const bool folder = source.path != path || source.kind == builder::ModelSource::kFolder;
  Result<Inspected> inspected = source.kind == builder::ModelSource::kOnnx     ? read_onnx(source.path)
                                : source.kind == builder::ModelSource::kFolder ? read_made(path, "folder", "config.json and safetensors")
                                                                               : read_made(source.path, "gguf", "GGUF file");
  if (!inspected.ok()) return inspected;
  if (source.kind == builder::ModelSource::kGguf) CAMEO_TRY(describe_gguf(source.path, *inspected));
  if (folder || source.kind == builder::ModelSource::kGguf) CAMEO_TRY(describe_folder(path, *inspected));
  return inspected;
}

Result<int> inspect_model(const Options& o, const Common& common) {
  CAMEO_ASSIGN(Inspected inspected, read_any(o.path));
  onnx::ImportedModel& m = inspected.model;
  Weights weights;
  add_weights(m.graph, weights, nullptr);
  Json object = std::move(inspected.object);
  object["inputs"] = tensors(m.graph, m.graph.inputs);
  object["outputs"] = tensors(m.graph, m.graph.outputs);
  object["operators"] = m.operator_counts;
  object["parameters"] = weights.parameters;
  object["weight_bytes"] = weights.bytes;
  Json unsupported = Json::array();
  for (const auto& u : m.unsupported)
    unsupported.push_back({{"node", u.path},
                           {"domain", u.domain.empty() ? "ai.onnx" : u.domain},
                           {"op", u.op_type},
                           {"version", u.version},
                           {"reason", u.reason}});
  std::string type_error;
  if (m.unsupported.empty())
    if (const auto status = ir::infer_types(m.graph); !status.ok()) type_error = status.error().message();
  object["unsupported"] = unsupported;
  if (!type_error.empty()) object["type_error"] = type_error;
  if (o.passes && m.unsupported.empty() && type_error.empty()) {
    std::vector<PassReport> reports;
    std::vector<std::string> disabled = o.disabled;
    if (o.onnx_operators)
      for (std::string& name : passes_with_own_operators()) disabled.push_back(std::move(name));
    const std::optional<PassReport> cache = add_cache(o, disabled, m.graph);
    CAMEO_TRY(passes::run_passes(m.graph, {.disabled = disabled, .verify = true}, reports));
    if (cache) reports.push_back(*cache);
    object["passes"] = Json::array();
    for (const PassReport& p : reports)
      object["passes"].push_back({{"name", p.name}, {"changes", p.changes}, {"milliseconds", p.milliseconds}, {"notes", p.notes}});
    std::map<std::string, int64_t> operators;
    Weights left;
    add_weights(m.graph, left, &operators);
    object["optimised_operators"] = operators;
  }
  if (o.layers) object["layers"] = layers(m.graph);
  if (common.json) {
    std::printf("%s\n", object.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::fputs(inspected.title.c_str(), stdout);
    print_tensors("inputs", object["inputs"]);
    print_tensors("outputs", object["outputs"]);
    print_operators(object["operators"]);
    std::printf("parameters: %lld in %s\n", static_cast<long long>(weights.parameters), human_bytes(weights.bytes).c_str());
    if (!m.missing_external_data.empty())
      std::printf("missing: %zu tensors whose external data is not there (first: %s)\n", m.missing_external_data.size(),
                  m.missing_external_data[0].c_str());
    if (object.contains("passes")) {
      for (const Json& p : object["passes"]) {
        std::printf("pass %-28s %6d changes %9.2f ms\n", p["name"].get<std::string>().c_str(), p["changes"].get<int>(),
                    p["milliseconds"].get<double>());
        for (const Json& note : p["notes"]) std::printf("  %s\n", note.get<std::string>().c_str());
      }
      std::printf("after the passes, ");
      print_operators(object["optimised_operators"]);
    }
    if (o.layers) print_layers(object["layers"]);
    if (unsupported.empty() && type_error.empty())
      std::printf("every node can be run\n");
    else if (!unsupported.empty())
      std::printf("%zu nodes cannot be run:\n", unsupported.size());
    for (const auto& u : m.unsupported)
      std::printf("  %s (%s%s%s version %lld): %s\n", u.path.c_str(), u.domain.c_str(), u.domain.empty() ? "" : ".", u.op_type.c_str(),
                  static_cast<long long>(u.version), u.reason.c_str());
    if (!type_error.empty()) std::printf("types do not fit: %s\n", type_error.c_str());
  }
  if (!type_error.empty()) return kBadInput;
  return m.unsupported.empty() ? kDone : kNotSupported;
}

Result<int> inspect_plan(const Options& o, const Common& common) {
  CAMEO_ASSIGN(const Plan plan, Plan::load(o.path));
  CAMEO_ASSIGN(const PlanInfo info, plan_info(plan));
  CAMEO_ASSIGN(const plan::Content content, plan::read(plan, /*verify_weights=*/true));
  // A plan for a GPU is described without one; only what its memory will be needs the GPU.
  auto loaded = Engine::load(plan);
  if (!loaded.ok() && content.backend == "cpu") return std::move(loaded).error();
  std::optional<Placement> placement;
  if (content.backend != "cpu")
    if (const auto backend = runtime::find_backend(content.backend); backend.ok()) placement = place(content.graph, **backend);
  Weights weights;
  std::map<std::string, int64_t> operators;
  add_weights(content.graph, weights, &operators);
  Json object = {{"file", o.path},
                 {"kind", "plan"},
                 {"format_version", info.format_version},
                 {"cameo_version", info.cameo_version},
                 {"backend", info.backend},
                 {"target", info.target},
                 {"model", info.model_name},
                 {"bytes", plan.bytes().size()},
                 {"inputs", tensors(content.graph, content.graph.inputs)},
                 {"outputs", tensors(content.graph, content.graph.outputs)},
                 {"operators", operators},
                 {"parameters", weights.parameters},
                 {"weight_bytes", info.weight_bytes},
                 {"profiles", Json::array()}};
  // What a context takes at opt of each profile, or at the shapes given.
  std::map<std::string, Dims> shapes;
  if (loaded.ok()) {
    CAMEO_ASSIGN(shapes, parse_input_shapes(o.shapes, *loaded));
  }
  std::vector<std::pair<std::string, MemoryForecast>> forecasts;
  for (size_t p = 0; loaded.ok() && p < std::max<size_t>(1, shapes.empty() ? content.profiles.size() : 1); ++p) {
    std::vector<Dims> chosen;
    std::string text;
    for (const TensorInfo& t : loaded->inputs()) {
      chosen.push_back(choose_shape(t, shapes, content.profiles, p));
      text += (text.empty() ? "" : ",") + t.name + ":" + chosen.back().to_string();
    }
    auto forecast = loaded->memory_forecast(chosen);
    if (!forecast.ok() && !shapes.empty()) return std::move(forecast).error();
    if (forecast.ok()) forecasts.emplace_back(text, *forecast);
  }
  for (const Profile& profile : content.profiles) {
    Json ranges = Json::array();
    for (const InputRange& r : profile.inputs)
      ranges.push_back({{"input", r.name}, {"min", r.min.to_string()}, {"opt", r.opt.to_string()}, {"max", r.max.to_string()}});
    object["profiles"].push_back(ranges);
  }
  object["memory"] = Json::array();
  for (const auto& [text, f] : forecasts)
    object["memory"].push_back({{"shapes", text},
                                {"arena_bytes", f.arena},
                                {"without_reuse_bytes", f.without_reuse},
                                {"output_bytes", f.outputs},
                                {"complete", f.complete}});
  if (o.layers) object["layers"] = layers(content.graph);
  if (placement) {
    object["placement"] = to_json(*placement);
    object["precision"] = content.precision;
    object["tuned_for"] = content.tuned_for;
    object["choices"] = content.choices;
    object["tuning_level"] = content.tuning_level;
    object["deterministic"] = content.deterministic;
  }
  if (common.json) {
    std::printf("%s\n", object.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
    return kDone;
  }
  std::printf("%s: plan of '%s', format %u, built by Cameo %s for %s %s, %s\n", o.path.c_str(), info.model_name.c_str(),
              info.format_version, info.cameo_version.c_str(), info.backend.c_str(), info.target.c_str(),
              human_bytes(plan.bytes().size()).c_str());
  print_tensors("inputs", object["inputs"]);
  print_tensors("outputs", object["outputs"]);
  print_operators(object["operators"]);
  std::printf("parameters: %lld in %s\n", static_cast<long long>(weights.parameters), human_bytes(weights.bytes).c_str());
  for (size_t p = 0; p < content.profiles.size(); ++p)
    for (const InputRange& r : content.profiles[p].inputs)
      std::printf("profile %zu: %s min %s opt %s max %s\n", p, r.name.c_str(), r.min.to_string().c_str(), r.opt.to_string().c_str(),
                  r.max.to_string().c_str());
  if (content.profiles.empty()) std::printf("profiles: none; every shape that the model allows\n");
  for (const auto& [text, f] : forecasts)
    std::printf("memory at %s: arena %s, without reuse %s, outputs %s%s\n", text.c_str(), human_bytes(f.arena).c_str(),
                human_bytes(f.without_reuse).c_str(), human_bytes(f.outputs).c_str(),
                f.complete ? "" : " (and tensors whose size depends on data)");
  if (placement) {
    std::printf("precision: %s%s\n", content.precision.c_str(), content.deterministic ? ", the same bits in every run" : "");
    if (!content.tuned_for.empty())
      std::printf("tuned for: %s (%zu kernels chosen; elsewhere they are chosen anew)\n", content.tuned_for.c_str(),
                  content.choices.size());
    else
      std::printf("tuned for: nothing; kernels are chosen where it is loaded, %s\n",
                  content.tuning_level == 0 ? "without measuring" : "by measuring");
    print(*placement, o.layers);
  }
  if (o.layers) print_layers(object["layers"]);
  return kDone;
}

}  // namespace

Run add_inspect(CLI::App& app, const Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("file", o->path, "Plan, ONNX or GGUF file, or folder with a model")->required();
  app.add_flag("--layers", o->layers,
               "List every node with its attributes, outputs, kernel and ONNX nodes; with --passes, those that are left");
  app.add_flag("--passes", o->passes, "Show what each optimisation pass does to the model, and why it left alone what it nearly took");
  app.add_option("--disable-pass", o->disabled, "Leave a pass out, with --passes; repeatable")->allow_extra_args(false);
  app.add_flag("--onnx-operators", o->onnx_operators, "With --passes: without those that make Cameo's own operators");
  app.add_flag("--kv-cache", o->kv_cache, "With --passes: with a cache of keys and values added to a language model, where it can be");
  app.add_option("--shapes", o->shapes, "Forecast memory at these shapes, as name:1x128");
  return [o, &common] { return is_plan_file(o->path) ? inspect_plan(*o, common) : inspect_model(*o, common); };
}

}  // namespace cameo::cli
