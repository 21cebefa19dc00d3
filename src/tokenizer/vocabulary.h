// Tokens and their ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/json_fields.h"

namespace cameo::tokenizer {

// A quick hash of a string, for tables in memory.
uint64_t hash_bytes(std::string_view bytes);

class Vocabulary {
 public:
  // Reads {"token": id, …}. Ids must differ and must not be spread over far more numbers than there are tokens.
  static Result<Vocabulary> parse(const Json& json, const std::string& where);
  // Tokens whose ids are their places. Of equal ones the last counts.
  static Result<Vocabulary> of(const std::vector<std::string_view>& names, const std::string& where);

  // An error if a token is so long that a search for the longest token could take too long.
  Status check_token_sizes(const std::string& where) const;
  // Calls visit(token, id) for every token that id() finds.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const uint32_t i : buckets_) {
      if (i != kNone) visit(text(tokens_[i]), tokens_[i].id);
    }
  }

  // Of all tokens together.
  size_t bytes() const { return blob_.size(); }
  size_t size() const { return tokens_.size(); }
  // One more than the largest id; 0 without tokens.
  uint32_t id_end() const { return static_cast<uint32_t>(by_id_.size()); }
  std::optional<uint32_t> id(std::string_view token) const;
  std::optional<std::string_view> token(uint32_t id) const;

 private:
  struct Token {
    size_t begin;
    uint32_t size;
    uint32_t id;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  Status index(const std::string& where);
  std::string_view text(const Token& token) const { return std::string_view(blob_).substr(token.begin, token.size); }

  std::string blob_;
  std::vector<Token> tokens_;
  std::vector<uint32_t> by_id_;    // index into tokens_, or kNone
  std::vector<uint32_t> buckets_;  // open addressing by the token's hash: index into tokens_, or kNone
};

}  // namespace cameo::tokenizer
