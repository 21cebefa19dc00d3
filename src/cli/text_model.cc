#include <chrono>

#include "base/error.h"
#include "cli/generate.h"

namespace cameo::cli {

void add_text_model_flags(CLI::App& app, TextModelFlags& flags) {
  app.add_option("model", flags.path, "Folder with a model and tokenizer.json, ONNX or GGUF file, or plan")->required();
  app.add_option("--plan", flags.plan, "Use this plan instead of building one from the folder's model");
  app.add_option("--tokenizer", flags.tokenizer, "Use this tokenizer.json");
  auto* no_cache = app.add_flag("--no-cache", flags.no_cache, "Run the whole text again for each token, and fetch all logits");
  app.add_flag("--o1", flags.last_logits, "Run the whole text again for each token, in memory kept, and fetch the last logits")
      ->excludes(no_cache);
  app.add_option("--threads", flags.threads, "Threads (0: one for each processor)")->check(CLI::Range(0, 1024));
  app.add_option("--max-length", flags.max_length, "Tokens that memory is set aside for at once; 0: it grows")
      ->check(CLI::Range(0, 1 << 30));
  app.add_option("--weights", flags.build.weights, "Where a plan is built: how matrices are stored (fp32, fp16, bf16, int8, int4)")
      ->transform(CLI::CheckedTransformer(weight_types()).description(""));
  add_device_options(app, flags.build);
  app.add_option("--timing-cache", flags.build.timing_cache, "Where a plan is built: file of kernel times, read and written");
  app.add_option("--opt-level", flags.build.optimization_level, "Where a plan is built: how much to measure, 0 to 5")
      ->check(CLI::Range(0, 5));
}

Result<LoadedTextModel> load_text_model(const TextModelFlags& flags, Logger& logger) {
  const auto start = std::chrono::steady_clock::now();
  TextModelOptions options{.plan = flags.plan,
                           .tokenizer = flags.tokenizer,
                           .kv_cache = flags.no_cache || flags.last_logits ? KvCache::kOff : KvCache::kAuto,
                           .build = flags.build,
                           .logger = &logger};
  options.build.threads = flags.threads;
  options.build.progress = progress_bar();
  CAMEO_ASSIGN(TextModel model, TextModel::load(flags.path, options));
  const DecodeMode mode = flags.no_cache ? DecodeMode::kRecompute : flags.last_logits ? DecodeMode::kLastLogits : DecodeMode::kAuto;
  CAMEO_ASSIGN(TextGenerator generator,
               TextGenerator::create(model, {.mode = mode, .threads = flags.threads, .max_length = flags.max_length}));
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return LoadedTextModel{std::move(model), std::move(generator), ms};
}

}  // namespace cameo::cli
