// BERT's model: from the left, the longest token that a word goes on with is taken, tokens within a word bearing a prefix; a
// word that cannot be covered is one unknown token.
#include <algorithm>

#include "tokenizer/byte_trie.h"
#include "tokenizer/model.h"
#include "tokenizer/word_cache.h"

namespace cameo::tokenizer {
namespace {

struct WordPieceState : ModelState {
  WordCache cache;
};

class WordPiece : public Model {
 public:
  static Result<std::unique_ptr<Model>> parse(const Fields& fields);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::unique_ptr<ModelState> make_state() const override { return std::make_unique<WordPieceState>(); }

  Status tokenize(std::string_view piece, ModelState& model_state, std::vector<ModelToken>& tokens) const override {
    WordCache& cache = static_cast<WordPieceState&>(model_state).cache;
    const uint64_t hash = hash_bytes(piece);
    if (cache.find(piece, hash, tokens)) return {};
    const size_t start = tokens.size();
    if (!cover(piece, tokens)) {
      tokens.resize(start);
      if (!unknown_) {
        return error(ErrorCode::kInvalidModel, "model.unk_token is '{}', which is not in the vocabulary, and '{}' needs it",
                     unknown_name_.substr(0, 100), piece.substr(0, 100));
      }
      tokens.push_back({*unknown_, 0, static_cast<uint32_t>(piece.size())});
    }
    cache.insert(piece, hash, tokens.data() + start, tokens.size() - start);
    return {};
  }

 private:
  bool cover(std::string_view piece, std::vector<ModelToken>& tokens) const {
    if (piece.size() > max_characters_) {
      const auto characters = std::ranges::count_if(piece, [](char c) { return (c & 0xc0) != 0x80; });
      if (static_cast<size_t>(characters) > max_characters_) return false;
    }
    for (size_t start = 0; start < piece.size();) {
      uint32_t node = start == 0 ? ByteTrie::kRoot : within_word_;
      uint32_t id = ByteTrie::kNone;
      size_t end = start;
      for (size_t at = start; at < piece.size() && node != ByteTrie::kNone; ++at) {
        node = trie_.next(node, piece[at]);
        if (node == ByteTrie::kNone) break;
        if (trie_.value(node) != ByteTrie::kNone) {
          id = trie_.value(node);
          end = at + 1;
        }
      }
      if (id == ByteTrie::kNone) return false;
      tokens.push_back({id, static_cast<uint32_t>(start), static_cast<uint32_t>(end)});
      start = end;
    }
    return true;
  }

  Vocabulary vocabulary_;
  ByteTrie trie_;
  uint32_t within_word_ = ByteTrie::kNone;  // the node after the prefix
  std::string unknown_name_;
  std::optional<uint32_t> unknown_;
  size_t max_characters_ = 0;
};

Result<std::unique_ptr<Model>> WordPiece::parse(const Fields& fields) {
  auto model = std::make_unique<WordPiece>();
  CAMEO_ASSIGN(const Json* vocab, fields.object("vocab"));
  CAMEO_ASSIGN(model->vocabulary_, Vocabulary::parse(*vocab, fields.path("vocab")));
  CAMEO_ASSIGN(const std::string prefix, fields.string("continuing_subword_prefix"));
  CAMEO_ASSIGN(model->unknown_name_, fields.string("unk_token"));
  CAMEO_ASSIGN(model->max_characters_, fields.uint32("max_input_chars_per_word"));
  model->unknown_ = model->vocabulary_.id(model->unknown_name_);
  CAMEO_TRY(model->vocabulary_.check_token_sizes(fields.path("vocab")));
  model->trie_.reserve(model->vocabulary_.bytes() / 2);
  model->vocabulary_.for_each([&](std::string_view token, uint32_t id) { model->trie_.insert(token, id); });
  model->within_word_ = model->trie_.find(prefix);
  return model;
}

}  // namespace

Result<std::unique_ptr<Model>> parse_word_piece(const Fields& fields) { return WordPiece::parse(fields); }

}  // namespace cameo::tokenizer
