// cameo generate MODEL --prompt TEXT
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "cameo/generate.h"
#include "cli/cli.h"
#include "cli/generate.h"

namespace cameo::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  TextModelFlags model;
  std::string prompt_file, system, verify;
  std::vector<std::string> prompts, logit_bias;
  bool chat = false, greedy = false;
  // What was given; the rest is what generation_config.json says.
  std::optional<size_t> max_new_tokens, top_k, num_beams;
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty, length_penalty;
  GenerateOptions others;
};

// "15043:2.5"
Status parse_bias(const std::string& text, GenerateOptions& options) {
  const size_t colon = text.find(':');
  char *id_end = nullptr, *bias_end = nullptr;
  const unsigned long long id = std::strtoull(text.c_str(), &id_end, 10);
  const float bias = colon == std::string::npos ? 0 : std::strtof(text.c_str() + colon + 1, &bias_end);
  if (colon == 0 || colon == std::string::npos || id_end != text.c_str() + colon || *bias_end != '\0' ||
      bias_end == text.c_str() + colon + 1 || id > UINT32_MAX)
    return error(ErrorCode::kInvalidArgument, "--logit-bias is '{}'; it must be a token's id and a number, such as 15043:2.5", text);
  options.logit_bias.emplace_back(static_cast<uint32_t>(id), bias);
  return {};
}

Result<GenerateOptions> generate_options(const Options& o, const GenerateOptions& defaults) {
  GenerateOptions g = o.others;
  g.pass_logits = false;
  const auto take = [](const auto& given, const auto& otherwise, auto& value) { value = given ? *given : otherwise; };
  take(o.max_new_tokens, defaults.max_new_tokens, g.max_new_tokens);
  take(o.temperature, o.greedy ? 0 : defaults.temperature, g.temperature);
  take(o.top_k, defaults.top_k, g.top_k);
  take(o.top_p, defaults.top_p, g.top_p);
  take(o.min_p, defaults.min_p, g.min_p);
  take(o.repetition_penalty, defaults.repetition_penalty, g.repetition_penalty);
  take(o.presence_penalty, defaults.presence_penalty, g.presence_penalty);
  take(o.frequency_penalty, defaults.frequency_penalty, g.frequency_penalty);
  take(o.num_beams, defaults.num_beams, g.num_beams);
  take(o.length_penalty, defaults.length_penalty, g.length_penalty);
  if (o.num_beams && *o.num_beams > 1 && !o.temperature) g.temperature = 0;
  if (g.temperature > 0 && !o.num_beams) g.num_beams = 1;
  for (const std::string& text : o.logit_bias) CAMEO_TRY(parse_bias(text, g));
  return g;
}

// A prompt a line of the file, or of standard input for "-".
Result<std::vector<std::string>> read_prompts(const Options& o) {
  std::vector<std::string> prompts = o.prompts;
  if (o.prompt_file.empty()) return prompts;
  CAMEO_ASSIGN(const std::vector<std::string> lines, read_lines(o.prompt_file));
  for (const std::string& line : lines)
    if (!line.empty()) prompts.push_back(line);
  return prompts;
}

Json to_json(const Completion& c, const GenerateOptions& options) {
  Json object = {{"text", c.text},
                 {"prompt_token_ids", c.prompt_token_ids},
                 {"token_ids", c.token_ids},
                 {"finish_reason", finish_reason_name(c.finish_reason)}};
  if (options.log_probabilities) object["log_probabilities"] = c.log_probabilities;
  if (options.num_beams > 1) object["score"] = c.score;
  if (options.top_log_probabilities > 0) {
    object["top_log_probabilities"] = Json::array();
    for (const auto& step : c.top_log_probabilities) {
      Json likely = Json::array();
      for (const TokenProbability& t : step) likely.push_back({{"id", t.id}, {"log_probability", t.log_probability}});
      object["top_log_probabilities"].push_back(std::move(likely));
    }
  }
  return object;
}

