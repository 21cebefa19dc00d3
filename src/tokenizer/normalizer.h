// The first stage: text to normalized text.
#pragma once

#include <memory>
#include <string>

#include "tokenizer/aligned_text.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/limits.h"

namespace cameo::tokenizer {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Changes the text, which is and stays valid UTF-8. An error if it would pass the limits.
  virtual Status normalize(AlignedText& text, Limits& limits) const = 0;
};

// Known types: BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence,
// Strip, StripAccents.
Result<std::unique_ptr<Normalizer>> parse_normalizer(const Json& json, std::string where, int depth = 0);

// The length of the normalized text, if it is within the limits.
Status check_normalized_size(size_t bytes, const Limits& limits);

// bert_normalizer.cc
Result<std::unique_ptr<Normalizer>> parse_bert_normalizer(const Fields& fields);
// precompiled.cc
Result<std::unique_ptr<Normalizer>> parse_precompiled(const Fields& fields);

// normalization.cc
enum class NormalizationForm { kNfc, kNfd, kNfkc, kNfkd };
// Code points that are newer than the data of Hugging Face's crate stand as they are.
void normalize(AlignedText& text, NormalizationForm form);
void lowercase(AlignedText& text);

}  // namespace cameo::tokenizer
