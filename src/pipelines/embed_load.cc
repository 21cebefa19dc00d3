// An embedder of what a folder holds.
#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "cameo/embed.h"
#include "pipelines/model_folder.h"

namespace cameo {

Result<Embedder> Embedder::load(const std::string& path, const EmbedderLoadOptions& options) {
  Logger& logger = options.logger ? *options.logger : default_logger();
  CAMEO_ASSIGN(const ModelFolder folder, read_model_folder(path));
  CAMEO_ASSIGN(Tokenizer tokenizer, load_tokenizer(folder, options.tokenizer));
  for (const std::string& warning : tokenizer.warnings()) logger.log(Severity::kWarning, warning);
  const std::filesystem::path beside(options.tokenizer.empty() ? folder.tokenizer : options.tokenizer);
  CAMEO_ASSIGN(EmbedderOptions settings, EmbedderOptions::from_folder(beside.parent_path().string()));
  if (options.change) options.change(settings);
  // What the model has no positions for is cut off.
  if (const size_t most = folder.max_positions; most > 0) {
    if (settings.pad_to > most)
      return error(ErrorCode::kInvalidArgument, "texts cannot be padded to {} tokens: the model has {} positions", settings.pad_to, most);
    if (settings.max_length == 0 && tokenizer.truncation()) settings.max_length = tokenizer.truncation()->max_length;
    if (settings.max_length == 0) settings.max_length = EmbedderOptions::kUsualMaxLength;
    settings.max_length = std::min(settings.max_length, most);
  }
  BuildOptions build = options.build;
  build.hidden_states = true;
  build.threads = settings.threads;
  CAMEO_ASSIGN(const Plan plan, load_or_build(folder, build, logger, nullptr));
  CAMEO_ASSIGN(const Engine engine, Engine::load(plan, {.logger = &logger, .verify_weights = {}}));
  return create(engine, std::move(tokenizer), settings);
}

}  // namespace cameo
