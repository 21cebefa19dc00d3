#include "tokenizer/vocabulary.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace cameo::tokenizer {

uint64_t hash_bytes(std::string_view bytes) {
  const auto mix = [](uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 32);
  };
  uint64_t h = bytes.size();
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + at, 8);
    h = mix(h, word);
  }
  uint64_t rest = 0;
  if (at < bytes.size()) std::memcpy(&rest, bytes.data() + at, bytes.size() - at);
  return mix(h, rest);
}

Result<Vocabulary> Vocabulary::parse(const Json& json, const std::string& where) {
  Vocabulary v;
  v.tokens_.reserve(json.size());
  uint32_t largest = 0;
  for (auto it = json.begin(); it != json.end(); ++it) {
    const std::string& name = it.key();
    if (!it->is_number_unsigned() || it->get<uint64_t>() > UINT32_MAX) {
      return error(ErrorCode::kInvalidModel, "{}['{}'] must be an id, an integer from 0 to 4294967295", where, name.substr(0, 100));
    }
    const auto id = static_cast<uint32_t>(it->get<uint64_t>());
    largest = std::max(largest, id);
    v.tokens_.push_back({v.blob_.size(), static_cast<uint32_t>(name.size()), id});
    v.blob_ += name;
  }
  if (v.tokens_.empty()) return v;
  const uint64_t limit = uint64_t{v.tokens_.size()} * 8 + 65536;
  if (largest >= limit) {
    return error(ErrorCode::kInvalidModel, "{} has {} tokens and the id {}; ids of so few tokens must be below {}", where, v.tokens_.size(),
                 largest, limit);
  }
  v.by_id_.assign(size_t{largest} + 1, kNone);
  CAMEO_TRY(v.index(where));
  return v;
}

Result<Vocabulary> Vocabulary::of(const std::vector<std::string_view>& names, const std::string& where) {
  Vocabulary v;
  v.tokens_.reserve(names.size());
  if (names.size() >= kNone) return error(ErrorCode::kInvalidModel, "{} has {} tokens, which is too many", where, names.size());
  for (const std::string_view name : names) {
    v.tokens_.push_back({v.blob_.size(), static_cast<uint32_t>(name.size()), static_cast<uint32_t>(v.tokens_.size())});
    v.blob_ += name;
  }
  v.by_id_.assign(names.size(), kNone);
  CAMEO_TRY(v.index(where));
  return v;
}

// Fills the tables for both ways.
Status Vocabulary::index(const std::string& where) {
  buckets_.assign(std::bit_ceil(tokens_.size() * 2), kNone);
  const size_t mask = buckets_.size() - 1;
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    const Token& token = tokens_[i];
    if (by_id_[token.id] != kNone) {
      return error(ErrorCode::kInvalidModel, "{} gives the id {} to both '{}' and '{}'", where, token.id, text(tokens_[by_id_[token.id]]),
                   text(token));
    }
    by_id_[token.id] = i;
    size_t at = hash_bytes(text(token)) & mask;
    while (buckets_[at] != kNone && text(tokens_[buckets_[at]]) != text(token)) at = (at + 1) & mask;
    buckets_[at] = i;
  }
  return {};
}

Status Vocabulary::check_token_sizes(const std::string& where) const {
  constexpr uint32_t kLongest = 4096;
  for (const Token& token : tokens_) {
    if (token.size > kLongest) {
      return error(ErrorCode::kUnsupported, "{} has a token of {} bytes; at most {} are supported", where, token.size, kLongest);
    }
  }
  return {};
}

std::optional<uint32_t> Vocabulary::id(std::string_view token) const {
  if (buckets_.empty()) return std::nullopt;
  const size_t mask = buckets_.size() - 1;
  for (size_t at = hash_bytes(token) & mask; buckets_[at] != kNone; at = (at + 1) & mask) {
    const Token& candidate = tokens_[buckets_[at]];
    if (text(candidate) == token) return candidate.id;
  }
  return std::nullopt;
}

std::optional<std::string_view> Vocabulary::token(uint32_t id) const {
  if (id >= by_id_.size() || by_id_[id] == kNone) return std::nullopt;
  return text(tokens_[by_id_[id]]);
}

}  // namespace cameo::tokenizer
