// The last stage: special tokens around the text.
#pragma once

#include <memory>
#include <string>

#include "tokenizer/json_fields.h"
#include "tokenizer/tokenizer.h"

namespace cameo::tokenizer {

class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  virtual Status process(Encoding& encoding, bool add_special_tokens) const = 0;
  // Whether it may change the number of tokens; at most one such stage is supported.
  virtual bool adds_tokens() const = 0;
};

// Known types: ByteLevel, Sequence, TemplateProcessing.
Result<std::unique_ptr<PostProcessor>> parse_post_processor(const Json& json, std::string where, int depth = 0);

}  // namespace cameo::tokenizer
