// The second stage: normalized text to the pieces that the model tokenizes one by one.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/json_fields.h"
#include "tokenizer/limits.h"

namespace cameo::tokenizer {

// A part of the text: an added token that was found in it, or text that no stage is done with.
struct Piece {
  std::string_view text;
  std::optional<uint32_t> added_token;
};

// The text in pieces. The pieces' text lives in the caller's text or in `storage`.
struct PieceList {
  std::vector<Piece> pieces;
  std::deque<std::string> storage;
  Limits limits = {};

  // Keeps a string alive as long as the list.
  std::string_view keep(std::string text) { return storage.emplace_back(std::move(text)); }
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual Status pre_tokenize(PieceList& list) const = 0;
};

// Known types: ByteLevel, Digits, Punctuation, Sequence, Split, Whitespace, WhitespaceSplit.
Result<std::unique_ptr<PreTokenizer>> parse_pre_tokenizer(const Json& json, std::string where, int depth = 0);

}  // namespace cameo::tokenizer
