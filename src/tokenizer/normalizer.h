// The first stage: text to normalized text.
#pragma once

#include <memory>
#include <string>

#include "tokenizer/json_fields.h"
#include "tokenizer/limits.h"

namespace cameo::tokenizer {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Changes the text, which is and stays valid UTF-8. An error if it would pass the limits.
  virtual Status normalize(std::string& text, Limits& limits) const = 0;
};

// Known types: NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace, Sequence.
Result<std::unique_ptr<Normalizer>> parse_normalizer(const Json& json, std::string where, int depth = 0);

}  // namespace cameo::tokenizer
