// Tokens that are found in the text before the model sees it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tokenizer/json_fields.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace cameo::tokenizer {

struct AddedToken {
  uint32_t id = 0;
  std::string content;
  std::string normalized_content;  // what is looked for and what decoding gives: the content, or its normalization
  bool single_word = false;        // only where no word character is beside it
  bool left_strip = false;         // takes the white space before it along
  bool right_strip = false;        // takes the white space after it along
  bool normalized = false;         // looked for in the normalized text
  bool special = false;            // left out by decode with skip_special_tokens
};

class AddedTokens {
 public:
  // Reads the list `added_tokens` (or none). As in Hugging Face's tokenizers a token has the id of the same token in the
  // model's vocabulary, or else the next free one: the ids in the file are not used. Where they differ, a line is added
  // to warnings.
  static Result<AddedTokens> parse(const Json* json, const Vocabulary& vocabulary, const Normalizer* normalizer,
                                   std::vector<std::string>& warnings);

  // The text in pieces, normalized, with the added tokens found. The list says whether origins are kept.
  Status extract(std::string_view text, const Normalizer* normalizer, PieceList& list) const;

  const AddedToken* find(uint32_t id) const;
  const AddedToken* find(std::string_view content) const;
  // Whether skip_special_tokens leaves out a token of this text.
  bool is_special(std::string_view token) const;
  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  // Finds the leftmost, and of those the longest, of a set of strings: a trie over bytes.
  class Matcher {
   public:
    bool empty() const { return nodes_.size() <= 1; }
    // False if the string was there already.
    bool add(std::string_view text, uint32_t value);
    // The longest string at `at`: its end and value.
    std::optional<std::pair<size_t, uint32_t>> match_at(std::string_view text, size_t at) const;
    bool may_start(char c) const { return first_[static_cast<unsigned char>(c)]; }

   private:
    static constexpr uint32_t kNone = UINT32_MAX;
    std::vector<uint32_t> nodes_ = {kNone};         // the value of each node
    std::unordered_map<uint64_t, uint32_t> edges_;  // node << 8 | byte
    bool first_[256] = {};
  };

  void find_in(const Piece& piece, const Matcher& matcher, std::vector<Piece>& out) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<uint32_t, size_t> by_id_;
  std::unordered_map<std::string, size_t> by_content_;
  std::unordered_set<std::string> special_;
  Matcher raw_, normalized_;
};

}  // namespace cameo::tokenizer
