#include "huggingface/config.h"

#include <cmath>

#include "base/file.h"

namespace cameo::huggingface {

Result<Json> read_json(const std::string& path) {
  CAMEO_ASSIGN(const MappedFile file, map_file(path));
  const auto* text = reinterpret_cast<const char*>(file.bytes.data());
  Json json = Json::parse(text, text + file.bytes.size(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return error(ErrorCode::kInvalidModel, "'{}' is not valid JSON", path);
  return json;
}

const Json* Config::find(const char* key) const {
  const auto it = json_.is_object() ? json_.find(key) : json_.end();
  return it == json_.end() || it->is_null() ? nullptr : &*it;
}

void Config::fail(ErrorCode code, const std::string& message) {
  if (!problem_) problem_ = Error(code, message).in(where_);
}

void Config::adopt(const Config& part) {
  if (!problem_) problem_ = part.problem_;
}

int64_t Config::integer(const char* key, std::optional<int64_t> otherwise, int64_t least, int64_t most) {
  const Json* value = find(key);
  if (value == nullptr) {
    if (!otherwise) fail(ErrorCode::kInvalidModel, fmt::format("'{}' is missing", key));
    return otherwise.value_or(least);
  }
  const bool fits = value->is_number_integer() && (!value->is_number_unsigned() || value->get<uint64_t>() <= static_cast<uint64_t>(most)) &&
                    value->get<int64_t>() >= least && value->get<int64_t>() <= most;
  if (fits) return value->get<int64_t>();
  fail(ErrorCode::kInvalidModel, fmt::format("'{}' must be an integer from {} to {}", key, least, most));
  return least;
}

double Config::number(const char* key, std::optional<double> otherwise) {
  const Json* value = find(key);
  if (value != nullptr && value->is_number() && std::isfinite(value->get<double>())) return value->get<double>();
  if (value != nullptr || !otherwise) fail(ErrorCode::kInvalidModel, fmt::format("'{}' must be a number", key));
  return otherwise.value_or(1);
}

bool Config::flag(const char* key, bool otherwise) {
  const Json* value = find(key);
  if (value != nullptr && !value->is_boolean()) fail(ErrorCode::kInvalidModel, fmt::format("'{}' must be true or false", key));
  return value != nullptr && value->is_boolean() ? value->get<bool>() : otherwise;
}

std::string Config::text(const char* key, const std::string& otherwise) {
  const Json* value = find(key);
  if (value != nullptr && !value->is_string()) fail(ErrorCode::kInvalidModel, fmt::format("'{}' must be a text", key));
  return value != nullptr && value->is_string() ? value->get<std::string>() : otherwise;
}

std::optional<Config> Config::object(const char* key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) fail(ErrorCode::kInvalidModel, fmt::format("'{}' must be an object", key));
  return Config(*value, fmt::format("{}: {}", where_, key));
}

}  // namespace cameo::huggingface