double tokens_per_second(const Generation& g) {
  size_t tokens = 0;
  for (const Completion& c : g.completions) tokens += c.token_ids.size();
  return g.times.total > 0 ? static_cast<double>(tokens) * 1000 / g.times.total : 0;
}

Json timings(const Generation& g, double load_ms) {
  const Statistics steps = statistics(g.times.steps);
  return {{"load_ms", load_ms},
          {"prefill_ms", g.times.prefill},
          {"token_ms", cli::to_json(steps)},
          {"copy_in_ms", g.times.copy_in},
          {"compute_ms", g.times.compute},
          {"copy_out_ms", g.times.copy_out},
          {"total_ms", g.times.total},
          {"tokens_per_second", tokens_per_second(g)}};
}

std::stop_source& interrupt() {
  static std::stop_source source;
  return source;
}

// Shows one row as it grows, or several as they end.
class Screen {
 public:
  Screen(const std::vector<std::string>& prompts, bool chat) : prompts_(prompts), chat_(chat), texts_(prompts.size()) {
    if (prompts.size() == 1 && !chat) show(prompts[0]);
  }
  bool add(const TokenEvent& event) {
    if (prompts_.size() == 1) {
      show(event.text);
      if (event.finish) show("\n");
      return true;
    }
    texts_[event.row] += event.text;
    if (event.finish) show(fmt::format("[{}] {}{}\n", event.row + 1, chat_ ? "" : prompts_[event.row], texts_[event.row]));
    return true;
  }

