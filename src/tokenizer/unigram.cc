// SentencePiece's unigram model: of all ways to cover a piece with tokens, the one with the largest sum of scores (Viterbi).
// A character that no token covers alone costs 10 more than the worst token; unknown characters side by side are one token,
// or the tokens of their bytes.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "tokenizer/byte_trie.h"
#include "tokenizer/model.h"
#include "tokenizer/unicode.h"
#include "tokenizer/word_cache.h"

namespace cameo::tokenizer {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr double kUnknownPenalty = 10.0;
constexpr size_t kMaxPiece = size_t{1} << 26;  // 16 bytes of memory for each

// The best way to the end of a part of the piece.
struct Best {
  double score = 0;
  uint32_t start = kNone;  // of its last token; kNone where there is no way
  uint32_t id = 0;
};

struct UnigramState : ModelState {
  WordCache cache;
  std::vector<Best> best;
};

class Unigram : public Model {
 public:
  static Result<std::unique_ptr<Model>> parse(const Fields& fields);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::unique_ptr<ModelState> make_state() const override { return std::make_unique<UnigramState>(); }
  std::optional<uint32_t> verbatim_id() const override { return unknown_ == kNone ? std::nullopt : std::optional(unknown_); }

  Status tokenize(std::string_view piece, ModelState& model_state, std::vector<ModelToken>& tokens) const override {
    auto& state = static_cast<UnigramState&>(model_state);
    const uint64_t hash = hash_bytes(piece);
    if (state.cache.find(piece, hash, tokens)) return {};
    if (piece.size() > kMaxPiece) {
      return error(ErrorCode::kInvalidInput, "a piece of {} bytes is too long for a unigram model; at most {} are supported", piece.size(),
                   kMaxPiece);
    }
    const size_t start = tokens.size();
    CAMEO_TRY(search(piece, state.best));
    emit(piece, state.best, tokens);
    state.cache.insert(piece, hash, tokens.data() + start, tokens.size() - start);
    if (state.best.capacity() > 1 << 16) state.best = {};  // a very long piece is rare
    return {};
  }

 private:
  static Error no_unknown(std::string_view text) {
    return error(ErrorCode::kInvalidModel, "model.unk_id is not set, and '{}' needs it", text.substr(0, 100));
  }

  Status search(std::string_view piece, std::vector<Best>& best) const {
    best.assign(piece.size() + 1, Best{});
    for (size_t at = 0; at < piece.size();) {
      const double here = best[at].score;
      const size_t after = at + decode_at(piece, at).bytes;
      bool alone = false;  // some token is this character
      uint32_t node = ByteTrie::kRoot;
      for (size_t end = at; end < piece.size();) {
        node = trie_.next(node, piece[end]);
        if (node == ByteTrie::kNone) break;
        ++end;
        const uint32_t id = trie_.value(node);
        if (id == ByteTrie::kNone) continue;
        improve(best[end], here + scores_[id], at, id);
        alone = alone || end == after;
      }
      if (!alone && improve(best[after], here + unknown_score_, at, unknown_) && unknown_ == kNone) {
        return no_unknown(piece.substr(at, after - at));
      }
      at = after;
    }
    return {};
  }

  static bool improve(Best& best, double score, size_t start, uint32_t id) {
    if (best.start != kNone && !(score > best.score)) return false;
    best = {score, static_cast<uint32_t>(start), id};
    return true;
  }

  // Follows the best way back from the end.
  void emit(std::string_view piece, const std::vector<Best>& best, std::vector<ModelToken>& tokens) const {
    const size_t first = tokens.size();
    for (size_t end = piece.size(); end > 0;) {
      size_t start = best[end].start;
      if (best[end].id != unknown_) {
        tokens.push_back({best[end].id, static_cast<uint32_t>(start), static_cast<uint32_t>(end)});
      } else {
        while (start > 0 && best[start].id == unknown_) start = best[start].start;
        emit_unknown(piece, start, end, tokens);
      }
      end = start;
    }
    std::reverse(tokens.begin() + static_cast<ptrdiff_t>(first), tokens.end());
  }

  // Appends the tokens of unknown text in reverse.
  void emit_unknown(std::string_view piece, size_t start, size_t end, std::vector<ModelToken>& tokens) const {
    const std::string_view text = piece.substr(start, end - start);
    const auto token = [&](uint32_t id) { return ModelToken{id, static_cast<uint32_t>(start), static_cast<uint32_t>(end)}; };
    if (const auto id = vocabulary_.id(text)) {
      tokens.push_back(token(*id));
      return;
    }
    const auto byte_id = [this](char b) { return byte_ids_[static_cast<unsigned char>(b)]; };
    if (byte_fallback_ && std::ranges::none_of(text, [&](char b) { return byte_id(b) == kNone; })) {
      for (size_t i = text.size(); i-- > 0;) tokens.push_back(token(byte_id(text[i])));
      return;
    }
    tokens.push_back(token(unknown_));
  }

  Vocabulary vocabulary_;
  ByteTrie trie_;
  std::vector<double> scores_;  // by id
  double unknown_score_ = 0;
  uint32_t unknown_ = kNone;
  bool byte_fallback_ = false;
  std::array<uint32_t, 256> byte_ids_{};  // of <0x00> to <0xFF>
};

Result<std::unique_ptr<Model>> Unigram::parse(const Fields& fields) {
  auto model = std::make_unique<Unigram>();
  const std::string path = fields.path("vocab");
  CAMEO_ASSIGN(const Json* list, fields.array("vocab"));
  std::vector<std::string_view> names;
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < list->size(); ++i) {
    const Json& item = (*list)[i];
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number()) {
      return invalid(fmt::format("{}[{}]", path, i), "must be a token and its score, [\"a\", -1.5]");
    }
    const double score = item[1].get<double>();
    if (!std::isfinite(score)) return invalid(fmt::format("{}[{}]", path, i), "has a score that is not finite");
    names.push_back(item[0].get_ref<const std::string&>());
    model->scores_.push_back(score);
    least = std::min(least, score);
  }
  CAMEO_ASSIGN(model->vocabulary_, Vocabulary::of(names, path));
  CAMEO_TRY(model->vocabulary_.check_token_sizes(path));
  model->unknown_score_ = least - kUnknownPenalty;
  CAMEO_ASSIGN(model->byte_fallback_, fields.boolean_or("byte_fallback", false));
  if (fields.has("unk_id")) {
    CAMEO_ASSIGN(model->unknown_, fields.uint32("unk_id"));
    if (model->unknown_ >= names.size()) {
      return invalid(fields.path("unk_id"), fmt::format("is {}; the vocabulary has {} tokens", model->unknown_, names.size()));
    }
  }
  model->trie_.reserve(model->vocabulary_.bytes() / 2);
  model->vocabulary_.for_each([&](std::string_view token, uint32_t id) { model->trie_.insert(token, id); });
  for (uint32_t b = 0; b < 256; ++b) model->byte_ids_[b] = model->vocabulary_.id(fmt::format("<0x{:02X}>", b)).value_or(kNone);
  return model;
}

}  // namespace

Result<std::unique_ptr<Model>> parse_unigram(const Fields& fields) { return Unigram::parse(fields); }

}  // namespace cameo::tokenizer
