// The last stage: special tokens around the text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cameo/tokenizer.h"
#include "tokenizer/json_fields.h"

namespace cameo::tokenizer {

class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  // Changes the list of encodings, which joined are the result; at first it is the text, or the two texts of a pair.
  virtual Status process(std::vector<Encoding>& parts, const EncodeOptions& options) const = 0;
  // The number of tokens that it adds to one text or to a pair.
  virtual size_t added_tokens(bool pair) const = 0;
  // Whether it looks at the text of tokens to change offsets.
  virtual bool trims_offsets() const { return false; }
};

// Known types: BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing.
Result<std::unique_ptr<PostProcessor>> parse_post_processor(const Json& json, std::string where, int depth = 0);

// template_processing.cc
Result<std::unique_ptr<PostProcessor>> parse_template_processing(const Fields& fields);

// A token that stands for no text.
struct SpecialToken {
  uint32_t id = 0;
  std::string text;
};
void append_special(Encoding& encoding, const SpecialToken& token, uint32_t type_id, const EncodeOptions& options);

}  // namespace cameo::tokenizer
