#include "tokenizer/json_fields.h"

#include "tokenizer/unicode.h"

namespace cameo::tokenizer {

Result<Fields> Fields::of(const Json& value, std::string where) {
  if (!value.is_object()) return error(ErrorCode::kInvalidModel, "{} is {}; it must be an object", where, value.type_name());
  return Fields(value, std::move(where));
}

const Json* Fields::find(std::string_view key) const {
  const auto it = value_->find(key);
  return it == value_->end() ? nullptr : &*it;
}

bool Fields::has(std::string_view key) const {
  const Json* value = find(key);
  return value != nullptr && !value->is_null();
}

Error Fields::wrong_kind(std::string_view key, const Json* value, std::string_view wanted) const {
  if (value == nullptr) return error(ErrorCode::kInvalidModel, "{} is missing; it must be {}", path(key), wanted);
  std::string shown = value->is_structured() ? value->type_name() : value->dump(-1, ' ', false, Json::error_handler_t::replace);
  if (shown.size() > 100) shown = value->type_name();
  return error(ErrorCode::kInvalidModel, "{} is {}; it must be {}", path(key), shown, wanted);
}

Result<std::string> Fields::string(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_string()) return wrong_kind(key, value, "a string");
  return value->get<std::string>();
}

Result<bool> Fields::boolean(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_boolean()) return wrong_kind(key, value, "true or false");
  return value->get<bool>();
}

Result<uint32_t> Fields::uint32(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_number_unsigned() || value->get<uint64_t>() > UINT32_MAX) {
    return wrong_kind(key, value, "an integer from 0 to 4294967295");
  }
  return static_cast<uint32_t>(value->get<uint64_t>());
}

Result<std::string> Fields::character(std::string_view key) const {
  CAMEO_ASSIGN(std::string text, string(key));
  if (text.empty() || decode_at(text, 0).bytes != text.size()) return invalid(path(key), "must be one character");
  return text;
}

Result<const Json*> Fields::array(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_array()) return wrong_kind(key, value, "an array");
  return value;
}

Result<const Json*> Fields::object(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_object()) return wrong_kind(key, value, "an object");
  return value;
}

Result<std::string> Fields::string_or(std::string_view key, std::string otherwise) const {
  if (!has(key)) return otherwise;
  return string(key);
}

Result<bool> Fields::boolean_or(std::string_view key, bool otherwise) const {
  if (!has(key)) return otherwise;
  return boolean(key);
}

Result<uint32_t> Fields::uint32_or(std::string_view key, uint32_t otherwise) const {
  if (!has(key)) return otherwise;
  return uint32(key);
}

Error unsupported_type(const Fields& fields, std::string_view type, std::string_view known) {
  return error(ErrorCode::kUnsupported, "{} is '{}', which is not supported; known are: {}", fields.path("type"), type.substr(0, 100),
               known);
}

Error invalid(const std::string& where, std::string_view what) { return error(ErrorCode::kInvalidModel, "{} {}", where, what); }

}  // namespace cameo::tokenizer
