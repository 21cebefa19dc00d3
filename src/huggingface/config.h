// config.json of a model.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/error.h"

namespace cameo::huggingface {

using Json = nlohmann::json;

// A JSON file. Errors: kIo, kInvalidModel.
Result<Json> read_json(const std::string& path);

// Reads fields; the first thing that is wrong is kept, and what is read after it does not matter: status() tells.
class Config {
 public:
  Config(Json json, std::string where) : json_(std::move(json)), where_(std::move(where)) {}

  // An integer in [least, most]. Without a default it must be there.
  int64_t integer(const char* key, std::optional<int64_t> otherwise = {}, int64_t least = 1, int64_t most = int64_t{1} << 24);
  double number(const char* key, std::optional<double> otherwise = {});
  bool flag(const char* key, bool otherwise);
  std::string text(const char* key, const std::string& otherwise);
  // The object in a field; nothing when it is missing or null.
  std::optional<Config> object(const char* key);

  // Keeps an error for status(), unless there is one.
  void fail(ErrorCode code, const std::string& message);
  const std::optional<Error>& problem() const { return problem_; }
  Status status() const { return problem_ ? Status(*problem_) : Status(); }
  // The problem of a part becomes one of the whole.
  void adopt(const Config& part);

 private:
  const Json* find(const char* key) const;

  Json json_;
  std::string where_;
  std::optional<Error> problem_;
};

}  // namespace cameo::huggingface
