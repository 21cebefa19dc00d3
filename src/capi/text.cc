#include <cstring>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "cameo/embed.h"
#include "cameo/generate.h"
#include "capi/error.h"
#include "capi/handles.h"

using cameo::ErrorCode;
using cameo::capi::done;
using cameo::capi::fail;
using cameo::capi::guarded;

struct cameo_generator {
  std::shared_ptr<cameo::capi::FunctionLogger> logger;  // the model's; clones share both
  cameo::TextModel model;
  cameo::TextGenerator generator;
  cameo::TextGeneratorOptions options;
  std::mutex mutex;  // of `stop`
  std::stop_source stop;
  cameo::Generation last;
};

struct cameo_embedder {
  std::unique_ptr<cameo::capi::FunctionLogger> logger;
  cameo::Embedder embedder;
};

namespace cameo::capi {
namespace {

template <class Options>
int32_t take(const Options* given, const char* init, Options& options) {
  if (given && given->size != sizeof options)
    return fail(cameo::error(ErrorCode::kInvalidArgument, "options->size is not that of this version; use {}", init));
  if (given) options = *given;
  return 0;
}

int32_t create_generator(std::shared_ptr<FunctionLogger> logger, TextModel model, const TextGeneratorOptions& options,
                         cameo_generator** to) {
  auto generator = TextGenerator::create(model, options);
  if (!generator.ok()) return fail(generator.error());
  *to = new cameo_generator{std::move(logger), std::move(model), std::move(generator).value(), options, {}, {}, {}};
  return 0;
}

Result<GenerateOptions> to_options(const cameo_generate_options& from, const GenerateOptions& defaults) {
  const auto wrong = [](const char* what) { return cameo::error(ErrorCode::kInvalidArgument, "{} is null but its number is not 0", what); };
  GenerateOptions to = defaults;
  to.max_new_tokens = from.max_new_tokens;
  to.temperature = from.temperature;
  to.top_k = from.top_k;
  to.top_p = from.top_p;
  to.min_p = from.min_p;
  to.seed = from.seed;
  to.repetition_penalty = from.repetition_penalty;
  to.presence_penalty = from.presence_penalty;
  to.frequency_penalty = from.frequency_penalty;
  to.num_beams = from.num_beams;
  to.length_penalty = from.length_penalty;
  to.early_stopping = from.early_stopping != 0;
  to.ignore_end_tokens = from.ignore_end_tokens != 0;
  if (from.num_stop_strings > 0 && !from.stop_strings) return wrong("stop_strings");
  for (size_t i = 0; i < from.num_stop_strings; ++i) {
    if (!from.stop_strings[i]) return cameo::error(ErrorCode::kInvalidArgument, "stop string {} is null", i);
    to.stop_strings.emplace_back(from.stop_strings[i]);
  }
  if (from.num_stop_tokens > 0 && !from.stop_tokens) return wrong("stop_tokens");
  if (from.num_stop_tokens > 0) to.stop_tokens.assign(from.stop_tokens, from.stop_tokens + from.num_stop_tokens);
  if (from.num_biases > 0 && (!from.bias_ids || !from.biases)) return wrong("bias_ids or biases");
  for (size_t i = 0; i < from.num_biases; ++i) to.logit_bias.emplace_back(from.bias_ids[i], from.biases[i]);
  return to;
}

Result<std::vector<uint32_t>> encode(const TextModel& model, const char* prompt, const cameo_generate_options& options) {
  if (options.chat) {
    std::vector<ChatMessage> messages;
    if (options.system) messages.push_back({"system", options.system});
    messages.push_back({"user", prompt});
    return model.encode_chat(messages);
  }
  CAMEO_ASSIGN(Encoding encoding, model.tokenizer().encode(prompt));
  return std::move(encoding.ids);
}

Status generate(cameo_generator& g, std::span<const char* const> prompts, const cameo_generate_options& given) {
  CAMEO_ASSIGN(GenerateOptions options, to_options(given, g.model.defaults()));
  std::vector<std::vector<uint32_t>> ids;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (!prompts[i]) return cameo::error(ErrorCode::kInvalidArgument, "prompt {} is null", i);
    CAMEO_ASSIGN(std::vector<uint32_t> encoded, encode(g.model, prompts[i], given));
    ids.push_back(std::move(encoded));
  }
  {
    const std::lock_guard lock(g.mutex);
    g.stop = {};
    options.cancel = g.stop.get_token();
  }
  OnToken on_token;
  if (given.on_token)
    on_token = [&given](const TokenEvent& e) {
      const std::string text(e.text);
      const cameo_token token = {e.row, e.id, text.c_str(), text.size(), e.finish ? static_cast<int32_t>(*e.finish) : CAMEO_GOES_ON};
      return given.on_token(&token, given.user) != 0;
    };
  CAMEO_ASSIGN(g.last, g.generator.generate(ids, options, on_token));
  return {};
}

}  // namespace
}  // namespace cameo::capi

