#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "cli/generate.h"

namespace cameo::cli {
namespace {

using Json = nlohmann::ordered_json;

// Largest difference of one step's logits from recorded values.
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

}  // namespace

Result<int> verify_generation(LoadedTextModel& loaded, const std::string& file, const Common& common) {
  constexpr double kTolerance = 1e-3;
  CAMEO_ASSIGN(const MappedFile mapped, map_file(file));
  const auto* text = reinterpret_cast<const char*>(mapped.bytes.data());
  const Json reference = Json::parse(text, text + mapped.bytes.size(), nullptr, /*allow_exceptions=*/false);
  if (reference.is_discarded()) return error(ErrorCode::kInvalidInput, "'{}' is not valid JSON", file);
  Json object = {{"mode", decode_mode_name(loaded.generator.mode())}, {"tolerance", kTolerance}, {"cases", Json::array()}};
  bool all = true;
  double worst = 0;
  size_t steps = 0;
  try {
    for (const Json& c : reference.at("cases")) {
      const auto prompt = c.at("prompt").get<std::string>();
      const auto prompt_ids = c.at("prompt_ids").get<std::vector<uint32_t>>();
      const auto want = c.at("completion_ids").get<std::vector<uint32_t>>();
      CAMEO_ASSIGN(const Encoding encoding, loaded.model.tokenizer().encode(prompt));
      double difference = 0;
      size_t step = 0;
      const auto on_token = [&](const TokenEvent& e) {
        difference = std::max(difference, compare(c.at("steps").at(step), reference.at("probe_ids"), e.logits));
        return e.id == want[step++];
      };
      GenerateOptions options;
      options.max_new_tokens = want.size();
      options.ignore_end_tokens = true;
      CAMEO_ASSIGN(const Generation made, loaded.generator.generate(std::span(&prompt_ids, 1), options, on_token));
      const bool same_tokens = made.completions[0].token_ids == want;
      const bool good = encoding.ids == prompt_ids && same_tokens && difference <= kTolerance;
      all &= good;
      worst = std::max(worst, difference);
      steps += step;
      object["cases"].push_back({{"prompt", prompt},
                                 {"agrees", good},
                                 {"same_prompt_ids", encoding.ids == prompt_ids},
                                 {"same_tokens", same_tokens},
                                 {"largest_difference", difference}});
      if (!common.json)
        std::printf("  %-45s %zu tokens, largest difference %.1e: %s\n", ("\"" + prompt + "\"").c_str(), step, difference,
                    good ? "agrees" : "DIFFERS");
    }
  } catch (const nlohmann::json::exception& e) {
    return error(ErrorCode::kInvalidInput, "'{}' is not a reference file: {}", file, e.what());
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

}  // namespace cameo::cli
