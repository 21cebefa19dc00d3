#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace cameo::tokenizer {
namespace {

constexpr size_t kMaxContent = 1024;  // bounds the time of a search

size_t strip_left_from(std::string_view text, size_t at) {
  while (at > 0) {
    const CodePoint c = decode_before(text, at);
    if (!whitespace().contains(c.value)) break;
    at -= c.bytes;
  }
  return at;
}

size_t strip_right_from(std::string_view text, size_t at) {
  while (at < text.size()) {
    const CodePoint c = decode_at(text, at);
    if (!whitespace().contains(c.value)) break;
    at += c.bytes;
  }
  return at;
}

Result<AddedToken> parse_token(const Json& json, std::string where) {
  CAMEO_ASSIGN(const Fields fields, Fields::of(json, std::move(where)));
  AddedToken token;
  CAMEO_ASSIGN(token.id, fields.uint32("id"));
  CAMEO_ASSIGN(token.content, fields.string("content"));
  CAMEO_ASSIGN(token.single_word, fields.boolean("single_word"));
  CAMEO_ASSIGN(token.left_strip, fields.boolean("lstrip"));
  CAMEO_ASSIGN(token.right_strip, fields.boolean("rstrip"));
  CAMEO_ASSIGN(token.normalized, fields.boolean("normalized"));
  CAMEO_ASSIGN(token.special, fields.boolean("special"));
  return token;
}

}  // namespace

bool AddedTokens::Matcher::add(std::string_view text, uint32_t value) {
  uint32_t node = 0;
  for (const char c : text) {
    const uint64_t edge = uint64_t{node} << 8 | static_cast<unsigned char>(c);
    const auto [it, added] = edges_.try_emplace(edge, static_cast<uint32_t>(nodes_.size()));
    if (added) nodes_.push_back(kNone);
    node = it->second;
  }
  if (nodes_[node] != kNone) return false;
  nodes_[node] = value;
  first_[static_cast<unsigned char>(text[0])] = true;
  return true;
}

std::optional<std::pair<size_t, uint32_t>> AddedTokens::Matcher::match_at(std::string_view text, size_t at) const {
  std::optional<std::pair<size_t, uint32_t>> longest;
  for (uint32_t node = 0; at < text.size(); ++at) {
    const auto it = edges_.find(uint64_t{node} << 8 | static_cast<unsigned char>(text[at]));
    if (it == edges_.end()) break;
    node = it->second;
    if (nodes_[node] != kNone) longest = {at + 1, nodes_[node]};
  }
  return longest;
}