extern "C" {

int32_t cameo_generator_create(const char* path, const cameo_generator_options* options, cameo_generator** generator) {
  using namespace cameo;
  if (!path) return fail(ErrorCode::kInvalidArgument, "path is null");
  if (!generator) return fail(ErrorCode::kInvalidArgument, "generator is null");
  return guarded([&] {
    cameo_generator_options given = CAMEO_GENERATOR_OPTIONS_INIT;
    if (const int32_t code = capi::take(options, "CAMEO_GENERATOR_OPTIONS_INIT", given)) return code;
    if (given.mode < 0 || given.mode > 3) return fail(ErrorCode::kInvalidArgument, "mode must be 0 to 3");
    auto logger = std::make_shared<capi::FunctionLogger>(given.log, given.log_user);
    const auto mode = static_cast<DecodeMode>(given.mode);
    TextModelOptions load;
    if (given.plan) load.plan = given.plan;
    if (given.tokenizer) load.tokenizer = given.tokenizer;
    load.kv_cache = mode == DecodeMode::kLastLogits || mode == DecodeMode::kRecompute ? KvCache::kOff : KvCache::kAuto;
    load.build.threads = given.threads;
    load.logger = &logger->used();
    auto model = TextModel::load(path, load);
    if (!model.ok()) return fail(model.error());
    return capi::create_generator(std::move(logger), std::move(model).value(),
                                  {.mode = mode, .threads = given.threads, .max_length = 0, .max_batch = 0}, generator);
  });
}

int32_t cameo_generator_clone(const cameo_generator* generator, cameo_generator** clone) {
  if (!generator || !clone) return fail(ErrorCode::kInvalidArgument, "generator or clone is null");
  return guarded([&] { return cameo::capi::create_generator(generator->logger, generator->model, generator->options, clone); });
}

void cameo_generator_free(cameo_generator* generator) { delete generator; }

int32_t cameo_generate_options_init(const cameo_generator* generator, cameo_generate_options* options) {
  if (!generator || !options) return fail(ErrorCode::kInvalidArgument, "generator or options is null");
  const cameo::GenerateOptions& d = generator->model.defaults();
  *options = {};
  options->size = sizeof *options;
  options->max_new_tokens = d.max_new_tokens;
  options->temperature = d.temperature;
  options->top_k = d.top_k;
  options->top_p = d.top_p;
  options->min_p = d.min_p;
  options->seed = d.seed;
  options->repetition_penalty = d.repetition_penalty;
  options->presence_penalty = d.presence_penalty;
  options->frequency_penalty = d.frequency_penalty;
  options->num_beams = d.num_beams;
  options->length_penalty = d.length_penalty;
  return 0;
}

int32_t cameo_generate(cameo_generator* generator, const char* const* prompts, size_t num_prompts, const cameo_generate_options* options) {
  if (!generator) return fail(ErrorCode::kInvalidArgument, "generator is null");
  if (!prompts && num_prompts > 0) return fail(ErrorCode::kInvalidArgument, "prompts is null");
  return guarded([&] {
    cameo_generate_options given;
    cameo_generate_options_init(generator, &given);
    if (const int32_t code = cameo::capi::take(options, "cameo_generate_options_init", given)) return code;
    generator->last = {};
    return done(cameo::capi::generate(*generator, std::span(prompts, num_prompts), given));
  });
}

void cameo_generator_cancel(cameo_generator* generator) {
  if (!generator) return;
  const std::lock_guard lock(generator->mutex);
  generator->stop.request_stop();
}

int32_t cameo_generator_completion(const cameo_generator* generator, size_t row, cameo_completion* completion) {
  if (!generator || !completion) return fail(ErrorCode::kInvalidArgument, "generator or completion is null");
  const auto& rows = generator->last.completions;
  if (row >= rows.size())
    return fail(cameo::error(ErrorCode::kInvalidArgument, "there is no text {}; the last call made {}", row, rows.size()));
  const cameo::Completion& c = rows[row];
  *completion = {c.text.c_str(),
                 c.text.size(),
                 c.prompt_token_ids.data(),
                 c.prompt_token_ids.size(),
                 c.token_ids.data(),
                 c.token_ids.size(),
                 static_cast<int32_t>(c.finish_reason)};
  return 0;
}

int32_t cameo_embedder_create(const char* path, const cameo_embedder_options* options, cameo_embedder** embedder) {
  using namespace cameo;
  if (!path) return fail(ErrorCode::kInvalidArgument, "path is null");
  if (!embedder) return fail(ErrorCode::kInvalidArgument, "embedder is null");
  return guarded([&] {
    cameo_embedder_options given = CAMEO_EMBEDDER_OPTIONS_INIT;
    if (const int32_t code = capi::take(options, "CAMEO_EMBEDDER_OPTIONS_INIT", given)) return code;
    if (given.pooling < -1 || given.pooling > 3) return fail(ErrorCode::kInvalidArgument, "pooling must be -1 to 3");
    auto logger = std::make_unique<capi::FunctionLogger>(given.log, given.log_user);
    EmbedderLoadOptions load;
    if (given.tokenizer) load.tokenizer = given.tokenizer;
    load.logger = &logger->used();
    load.change = [&given](EmbedderOptions& o) {
      o.threads = given.threads;
      if (given.pooling >= 0) o.pooling = static_cast<Pooling>(given.pooling);
      if (given.normalize >= 0) o.normalize = given.normalize != 0;
      if (given.max_length > 0) o.max_length = given.max_length;
    };
    auto loaded = Embedder::load(path, load);
    if (!loaded.ok()) return fail(loaded.error());
    *embedder = new cameo_embedder{std::move(logger), std::move(loaded).value()};
    return 0;
  });
}

void cameo_embedder_free(cameo_embedder* embedder) { delete embedder; }

size_t cameo_embedder_width(const cameo_embedder* embedder) { return embedder ? static_cast<size_t>(embedder->embedder.width()) : 0; }

int32_t cameo_embed(cameo_embedder* embedder, const char* const* texts, size_t num_texts, float* vectors) {
  if (!embedder) return fail(ErrorCode::kInvalidArgument, "embedder is null");
  if (num_texts > 0 && (!texts || !vectors)) return fail(ErrorCode::kInvalidArgument, "texts or vectors is null");
  return guarded([&] {
    std::vector<std::string_view> views;
    for (size_t i = 0; i < num_texts; ++i) {
      if (!texts[i]) return fail(cameo::error(ErrorCode::kInvalidArgument, "text {} is null", i));
      views.emplace_back(texts[i]);
    }
    const auto made = embedder->embedder.embed(views);
    if (!made.ok()) return fail(made.error());
    if (num_texts > 0) std::memcpy(vectors, made->raw(), made->num_bytes());
    return 0;
  });
}
}
