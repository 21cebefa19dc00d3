#include "huggingface/model.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "huggingface/architectures.h"

namespace cameo::huggingface {
namespace {

namespace fs = std::filesystem;

struct Architecture {
  const char* model_type;
  void (*build)(ModelBuilder&);
};

constexpr Architecture kArchitectures[] = {
    {"bert", &build_bert},         {"distilbert", &build_distilbert}, {"roberta", &build_roberta}, {"xlm-roberta", &build_roberta},
    {"camembert", &build_roberta}, {"mpnet", &build_mpnet},           {"gpt2", &build_gpt2},       {"llama", &build_llama},
    {"mistral", &build_llama},     {"qwen2", &build_llama},           {"qwen3", &build_llama},
};

}  // namespace

bool is_model_folder(const std::string& folder) {
  const fs::path root(folder);
  std::error_code unknown;
  return fs::exists(root / "config.json", unknown) &&
         (fs::exists(root / "model.safetensors", unknown) || fs::exists(root / "model.safetensors.index.json", unknown));
}

bool is_known_folder(const std::string& folder) {
  const auto json = read_json((fs::path(folder) / "config.json").string());
  if (!json.ok() || !json->is_object()) return false;
  const auto type = json->find("model_type");
  return type != json->end() && std::ranges::any_of(kArchitectures, [&](const Architecture& a) { return *type == a.model_type; });
}

Result<ir::Graph> build_graph(Config config, Weights& weights, bool hidden_states) {
  const std::string type = config.text("model_type", "");
  std::string known;
  for (const Architecture& a : kArchitectures) {
    known += (known.empty() ? "" : ", ") + std::string(a.model_type);
    if (type != a.model_type) continue;
    ModelBuilder builder(config, weights, hidden_states);
    a.build(builder);
    return builder.finish(type);
  }
  CAMEO_TRY(config.status());
  return error(ErrorCode::kUnsupported, "architecture '{}' (model_type) is not known; known are {}. Export the model to ONNX instead",
               type.substr(0, 100), known);
}

Result<ir::Graph> read_folder(const std::string& folder, bool hidden_states) {
  const std::string path = (fs::path(folder) / "config.json").string();
  CAMEO_ASSIGN(Json json, read_json(path));
  if (!json.is_object()) return error(ErrorCode::kInvalidModel, "'{}' is not a JSON object", path);
  CAMEO_ASSIGN(SafetensorsWeights weights, SafetensorsWeights::open(folder));
  return build_graph(Config(std::move(json), path), weights, hidden_states);
}

}  // namespace cameo::huggingface
