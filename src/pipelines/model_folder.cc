#include "pipelines/model_folder.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "gguf/model.h"
#include "gguf/tokenizer.h"
#include "plan/layout.h"

namespace cameo {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kMostBytes = size_t{64} << 20;  // of a settings file

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Result<std::string> read_text(const fs::path& path) {
  CAMEO_ASSIGN(const MappedFile file, map_file(path.string()));
  if (file.bytes.size() > kMostBytes)
    return error(ErrorCode::kInvalidModel, "'{}' has {} bytes; at most {} are sensible", path.string(), file.bytes.size(), kMostBytes);
  return std::string(reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size());
}

// A JSON file that is an object; its fields are asked for by kind.
class Settings {
 public:
  // Empty where there is no such file.
  static Result<Settings> read(const fs::path& path) {
    Settings settings;
    settings.path_ = path.string();
    if (!is_there(path)) return settings;
    CAMEO_ASSIGN(const std::string text, read_text(path));
    // Objects nested without end would use up the stack.
    int depth = 0;
    bool deep = false;
    const auto watch = [&](int level, Json::parse_event_t, Json&) {
      depth = level;
      deep |= level > 100;
      return !deep;
    };
    settings.json_ = Json::parse(text, watch, /*allow_exceptions=*/false);
    if (deep) return error(ErrorCode::kInvalidModel, "'{}' is nested deeper than 100 levels", settings.path_);
    if (settings.json_.is_discarded()) return error(ErrorCode::kInvalidModel, "'{}' is not valid JSON", settings.path_);
    if (!settings.json_.is_object()) return error(ErrorCode::kInvalidModel, "'{}' is not a JSON object", settings.path_);
    return settings;
  }

  const Json* find(const char* key) const {
    const auto it = json_.find(key);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  Error wrong(const char* key, std::string_view wanted) const {
    return error(ErrorCode::kInvalidModel, "'{}': field {} is {}, not {}", path_, key, find(key)->type_name(), wanted);
  }
  Status number(const char* key, double& value) const {
    const Json* field = find(key);
    if (!field) return {};
    if (!field->is_number()) return wrong(key, "a number");
    value = field->get<double>();
    return {};
  }
  Status count(const char* key, size_t& value) const {
    const Json* field = find(key);
    if (!field) return {};
    if (!field->is_number_unsigned()) return wrong(key, "a number of 0 or more");
    value = field->get<size_t>();
    return {};
  }
  // A token id, or several.
  Status ids(const char* key, std::vector<uint32_t>& value) const {
    const Json* field = find(key);
    if (!field) return {};
    const auto add = [&](const Json& id) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() > UINT32_MAX) return false;
      value.push_back(id.get<uint32_t>());
      return true;
    };
    bool good = true;
    if (field->is_array())
      for (const Json& id : *field) good = good && add(id);
    else
      good = add(*field);
    return good ? Status() : wrong(key, "a token id or a list of them");
  }

 private:
  std::string path_;
  Json json_ = Json::object();
};

Status read_defaults(const Settings& file, GenerateOptions& defaults) {
  const Json* sample = file.find("do_sample");
  if (sample && !sample->is_boolean()) return file.wrong("do_sample", "true or false");
  if (sample && sample->get<bool>()) {
    defaults.temperature = 1;
    defaults.top_k = 50;  // Hugging Face's default
    CAMEO_TRY(file.number("temperature", defaults.temperature));
    CAMEO_TRY(file.count("top_k", defaults.top_k));
    CAMEO_TRY(file.number("top_p", defaults.top_p));
    CAMEO_TRY(file.number("min_p", defaults.min_p));
  } else {
    CAMEO_TRY(file.count("num_beams", defaults.num_beams));
    CAMEO_TRY(file.number("length_penalty", defaults.length_penalty));
  }
  CAMEO_TRY(file.number("repetition_penalty", defaults.repetition_penalty));
  return file.count("max_new_tokens", defaults.max_new_tokens);
}

// A template, or a list of named ones of which "default" counts.
Status read_chat_template(const Settings& file, const std::string& path, ModelFolder& folder) {
  const Json* field = file.find("chat_template");
  if (!field || !folder.chat_template.empty()) return {};
  if (field->is_array()) {
    for (const Json& named : *field)
      if (named.is_object() && named.value("name", Json()) == "default" && named.contains("template")) field = &named["template"];
    if (field->is_array()) return {};
  }
  if (!field->is_string()) return file.wrong("chat_template", "a string");
  folder.chat_template = field->get<std::string>();
  folder.chat_template_file = path;
  return {};
}

// What a GGUF file says of itself, where no file beside it does.
Status read_gguf(const std::string& path, ModelFolder& folder) {
  CAMEO_ASSIGN(const gguf::File file, gguf::File::open(path));
  if (!is_there(folder.tokenizer)) {
    auto json = gguf::tokenizer_json(file);
    if (json.ok())
      folder.tokenizer_json = std::move(json).value();
    else
      folder.no_tokenizer = std::move(json).error().in(path);
  }
  const auto end = gguf::meta_count(file, "tokenizer.ggml.eos_token_id");
  if (folder.end_tokens.empty() && end && *end <= UINT32_MAX) folder.end_tokens.push_back(static_cast<uint32_t>(*end));
  for (const char* name : {"bos", "eos"})
    if (const auto text = gguf::meta_token(file, fmt::format("tokenizer.ggml.{}_token_id", name)))
      folder.special_tokens.emplace(fmt::format("{}_token", name), *text);
  if (folder.max_positions == 0)
    folder.max_positions =
        gguf::meta_count(file, gguf::meta_text(file, "general.architecture").value_or("") + ".context_length").value_or(0);
  if (const auto chat = gguf::meta_text(file, "tokenizer.chat_template"); chat && folder.chat_template.empty()) {
    folder.chat_template = *chat;
    folder.chat_template_file = path;
  }
  return {};
}

}  // namespace

