// An embedder of what a folder holds.
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
  BuildOptions build = options.build;
  build.hidden_states = true;
  build.threads = settings.threads;
  CAMEO_ASSIGN(const Plan plan, load_or_build(folder, build, logger, nullptr));
  CAMEO_ASSIGN(const Engine engine, Engine::load(plan, {.logger = &logger, .verify_weights = {}}));
  return create(engine, std::move(tokenizer), settings);
}

}  // namespace cameo
