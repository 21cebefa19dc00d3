#include "tokenizer/settings.h"

namespace cameo::tokenizer {
namespace {

Result<Side> parse_side(const Fields& fields, std::string_view key) {
  CAMEO_ASSIGN(const std::string name, fields.string_or(key, "Right"));
  if (name == "Left") return Side::kLeft;
  if (name == "Right") return Side::kRight;
  return invalid(fields.path(key), fmt::format("is '{}'; it must be Left or Right", name.substr(0, 100)));
}

}  // namespace

Result<std::optional<Truncation>> parse_truncation(const Fields& file) {
  if (!file.has("truncation")) return std::optional<Truncation>();
  CAMEO_ASSIGN(const Fields fields, Fields::of(*file.find("truncation"), "truncation"));
  Truncation truncation;
  CAMEO_ASSIGN(truncation.max_length, fields.uint32("max_length"));
  CAMEO_ASSIGN(truncation.stride, fields.uint32("stride"));
  CAMEO_ASSIGN(truncation.side, parse_side(fields, "direction"));
  CAMEO_ASSIGN(const std::string strategy, fields.string("strategy"));
  if (strategy == "LongestFirst") {
    truncation.strategy = Truncation::Strategy::kLongestFirst;
  } else if (strategy == "OnlyFirst") {
    truncation.strategy = Truncation::Strategy::kOnlyFirst;
  } else if (strategy == "OnlySecond") {
    truncation.strategy = Truncation::Strategy::kOnlySecond;
  } else {
    return invalid(fields.path("strategy"),
                   fmt::format("is '{}'; it must be LongestFirst, OnlyFirst or OnlySecond", strategy.substr(0, 100)));
  }
  return std::optional(truncation);
}

Result<std::optional<Padding>> parse_padding(const Fields& file) {
  if (!file.has("padding")) return std::optional<Padding>();
  CAMEO_ASSIGN(const Fields fields, Fields::of(*file.find("padding"), "padding"));
  Padding padding;
  const Json* strategy = fields.find("strategy");
  if (strategy != nullptr && strategy->is_object()) {
    CAMEO_ASSIGN(const Fields fixed, Fields::of(*strategy, fields.path("strategy")));
    CAMEO_ASSIGN(padding.length, fixed.uint32("Fixed"));
  } else {
    CAMEO_ASSIGN(const std::string name, fields.string("strategy"));
    if (name != "BatchLongest") {
      return invalid(fields.path("strategy"),
                     fmt::format(R"(is '{}'; it must be "BatchLongest" or {{"Fixed": tokens}})", name.substr(0, 100)));
    }
  }
  CAMEO_ASSIGN(padding.multiple_of, fields.uint32_or("pad_to_multiple_of", 0));
  CAMEO_ASSIGN(padding.side, parse_side(fields, "direction"));
  CAMEO_ASSIGN(padding.id, fields.uint32("pad_id"));
  CAMEO_ASSIGN(padding.type_id, fields.uint32("pad_type_id"));
  CAMEO_ASSIGN(padding.token, fields.string("pad_token"));
  return std::optional(std::move(padding));
}

}  // namespace cameo::tokenizer
