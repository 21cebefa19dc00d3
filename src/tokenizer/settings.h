// Truncation and padding, as tokenizer.json has them.
#pragma once

#include <optional>

#include "cameo/tokenizer.h"
#include "tokenizer/json_fields.h"

namespace cameo::tokenizer {

Result<std::optional<Truncation>> parse_truncation(const Fields& file);
Result<std::optional<Padding>> parse_padding(const Fields& file);

}  // namespace cameo::tokenizer
