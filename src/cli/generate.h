// What the commands that generate text share.
#pragma once

#include <string>

#include "cameo/generate.h"
#include "cli/cli.h"

namespace cameo::cli {

// Which model, and how it is run.
struct TextModelFlags {
  std::string path, plan, tokenizer;
  bool no_cache = false, last_logits = false;
  int threads = 0;
  int64_t max_length = 0;
  BuildOptions build;
};
void add_text_model_flags(CLI::App& app, TextModelFlags& flags);

struct LoadedTextModel {
  TextModel model;
  TextGenerator generator;
  double milliseconds;  // that it took
};
Result<LoadedTextModel> load_text_model(const TextModelFlags& flags, Logger& logger);

// `cameo bench generate`
Run add_bench_generate(CLI::App& app, const Common& common);

// Runs every case of a reference file (its format is in the model card of models/tiny-gpt2): all tokens must be equal and all
// logits within 1e-3.
Result<int> verify_generation(LoadedTextModel& loaded, const std::string& file, const Common& common);

}  // namespace cameo::cli