Result<AddedTokens> AddedTokens::parse(const Json* json, const Vocabulary& vocabulary, const Normalizer* normalizer,
                                       std::vector<std::string>& warnings) {
  AddedTokens added;
  if (json == nullptr) return added;
  if (!json->is_array()) return invalid("added_tokens", "must be an array");
  auto next_id = static_cast<uint32_t>(vocabulary.size());
  for (size_t i = 0; i < json->size(); ++i) {
    const std::string where = fmt::format("added_tokens[{}]", i);
    CAMEO_ASSIGN(AddedToken token, parse_token((*json)[i], where));
    if (token.content.empty()) continue;
    if (token.content.size() > kMaxContent) {
      return error(ErrorCode::kUnsupported, "{}.content has {} bytes; at most {} are supported", where, token.content.size(), kMaxContent);
    }
    const uint32_t stated = token.id;
    const auto known = added.by_content_.find(token.content);
    if (known != added.by_content_.end()) {
      token.id = added.tokens_[known->second].id;
    } else {
      const auto id = vocabulary.id(token.content);
      token.id = id ? *id : next_id++;
    }
    if (token.id != stated) {
      warnings.push_back(
          fmt::format("{}, '{}', has the id {}, but the vocabulary makes it {}", where, token.content.substr(0, 100), stated, token.id));
    }
    token.normalized_content = token.content;
    if (token.normalized && normalizer != nullptr) {
      Limits limits = Limits::for_text(token.content.size());
      AlignedText content(token.content, 0, false);
      auto status = normalizer->normalize(content, limits);
      if (!status) return std::move(status).error().in(where + ".content");
      token.normalized_content = content.text();
      if (token.normalized_content.empty()) return invalid(where + ".content", "is normalized to nothing");
      if (token.normalized_content.size() > kMaxContent) {
        return error(ErrorCode::kUnsupported, "{}.content is normalized to {} bytes; at most {} are supported", where,
                     token.normalized_content.size(), kMaxContent);
      }
    }
    if (token.special) added.special_.insert(token.content);
    const auto same_id = added.by_id_.find(token.id);
    if (same_id != added.by_id_.end()) {
      added.by_content_[token.content] = same_id->second;
      added.tokens_[same_id->second] = std::move(token);  // given twice: the later one counts
      continue;
    }
    const size_t index = added.tokens_.size();
    added.by_id_[token.id] = index;
    added.by_content_[token.content] = index;
    added.tokens_.push_back(std::move(token));
  }
  for (size_t i = 0; i < added.tokens_.size(); ++i) {
    const AddedToken& token = added.tokens_[i];
    Matcher& matcher = token.normalized ? added.normalized_ : added.raw_;
    if (!matcher.add(token.normalized_content, static_cast<uint32_t>(i))) {
      return error(ErrorCode::kInvalidModel, "added_tokens has two tokens that are the same once normalized: '{}'",
                   token.normalized_content);
    }
  }
  return added;
}

void AddedTokens::find_in(const Piece& piece, const Matcher& matcher, std::vector<Piece>& out) const {
  const std::string_view text = piece.text;
  const auto emit = [&](size_t begin, size_t end, std::optional<uint32_t> id) {
    if (end <= begin) return;
    out.push_back(piece.part(begin, end));
    out.back().added_token = id;
  };
  size_t done = 0;  // the end of the last piece
  for (size_t at = 0; !matcher.empty() && at < text.size();) {
    const auto match = matcher.may_start(text[at]) ? matcher.match_at(text, at) : std::nullopt;
    if (!match) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[match->second];
    size_t begin = at;
    size_t end = match->first;
    at = end;
    if (token.single_word) {
      const bool word_before = begin > 0 && regex_word().contains(decode_before(text, begin).value);
      const bool word_after = end < text.size() && regex_word().contains(decode_at(text, end).value);
      if (word_before || word_after) continue;
    }
    if (token.left_strip) begin = std::max(strip_left_from(text, begin), done);
    if (token.right_strip) end = strip_right_from(text, end);
    if (done < begin) emit(done, begin, std::nullopt);
    emit(begin, end, token.id);
    done = end;
  }
  emit(done, text.size(), std::nullopt);
}

Status AddedTokens::extract(std::string_view text, const Normalizer* normalizer, PieceList& list) const {
  std::vector<Piece> raw;
  find_in({text}, raw_, raw);
  size_t bytes = 0;
  for (const Piece& piece : raw) {
    if (piece.added_token) {
      list.pieces.push_back(piece);
      continue;
    }
    if (normalizer == nullptr) {
      find_in(piece, normalized_, list.pieces);
      continue;
    }
    AlignedText normalized(piece.text, piece.start, list.tracked);
    CAMEO_TRY(normalizer->normalize(normalized, list.limits));
    bytes += normalized.text().size();
    CAMEO_TRY(check_normalized_size(bytes, list.limits));
    list.storage.push_back({normalized.take_text(), normalized.take_origins()});
    const PieceList::Stored& stored = list.storage.back();
    find_in({stored.text, stored.origins.empty() ? nullptr : stored.origins.data(), piece.start, {}}, normalized_, list.pieces);
  }
  return {};
}

const AddedToken* AddedTokens::find(uint32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto it = by_content_.find(std::string(content));
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

bool AddedTokens::is_special(std::string_view token) const { return special_.contains(std::string(token)); }

}  // namespace cameo::tokenizer
