// Reading JSON objects with errors that say where and what.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace cameo::tokenizer {

using Json = nlohmann::json;

constexpr int kMaxStageDepth = 32;  // of Sequence within Sequence

// The fields of a JSON object; `where` is its place for error messages ("pre_tokenizer.pretokenizers[1]").
class Fields {
 public:
  // An error if the value is not an object. The value must outlive the Fields.
  static Result<Fields> of(const Json& value, std::string where);

  const std::string& where() const { return where_; }
  // Present and not null.
  bool has(std::string_view key) const;

  // The field `type`.
  Result<std::string> type() const { return string("type"); }
  // A required field of a kind; the message names the kind it has.
  Result<std::string> string(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  Result<uint32_t> uint32(std::string_view key) const;
  // A string of one code point.
  Result<std::string> character(std::string_view key) const;
  Result<const Json*> array(std::string_view key) const;
  Result<const Json*> object(std::string_view key) const;
  // A field that may be missing or null.
  Result<std::string> string_or(std::string_view key, std::string otherwise) const;
  Result<bool> boolean_or(std::string_view key, bool otherwise) const;
  Result<uint32_t> uint32_or(std::string_view key, uint32_t otherwise) const;

  // "model.vocab"
  std::string path(std::string_view key) const { return where_.empty() ? std::string(key) : fmt::format("{}.{}", where_, key); }
  const Json* find(std::string_view key) const;

 private:
  Fields(const Json& value, std::string where) : value_(&value), where_(std::move(where)) {}
  Error wrong_kind(std::string_view key, const Json* value, std::string_view wanted) const;

  const Json* value_;
  std::string where_;
};

// "pre_tokenizer.type is 'Bert', which is not supported; known are: ByteLevel, …"
Error unsupported_type(const Fields& fields, std::string_view type, std::string_view known);

Error invalid(const std::string& where, std::string_view what);

}  // namespace cameo::tokenizer
