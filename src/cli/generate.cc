// cameo generate MODEL_DIR --prompt TEXT
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "cli/cli.h"
#include "pipelines/generate.h"
#include "cameo/tokenizer.h"

namespace cameo::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string folder, plan, prompt, verify;
  size_t max_new_tokens = 24;
};

Result<Json> read_json(const std::string& path) {
  CAMEO_ASSIGN(const MappedFile file, map_file(path));
  const auto* text = reinterpret_cast<const char*>(file.bytes.data());
  Json json = Json::parse(text, text + file.bytes.size(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return error(ErrorCode::kInvalidInput, "'{}' is not valid JSON", path);
  return json;
}

// Largest difference of one step's logits from recorded values (the format is in the model card of models/tiny-gpt2).
double compare(const Json& step, const Json& probe_ids, std::span<const float> logits) {
  double worst = 0;
  const auto check = [&](size_t id, double want) { worst = id < logits.size() ? std::max(worst, std::fabs(logits[id] - want)) : INFINITY; };
  for (size_t i = 0; i < probe_ids.size(); ++i) check(probe_ids[i].get<size_t>(), step.at("probe_logits")[i].get<double>());
  for (size_t i = 0; i < step.at("top_ids").size(); ++i) check(step.at("top_ids")[i].get<size_t>(), step.at("top_logits")[i].get<double>());
  double sum = 0;
  const double largest = step.at("max").get<double>();
  for (float v : logits) sum += std::exp(v - largest);
  return std::max(worst, std::fabs(largest + std::log(sum) - step.at("log_sum_exp").get<double>()));
}

// Runs every case of the reference file; all tokens must be equal and all logits within the tolerance.
Result<int> verify(Generator& generator, const Tokenizer& tokenizer, const Options& o, const Common& common) {
  constexpr double kTolerance = 1e-3;
  CAMEO_ASSIGN(const Json reference, read_json(o.verify));
  Json object = {{"tolerance", kTolerance}, {"cases", Json::array()}};
  bool all = true;
  double worst = 0;
  size_t steps = 0;
  try {
    for (const Json& c : reference.at("cases")) {
      const auto prompt = c.at("prompt").get<std::string>();
      const auto prompt_ids = c.at("prompt_ids").get<std::vector<uint32_t>>();
      const auto want = c.at("completion_ids").get<std::vector<uint32_t>>();
      CAMEO_ASSIGN(const Encoding encoding, tokenizer.encode(prompt));
      double difference = 0;
      size_t step = 0;
      const auto on_step = [&](const Generator::Step& s) {
        difference = std::max(difference, compare(c.at("steps").at(step), reference.at("probe_ids"), s.logits));
        return s.token == want[step++];
      };
      CAMEO_ASSIGN(const auto made, generator.generate(prompt_ids, want.size(), {}, on_step));
      const bool good = encoding.ids == prompt_ids && made == want && difference <= kTolerance;
      all &= good;
      worst = std::max(worst, difference);
      steps += step;
      object["cases"].push_back({{"prompt", prompt},
                                 {"agrees", good},
                                 {"same_prompt_ids", encoding.ids == prompt_ids},
                                 {"same_tokens", made == want},
                                 {"largest_difference", difference}});
      if (!common.json)
        std::printf("  %-45s %zu tokens, largest difference %.1e: %s\n", ("\"" + prompt + "\"").c_str(), step, difference,
                    good ? "agrees" : "DIFFERS");
    }
  } catch (const nlohmann::json::exception& e) {
    return error(ErrorCode::kInvalidInput, "'{}' is not a reference file: {}", o.verify, e.what());
  }
  object["agrees"] = all;
  object["largest_difference"] = worst;
  if (common.json)
    std::printf("%s\n", object.dump(2).c_str());
  else
    std::printf("%s: %zu cases, %zu steps, every token %s, largest difference of a logit %.1e (allowed %.0e)\n",
                all ? "verified" : "NOT verified", object["cases"].size(), steps, all ? "equal" : "compared", worst, kTolerance);
  return all ? kDone : kCheckFailed;
}

Result<int> run(const Options& o, const Common& common) {
  const std::filesystem::path folder(o.folder);
  StderrLogger logger(common.verbose ? Severity::kVerbose : Severity::kWarning);
  const auto start = std::chrono::steady_clock::now();
  const auto since_start = [&start] { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count(); };
  CAMEO_ASSIGN(const Tokenizer tokenizer, Tokenizer::load((folder / "tokenizer.json").string()));
  BuildOptions build;
  build.progress = progress_bar();
  CAMEO_ASSIGN(const Plan plan, o.plan.empty() ? Builder(logger).build((folder / "model.onnx").string(), build) : Plan::load(o.plan));
  CAMEO_ASSIGN(const Engine engine, Engine::load(plan, {.logger = &logger}));
  CAMEO_ASSIGN(Generator generator, Generator::create(engine));
  const double load_ms = since_start();
  if (!o.verify.empty()) return verify(generator, tokenizer, o, common);

  CAMEO_ASSIGN(const Encoding encoding, tokenizer.encode(o.prompt));
  std::vector<uint32_t> stop;
  std::error_code missing;
  if (std::filesystem::exists(folder / "config.json", missing)) {
    CAMEO_ASSIGN(const Json config, read_json((folder / "config.json").string()));
    if (config.is_object() && config.contains("eos_token_id") && config["eos_token_id"].is_number_unsigned())
      stop.push_back(config["eos_token_id"].get<uint32_t>());
  }
  std::vector<uint32_t> made;
  std::vector<double> step_ms;
  std::string shown;
  if (!common.json) std::printf("%s", o.prompt.c_str());
  const auto on_step = [&](const Generator::Step& s) {
    made.push_back(s.token);
    step_ms.push_back(s.milliseconds);
    // The text so far is decoded whole, because a character may take several tokens.
    const auto text = tokenizer.decode(made);
    if (!common.json && text.ok() && text->size() > shown.size() && !text->ends_with("\xEF\xBF\xBD")) {
      std::printf("%s", text->c_str() + shown.size());
      std::fflush(stdout);
      shown = *text;
    }
    return true;
  };
  CAMEO_TRY(generator.generate(encoding.ids, o.max_new_tokens, stop, on_step));
  CAMEO_ASSIGN(const std::string text, tokenizer.decode(made));
  const Statistics times = statistics(step_ms);
  const bool stopped = !made.empty() && std::find(stop.begin(), stop.end(), made.back()) != stop.end();
  if (common.json) {
    const Json object = {{"text", text},
                         {"prompt_token_ids", encoding.ids},
                         {"token_ids", made},
                         {"finish_reason", stopped ? "stop" : "length"},
                         {"timings", {{"load_ms", load_ms}, {"step_ms", to_json(times)}}}};
    std::printf("%s\n", object.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::printf("\n");
    std::fprintf(stderr, "[%zu + %zu tokens; loaded in %.0f ms; %.2f ms a step (median), full recomputation]\n", encoding.ids.size(),
                 made.size(), load_ms, times.median);
  }
  return kDone;
}

}  // namespace

Run add_generate(CLI::App& app, const Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("folder", o->folder, "Folder with model.onnx and tokenizer.json")->required();
  app.add_option("--prompt", o->prompt, "Text to complete");
  app.add_option("--max-new-tokens", o->max_new_tokens, "Tokens to add")->capture_default_str();
  app.add_option("--plan", o->plan, "Use this plan instead of building one from the folder's model.onnx");
  app.add_option("--verify", o->verify,
                 "Instead of a prompt, run the cases of this file and compare tokens and logits with those it records");
  return [o, &common] { return run(*o, common); };
}

}  // namespace cameo::cli
