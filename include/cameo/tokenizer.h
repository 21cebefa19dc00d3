// Text to token ids and back, as a Hugging Face tokenizer.json says.
//
// The stages are those of the file: added tokens are found, the rest is normalized and split into pieces, the model
// turns pieces into ids, the text is truncated, the post-processor adds special tokens, and batches are padded; a decoder
// goes the other way. Results agree with the PyPI package `tokenizers`. A file that asks for a component that is not known
// is refused by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cameo/error.h"
#include "cameo/export.h"

namespace cameo {

// What offsets count: nothing (they are left out), code points of the text, or bytes of its UTF-8.
enum class OffsetUnit { kNone, kCharacters, kBytes };

struct EncodeOptions {
  bool add_special_tokens = true;          // those of the post-processor
  OffsetUnit offsets = OffsetUnit::kNone;  // fills Encoding::offsets and Encoding::words
  bool tokens = false;                     // fills Encoding::tokens
  bool overflow = false;                   // fills Encoding::overflowing
};

// A text, or a pair of texts, in tokens. The vectors have one entry a token, or none where they were not asked for.
struct Encoding {
  // The part of its text that a token stands for: [begin, end).
  struct Offsets {
    size_t begin = 0;
    size_t end = 0;
    bool operator==(const Offsets&) const = default;
  };
  static constexpr uint32_t kNoWord = UINT32_MAX;

  std::vector<uint32_t> ids;
  std::vector<uint32_t> type_ids;            // the segment of each token: of a pair 0 and 1, or what the post-processor says
  std::vector<uint8_t> special_tokens_mask;  // 1 for tokens that the post-processor or padding added
  std::vector<uint8_t> attention_mask;       // 0 for padding
  std::vector<Offsets> offsets;              // in the token's own text of a pair; 0, 0 for tokens that were added
  std::vector<uint32_t> words;               // the number of the pre-tokenizer's piece in its text, or kNoWord
  std::vector<std::string> tokens;           // the text of each token; of an unknown one as the model gives it
  std::vector<Encoding> overflowing;         // what truncation took off, in parts of the same length
};

// Which end of the text is cut off or filled.
enum class Side { kLeft, kRight };

struct Truncation {
  // Which text of a pair is cut: the longer one until both are as long, or always the same.
  enum class Strategy { kLongestFirst, kOnlyFirst, kOnlySecond };

  size_t max_length = 512;  // tokens, special ones included
  Strategy strategy = Strategy::kLongestFirst;
  size_t stride = 0;  // tokens that overflowing parts share with the part before
  Side side = Side::kRight;
};

struct Padding {
  std::optional<size_t> length;  // tokens; unset: as many as the longest encoding of the batch has
  size_t multiple_of = 0;        // the length is rounded up to a multiple of this; 0: it is not
  Side side = Side::kRight;
  uint32_t id = 0;
  uint32_t type_id = 0;
  std::string token = "[PAD]";
};

// A text to encode, or two.
struct TextInput {
  TextInput(std::string_view first) : text(first) {}
  TextInput(const std::string& first) : text(first) {}
  TextInput(const char* first) : text(first) {}
  TextInput(std::string_view first, std::string_view second) : text(first), pair(second) {}

  std::string_view text;
  std::optional<std::string_view> pair;
};

// Cheap to copy; a copy shares all but truncation and padding. The const functions may be called from many threads at once.
class CAMEO_API Tokenizer {
 public:
  // Reads a tokenizer.json of at most 1 GiB, its truncation and padding included. Errors: kIo, kInvalidModel (with the
  // field's path), kUnsupported (with the component).
  static Result<Tokenizer> load(const std::string& path);
  static Result<Tokenizer> from_json(std::string_view json);

  // Encodes UTF-8 text of at most 256 MiB. Errors: kInvalidInput with the byte's offset if it is not UTF-8, or where the
  // text cannot be truncated as asked; kInvalidModel for an unknown word in a model without an unknown token.
  Result<Encoding> encode(std::string_view text, EncodeOptions options = {}) const;
  Result<Encoding> encode_pair(std::string_view first, std::string_view second, EncodeOptions options = {}) const;

  // Encodes many texts, on up to `threads` threads (0: one for each processor that the process may use), and pads them
  // together. An error says which text it is about.
  Result<std::vector<Encoding>> encode_batch(std::span<const TextInput> texts, EncodeOptions options = {}, int threads = 0) const;

  // The text of the ids; bytes that are not UTF-8 become U+FFFD. Errors: kInvalidInput for an id without a token.
  Result<std::string> decode(std::span<const uint32_t> ids, bool skip_special_tokens = true) const;

  // The number of tokens, added ones included. Ids may have gaps; id_end() is one more than the largest.
  size_t vocab_size() const;
  uint32_t id_end() const;
  std::optional<uint32_t> token_to_id(std::string_view token) const;
  std::optional<std::string> id_to_token(uint32_t id) const;
  // The ids of added tokens that are special, ascending.
  std::vector<uint32_t> special_ids() const;

  // Unset: texts are not truncated or padded. Errors: kInvalidArgument where max_length leaves no room for the special
  // tokens, or the stride does not leave any for the text.
  Status set_truncation(std::optional<Truncation> truncation);
  Status set_padding(std::optional<Padding> padding);
  const std::optional<Truncation>& truncation() const { return truncation_; }
  const std::optional<Padding>& padding() const { return padding_; }

  // What looked wrong in the file and was read as Hugging Face's tokenizers reads it.
  const std::vector<std::string>& warnings() const;

 private:
  class Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  std::shared_ptr<const Impl> impl_;
  std::optional<Truncation> truncation_;
  std::optional<Padding> padding_;
};

}  // namespace cameo
