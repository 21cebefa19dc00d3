// Text to token ids and back, as a Hugging Face tokenizer.json says.
//
// The stages are those of the file: added tokens are found, the rest is normalized and split into pieces, the model
// turns pieces into ids, the post-processor adds special tokens; a decoder goes the other way. Results agree with the
// PyPI package `tokenizers`. A file that asks for a component that is not known is refused by name.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cameo/error.h"

namespace cameo {

struct EncodeOptions {
  bool add_special_tokens = true;  // those of the post-processor
};

// A text in tokens; the vectors have the same length.
struct Encoding {
  std::vector<uint32_t> ids;
  std::vector<uint32_t> type_ids;            // the segment of each token, from the post-processor's template
  std::vector<uint8_t> special_tokens_mask;  // 1 for tokens that the post-processor added
};

// Immutable, cheap to copy, and usable from many threads at once.
class Tokenizer {
 public:
  // Reads a tokenizer.json. Errors: kIo, kInvalidModel (with the field's path), kUnsupported (with the component).
  static Result<Tokenizer> load(const std::string& path);
  static Result<Tokenizer> from_json(std::string_view json);

  // Encodes UTF-8 text of at most 256 MiB. Errors: kInvalidInput with the byte's offset if it is not UTF-8.
  Result<Encoding> encode(std::string_view text, EncodeOptions options = {}) const;

  // The text of the ids; bytes that are not UTF-8 become U+FFFD. Errors: kInvalidInput for an id without a token.
  Result<std::string> decode(std::span<const uint32_t> ids, bool skip_special_tokens = true) const;

  // The number of tokens, added ones included. Ids may have gaps; id_end() is one more than the largest.
  size_t vocab_size() const;
  uint32_t id_end() const;
  std::optional<uint32_t> token_to_id(std::string_view token) const;
  std::optional<std::string> id_to_token(uint32_t id) const;
  // The ids of added tokens that are special, ascending.
  std::vector<uint32_t> special_ids() const;

  // What looked wrong in the file and was read as Hugging Face's tokenizers reads it.
  const std::vector<std::string>& warnings() const;

 private:
  class Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  std::shared_ptr<const Impl> impl_;
};

}  // namespace cameo