 private:
  static void show(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
  const std::vector<std::string>& prompts_;
  bool chat_;
  std::vector<std::string> texts_;
};

Result<int> run(const Options& o, const Common& common) {
  if ((o.others.log_probabilities || o.others.top_log_probabilities > 0) && !common.json)
    return error(ErrorCode::kInvalidArgument, "--logprobs and --top-logprobs need --json, which shows them");
  StderrLogger logger(common.verbose ? Severity::kVerbose : Severity::kWarning);
  CAMEO_ASSIGN(const std::vector<std::string> prompts, read_prompts(o));
  if (prompts.empty() && o.verify.empty()) return error(ErrorCode::kInvalidArgument, "there is no prompt; give --prompt or --prompt-file");
  CAMEO_ASSIGN(LoadedTextModel loaded, load_text_model(o.model, logger));
  if (!o.verify.empty()) return verify_generation(loaded, o.verify, common);

  CAMEO_ASSIGN(GenerateOptions options, generate_options(o, loaded.model.defaults()));
  std::vector<std::vector<uint32_t>> ids;
  for (const std::string& prompt : prompts) {
    if (o.chat) {
      std::vector<ChatMessage> messages;
      if (!o.system.empty()) messages.push_back({"system", o.system});
      messages.push_back({"user", prompt});
      CAMEO_ASSIGN(std::vector<uint32_t> encoded, loaded.model.encode_chat(messages));
      ids.push_back(std::move(encoded));
    } else {
      CAMEO_ASSIGN(Encoding encoding, loaded.model.tokenizer().encode(prompt));
      ids.push_back(std::move(encoding.ids));
    }
  }

  // Ctrl-C ends the text; a second one ends the program.
  options.cancel = interrupt().get_token();
  std::signal(SIGINT, [](int) {
    interrupt().request_stop();
    std::signal(SIGINT, SIG_DFL);
  });
  std::optional<Screen> screen;
  OnToken on_token;
  if (!common.json)
    on_token = [&](const TokenEvent& event) {
      if (!screen) screen.emplace(prompts, o.chat);
      return screen->add(event);
    };
  CAMEO_ASSIGN(const Generation made, loaded.generator.generate(ids, options, on_token));
  std::signal(SIGINT, SIG_DFL);
  if (common.json) {
    Json object;
    if (made.completions.size() == 1) {
      object = to_json(made.completions[0], options);
    } else {
      object["completions"] = Json::array();
      for (const Completion& c : made.completions) object["completions"].push_back(to_json(c, options));
    }
    object["mode"] = decode_mode_name(loaded.generator.mode());
    object["timings"] = timings(made, loaded.milliseconds);
    std::printf("%s\n", object.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
    return kDone;
  }
  size_t prompt_tokens = 0, new_tokens = 0;
  for (const Completion& c : made.completions) {
    prompt_tokens += c.prompt_token_ids.size();
    new_tokens += c.token_ids.size();
  }
  const std::string_view mode = loaded.generator.mode() == DecodeMode::kCached ? "with cache" : decode_mode_name(loaded.generator.mode());
  std::fprintf(stderr, "[%zu + %zu tokens; loaded in %.0f ms; prompt %.1f ms, then %.2f ms a step, %.0f tokens/s; %.*s]\n", prompt_tokens,
               new_tokens, loaded.milliseconds, made.times.prefill, statistics(made.times.steps).mean, tokens_per_second(made),
               static_cast<int>(mode.size()), mode.data());
  if (common.verbose && !loaded.generator.why_not_cached().empty())
    std::fprintf(stderr, "[no cache: %s]\n", loaded.generator.why_not_cached().c_str());
  return kDone;
}

}  // namespace

Run add_generate(CLI::App& app, const Common& common) {
  auto o = std::make_shared<Options>();
  add_text_model_flags(app, o->model);
  app.add_option("--prompt", o->prompts, "Text to complete; repeat for a batch")->allow_extra_args(false);
  app.add_option("--prompt-file", o->prompt_file, "A prompt a line; - is standard input");
  CLI::Option* chat = app.add_flag("--chat", o->chat, "Put each prompt through the model's chat template, as what the user says");
  app.add_option("--system", o->system, "With --chat: what the system says before")->needs(chat);
  const CLI::Range count(0, 1 << 30);
  app.add_option("--max-new-tokens", o->max_new_tokens, "Tokens to add at most (128 if the model does not say)")->check(count);
  app.add_flag("--greedy", o->greedy, "Take the likeliest token, whatever generation_config.json says");
  app.add_option("--temperature", o->temperature, "Draw tokens; higher is wilder, 0 is greedy");
  app.add_option("--top-k", o->top_k, "Draw among so many of the likeliest tokens; 0: all")->check(count);
  app.add_option("--top-p", o->top_p, "Draw among the likeliest tokens that together have this probability");
  app.add_option("--min-p", o->min_p, "Draw among tokens at least this many times as likely as the likeliest");
  app.add_option("--seed", o->others.seed, "Of drawing; prompt n of a batch has seed + n");
  app.add_option("--repetition-penalty", o->repetition_penalty, "Divide the logits of tokens of the prompt and the text by this");
  app.add_option("--presence-penalty", o->presence_penalty, "Take this off the logits of tokens made so far");
  app.add_option("--frequency-penalty", o->frequency_penalty, "Take this off for each time a token was made");
  app.add_option("--logit-bias", o->logit_bias, "ID:NUMBER is added to the token's logit; repeat for more")->allow_extra_args(false);
  app.add_option("--stop", o->others.stop_strings, "End before this text; repeat for more")->allow_extra_args(false);
  app.add_option("--stop-token", o->others.stop_tokens, "End at this token id; repeat for more")->allow_extra_args(false);
  app.add_flag("--ignore-eos", o->others.ignore_end_tokens, "Go on past the model's own end tokens");
  app.add_option("--num-beams", o->num_beams, "Beam search with so many beams")->check(CLI::Range(1, 1024));
  app.add_option("--length-penalty", o->length_penalty, "Of beam search: scores are divided by length to this power");
  app.add_flag("--early-stopping", o->others.early_stopping, "Of beam search: end as soon as so many texts have ended as there are beams");
  app.add_flag("--logprobs", o->others.log_probabilities, "With --json: the log-probability of each token");
  app.add_option("--top-logprobs", o->others.top_log_probabilities, "With --json: the likeliest tokens at each step")->check(count);
  app.add_option("--verify", o->verify,
                 "Instead of a prompt, run the cases of this file and compare tokens and logits with those it records");
  return [o, &common] { return run(*o, common); };
}

}  // namespace cameo::cli
