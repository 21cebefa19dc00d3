// cameo run PLAN|MODEL --input NAME=FILE.npy … --output-dir DIR
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/cli.h"
#include "ops/dispatch.h"

namespace cameo::cli {
namespace {

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

struct Options {
  BuildOptions build;
  std::string model, output_dir;
  std::vector<std::string> inputs, shapes;
  uint64_t seed = 0;
  std::optional<size_t> profile;
  int threads = 0;
};

std::string file_name_of(std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '/' || c == ':'; }, '_');
  return name + ".npy";
}

const TensorInfo* find(std::span<const TensorInfo> tensors, const std::string& name) {
  for (const TensorInfo& t : tensors)
    if (t.name == name) return &t;
  return nullptr;
}

Status bind_inputs(ExecutionContext& context, const Engine& engine, const Options& o, std::map<std::string, std::vector<Tensor>> given) {
  std::map<std::string, Dims> shapes;
  for (const std::string& text : o.shapes) {
    CAMEO_ASSIGN(auto more, parse_shapes(text));
    for (auto& [name, dims] : more) {
      if (!find(engine.inputs(), name)) return error(ErrorCode::kInvalidArgument, "--shapes: the model has no input '{}'", name);
      shapes[name] = dims;
    }
  }
  for (const TensorInfo& info : engine.inputs()) {
    const auto it = given.find(info.name);
    if (it != given.end() && info.is_tensor) {
      CAMEO_TRY(context.set_input(info.name, it->second.front()));
    } else if (it != given.end()) {
      // An optional tensor takes a tensor; sequences take the elements in the order given.
      if (info.type.starts_with("optional(") && info.type.find("sequence") == std::string::npos)
        CAMEO_TRY(context.set_input(info.name, it->second.front()));
      else
        CAMEO_TRY(context.set_input_sequence(info.name, std::move(it->second)));
    } else if (!info.is_tensor) {
      if (info.type.starts_with("optional("))
        CAMEO_TRY(context.set_input_absent(info.name));
      else
        CAMEO_TRY(context.set_input_sequence(info.name, {}));
    } else {
      CAMEO_ASSIGN(const Tensor made_up, random_tensor(info, choose_shape(info, shapes, engine.profiles(), o.profile.value_or(0)), o.seed));
      CAMEO_TRY(context.set_input(info.name, made_up));
    }
  }
  return {};
}

nlohmann::ordered_json describe(const std::string& name, const Tensor& t) {
  nlohmann::ordered_json object = {
      {"name", name}, {"dtype", dtype_name(t.dtype())}, {"shape", std::vector<int64_t>(t.dims().begin(), t.dims().end())}};
  if (const auto s = summarize(t)) {
    object["min"] = s->min;
    object["max"] = s->max;
    object["mean"] = s->mean;
    object["nan"] = s->nan;
  }
  return object;
}

