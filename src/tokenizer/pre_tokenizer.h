// The second stage: normalized text to the pieces that the model tokenizes one by one.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/aligned_text.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/limits.h"

namespace cameo::tokenizer {

// A part of the text: an added token that was found in it, or text that no stage is done with.
struct Piece {
  std::string_view text;
  const Origin* origins = nullptr;  // of each byte; null where the piece is a part of the original text
  uint32_t start = 0;               // its first byte there, if origins is null
  std::optional<uint32_t> added_token = {};

  Piece part(size_t begin, size_t end) const {
    return {text.substr(begin, end - begin), origins == nullptr ? nullptr : origins + begin, start + static_cast<uint32_t>(begin), {}};
  }
  // Where in the original text its bytes [begin, end), which are some, come from. Only where origins are tracked.
  Origin origin(size_t begin, size_t end) const { return origin_of(text, origins, start, begin, end); }
};

// The text in pieces. The pieces' text lives in the caller's text or in `storage`.
struct PieceList {
  struct Stored {
    std::string text;
    std::vector<Origin> origins;
  };

  std::vector<Piece> pieces;
  std::deque<Stored> storage;
  Limits limits = {};
  bool tracked = false;  // whether origins are kept
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual Status pre_tokenize(PieceList& list) const = 0;
  // Whether it must know where in the original text a piece starts.
  virtual bool needs_origins() const { return false; }
};

// Known types: BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, Punctuation, Sequence,
// Split, UnicodeScripts, Whitespace, WhitespaceSplit.
Result<std::unique_ptr<PreTokenizer>> parse_pre_tokenizer(const Json& json, std::string where, int depth = 0);

// metaspace.cc
Result<std::unique_ptr<PreTokenizer>> parse_metaspace(const Fields& fields);

}  // namespace cameo::tokenizer