Result<ModelFolder> read_model_folder(const std::string& given) {
  const fs::path path(given);
  std::error_code ignored;
  ModelFolder folder;
  folder.path = given;
  fs::path at = path;
  if (fs::is_directory(path, ignored)) {
    for (const char* name : {"model.plan", "model.onnx"}) {
      if (!is_there(path / name)) continue;
      folder.model = (path / name).string();
      break;
    }
    // The builder makes a graph of a folder as models are published.
    if (folder.model.empty() && is_there(path / "config.json") &&
        (is_there(path / "model.safetensors") || is_there(path / "model.safetensors.index.json")))
      folder.model = given;
    if (folder.model.empty()) folder.model = gguf::only_file(given);
  } else {
    if (!is_there(path)) return error(ErrorCode::kIo, "there is no file or folder '{}'", given);
    folder.model = given;
    at = path.parent_path();
  }
  folder.tokenizer = (at / "tokenizer.json").string();

  CAMEO_ASSIGN(const Settings config, Settings::read(at / "config.json"));
  CAMEO_ASSIGN(const Settings generation, Settings::read(at / "generation_config.json"));
  CAMEO_ASSIGN(const Settings tokenizer, Settings::read(at / "tokenizer_config.json"));
  CAMEO_TRY(generation.ids("eos_token_id", folder.end_tokens));
  if (folder.end_tokens.empty()) CAMEO_TRY(config.ids("eos_token_id", folder.end_tokens));
  CAMEO_TRY(config.count("n_positions", folder.max_positions));
  CAMEO_TRY(config.count("max_position_embeddings", folder.max_positions));
  // These count positions from the padding's number on.
  if (const Json* type = config.find("model_type"))
    for (const char* name : {"roberta", "xlm-roberta", "camembert", "mpnet"}) {
      size_t padding = 1;
      if (*type != name) continue;
      CAMEO_TRY(config.count("pad_token_id", padding));
      folder.max_positions -= std::min(folder.max_positions, std::min(padding, folder.max_positions) + 1);
    }
  CAMEO_TRY(read_defaults(generation, folder.defaults));

  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
    const Json* token = tokenizer.find(name);
    if (token && token->is_object() && token->contains("content")) token = &(*token)["content"];
    if (!token) continue;
    if (!token->is_string()) return tokenizer.wrong(name, "the text of a token");
    folder.special_tokens[name] = token->get<std::string>();
  }
  if (folder.end_tokens.empty() && folder.special_tokens.count("eos_token")) folder.end_token = folder.special_tokens["eos_token"];

  if (const fs::path own = at / "chat_template.jinja"; is_there(own)) {
    CAMEO_ASSIGN(folder.chat_template, read_text(own));
    folder.chat_template_file = own.string();
  }
  CAMEO_TRY(read_chat_template(tokenizer, (at / "tokenizer_config.json").string(), folder));
  CAMEO_TRY(read_chat_template(config, (at / "config.json").string(), folder));
  if (gguf::is_gguf_file(folder.model)) CAMEO_TRY(read_gguf(folder.model, folder));
  return folder;
}

Result<Tokenizer> load_tokenizer(const ModelFolder& folder, const std::string& given) {
  const std::string& file = given.empty() ? folder.tokenizer : given;
  if (given.empty() && folder.no_tokenizer) return *folder.no_tokenizer;
  if (given.empty() && !folder.tokenizer_json.empty()) return Tokenizer::from_json(folder.tokenizer_json);
  if (!is_there(file)) return error(ErrorCode::kIo, "there is no tokenizer '{}'; another one may be named (--tokenizer)", file);
  return Tokenizer::load(file);
}

Result<Plan> load_or_build(const ModelFolder& folder, const BuildOptions& options, Logger& logger, std::string* why_not_cached) {
  if (folder.model.empty())
    return error(ErrorCode::kIo, "folder '{}' has no model.plan, model.onnx, model.safetensors with config.json, or single GGUF file",
                 folder.path);
  std::error_code unknown;
  if (!fs::is_directory(folder.model, unknown)) {
    CAMEO_ASSIGN(const MappedFile file, map_file(folder.model));
    if (file.bytes.size() >= sizeof plan::kMagic && std::memcmp(file.bytes.data(), plan::kMagic, sizeof plan::kMagic) == 0)
      return Plan::load(folder.model);
  }
  Builder builder(logger);
  CAMEO_ASSIGN(Plan plan, builder.build(folder.model, options));
  for (const PassReport& report : builder.passes())
    if (why_not_cached && report.name == "add_kv_cache" && report.changes == 0 && !report.notes.empty())
      *why_not_cached = report.notes.back();
  return plan;
}

}  // namespace cameo
