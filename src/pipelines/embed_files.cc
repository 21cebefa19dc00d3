// The files that sentence-transformers keeps beside a model.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "cameo/embed.h"

namespace cameo {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// The file's content; null where there is no such file.
Result<Json> read_json(const fs::path& path) {
  std::error_code unknown;
  if (!fs::exists(path, unknown)) return Json();
  CAMEO_ASSIGN(const MappedFile file, map_file(path.string()));
  const auto* text = reinterpret_cast<const char*>(file.bytes.data());
  Json json = Json::parse(text, text + file.bytes.size(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return error(ErrorCode::kInvalidModel, "'{}' is not valid JSON", path.string());
  return json;
}

// A length that a file gives; 0 where it gives none.
Result<size_t> read_length(const fs::path& path, const char* key) {
  CAMEO_ASSIGN(const Json json, read_json(path));
  if (!json.is_object() || !json.contains(key) || json[key].is_null()) return size_t{0};
  if (!json[key].is_number_unsigned() || json[key].get<uint64_t>() == 0 || json[key].get<uint64_t>() > INT32_MAX)
    return error(ErrorCode::kInvalidModel, "'{}': {} is {}; it must be a number of tokens", path.string(), key, json[key].dump());
  return json[key].get<size_t>();
}

Result<Pooling> read_pooling(const fs::path& path) {
  CAMEO_ASSIGN(const Json json, read_json(path));
  std::vector<std::string> modes;
  if (json.is_object())
    for (const auto& [key, value] : json.items())
      if (key.starts_with("pooling_mode_") && value.is_boolean() && value.get<bool>()) modes.push_back(key.substr(13));
  if (modes.empty() || modes == std::vector<std::string>{"mean_tokens"}) return Pooling::kMean;
  if (modes == std::vector<std::string>{"cls_token"}) return Pooling::kCls;
  if (modes == std::vector<std::string>{"max_tokens"}) return Pooling::kMax;
  if (modes == std::vector<std::string>{"lasttoken"}) return Pooling::kLast;
  return error(ErrorCode::kUnsupported, "'{}' asks for pooling by {}{}; known are one of mean_tokens, cls_token, max_tokens and lasttoken",
               path.string(), modes[0], modes.size() > 1 ? " and others together" : "");
}

}  // namespace

Result<EmbedderOptions> EmbedderOptions::from_folder(const std::string& folder) {
  EmbedderOptions options;
  const fs::path root(folder);
  CAMEO_ASSIGN(const Json modules, read_json(root / "modules.json"));
  fs::path pooling = root / "1_Pooling";
  if (!modules.is_null()) {
    if (!modules.is_array()) return error(ErrorCode::kInvalidModel, "'{}' is not a list of modules", (root / "modules.json").string());
    options.normalize = false;
    for (const Json& module : modules) {
      const bool sound = module.is_object() && module.contains("type") && module["type"].is_string();
      if (!sound) return error(ErrorCode::kInvalidModel, "'{}' has a module without a type", (root / "modules.json").string());
      const auto type = module["type"].get<std::string>();
      const std::string kind = type.substr(type.rfind('.') + 1);
      if (kind == "Normalize")
        options.normalize = true;
      else if (kind == "Pooling" && module.contains("path") && module["path"].is_string())
        pooling = root / fs::path(module["path"].get<std::string>()).filename();
      else if (kind != "Transformer" && kind != "Pooling")
        return error(ErrorCode::kUnsupported, "'{}' has a module {}; known are Transformer, Pooling and Normalize",
                     (root / "modules.json").string(), type);
    }
  }
  CAMEO_ASSIGN(options.pooling, read_pooling(pooling / "config.json"));
  CAMEO_ASSIGN(options.max_length, read_length(root / "sentence_bert_config.json", "max_seq_length"));
  return options;
}

}  // namespace cameo