Result<int> run(const Options& o, const Common& common) {
  StderrLogger logger(common.verbose ? Severity::kVerbose : Severity::kWarning);
  BuildOptions build = o.build;
  build.progress = progress_bar();
  auto start = std::chrono::steady_clock::now();
  CAMEO_ASSIGN(const Plan plan, load_or_build(o.model, build, logger));
  CAMEO_ASSIGN(const Engine engine, Engine::load(plan, {.logger = &logger}));
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context({.threads = o.threads}));
  const double load_ms = milliseconds_since(start);
  if (o.profile) CAMEO_TRY(context.set_profile(*o.profile));
  CAMEO_ASSIGN(auto given, read_inputs(engine, o.inputs));
  CAMEO_TRY(bind_inputs(context, engine, o, std::move(given)));
  start = std::chrono::steady_clock::now();
  CAMEO_TRY(context.run());
  const double run_ms = milliseconds_since(start);

  if (!o.output_dir.empty()) {
    std::error_code failed;
    std::filesystem::create_directories(o.output_dir, failed);
    if (failed) return error(ErrorCode::kIo, "cannot make the folder '{}': {}", o.output_dir, failed.message());
  }
  nlohmann::ordered_json object = {{"load_ms", load_ms}, {"run_ms", run_ms}, {"outputs", nlohmann::json::array()}};
  if (!common.json) std::printf("loaded in %.1f ms, ran in %.3f ms\n", load_ms, run_ms);
  for (const TensorInfo& info : engine.outputs()) {
    std::vector<Tensor> tensors;
    std::vector<std::string> names;
    CAMEO_ASSIGN(const bool present, context.output_present(info.name));
    if (!present) {
      object["outputs"].push_back({{"name", info.name}, {"absent", true}});
      if (!common.json) std::printf("%s: absent\n", info.name.c_str());
      continue;
    }
    if (info.type.find("sequence(") != std::string::npos) {
      CAMEO_ASSIGN(tensors, context.output_sequence(info.name));
      for (size_t i = 0; i < tensors.size(); ++i) names.push_back(fmt::format("{}.{}", info.name, i));
    } else {
      CAMEO_ASSIGN(Tensor tensor, context.output(info.name));
      tensors.push_back(std::move(tensor));
      names.push_back(info.name);
    }
    for (size_t i = 0; i < tensors.size(); ++i) {
      auto described = describe(names[i], tensors[i]);
      if (!o.output_dir.empty()) {
        const std::string path = (std::filesystem::path(o.output_dir) / file_name_of(names[i])).string();
        CAMEO_TRY(write_npy(path, tensors[i]));
        described["file"] = path;
      }
      if (!common.json) {
        std::printf("%s: %s[%s] %s", names[i].c_str(), std::string(dtype_name(tensors[i].dtype())).c_str(),
                    tensors[i].dims().to_string().c_str(), preview(tensors[i]).c_str());
        if (const auto s = summarize(tensors[i]))
          std::printf("  min %.6g max %.6g mean %.6g%s", s->min, s->max, s->mean, s->nan ? ", has NaN" : "");
        std::printf("\n");
      }
      object["outputs"].push_back(std::move(described));
    }
  }
  if (common.json) std::printf("%s\n", object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return kDone;
}

}  // namespace

Run add_run(CLI::App& app, const Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("model", o->model, "Plan or ONNX file")->required();
  add_device_options(app, o->build);
  app.add_option("-i,--input", o->inputs,
                 "NAME=FILE.npy or NAME=[[1,2],[3,4]]; repeatable. Inputs not given are made up: floats in [-1, 1), "
                 "integers 0 to 9 (1 for names with \"mask\"), true")
      ->allow_extra_args(false);
  app.add_option("--shapes", o->shapes, "Shapes of made-up inputs, as name:1x3,other:2")->allow_extra_args(false);
  app.add_option("--random-seed", o->seed, "Seed of made-up inputs")->capture_default_str();
  app.add_option("--threads", o->threads, "Threads to run with; 0: one for each processor")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  app.add_option("--profile", o->profile, "Use this profile of the plan");
  app.add_option("--output-dir", o->output_dir, "Write each output to DIR/NAME.npy ('/' and ':' in a name become '_')");
  return [o, &common] { return run(*o, common); };
}

std::optional<FloatSummary> summarize(const Tensor& tensor) {
  FloatSummary s;
  bool first = true;
  double sum = 0;
  const auto done = ops::dispatch_numbers(tensor.dtype(), "a summary", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < tensor.num_elements(); ++i) {
      const auto v = static_cast<double>(static_cast<compute_t<T>>(tensor.data<T>()[i]));
      if (v != v) {
        ++s.nan;
        continue;
      }
      s.min = first ? v : std::min(s.min, v);
      s.max = first ? v : std::max(s.max, v);
      sum += v;
      first = false;
    }
    return {};
  });
  if (!done.ok() || tensor.num_elements() == 0) return std::nullopt;
  s.mean = sum / static_cast<double>(std::max<int64_t>(1, tensor.num_elements() - s.nan));
  return s;
}

std::string preview(const Tensor& tensor, size_t most) {
  std::string out = "[";
  const auto n = static_cast<size_t>(tensor.num_elements());
  for (size_t i = 0; i < std::min(n, most); ++i) {
    if (i) out += ", ";
    if (tensor.dtype() == DType::kString)
      out += "\"" + tensor.data<std::string>()[i] + "\"";
    else if (tensor.dtype() == DType::kBool)
      out += tensor.data<bool>()[i] ? "true" : "false";
    else if (!ops::dispatch_numbers(tensor.dtype(), "a preview", [&](auto tag) -> Status {
                using T = typename decltype(tag)::type;
                out += fmt::format("{:.6g}", static_cast<double>(static_cast<compute_t<T>>(tensor.data<T>()[i])));
                return {};
              }).ok())
      out += "?";
  }
  return out + (n > most ? ", …]" : "]");
}

}  // namespace cameo::cli
