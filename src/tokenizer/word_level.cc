// A piece is one token, or the unknown one.
#include "tokenizer/model.h"

namespace cameo::tokenizer {
namespace {

class WordLevel : public Model {
 public:
  WordLevel(Vocabulary vocabulary, std::string unknown) : vocabulary_(std::move(vocabulary)), unknown_name_(std::move(unknown)) {
    unknown_ = vocabulary_.id(unknown_name_);
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::unique_ptr<ModelState> make_state() const override { return std::make_unique<ModelState>(); }

  Status tokenize(std::string_view piece, ModelState&, std::vector<ModelToken>& tokens) const override {
    auto id = vocabulary_.id(piece);
    if (!id) id = unknown_;
    if (!id) {
      return error(ErrorCode::kInvalidModel, "model.unk_token is '{}', which is not in the vocabulary, and '{}' needs it",
                   unknown_name_.substr(0, 100), piece.substr(0, 100));
    }
    tokens.push_back({*id, 0, static_cast<uint32_t>(piece.size())});
    return {};
  }

 private:
  Vocabulary vocabulary_;
  std::string unknown_name_;
  std::optional<uint32_t> unknown_;
};

}  // namespace

Result<std::unique_ptr<Model>> parse_word_level(const Fields& fields) {
  CAMEO_ASSIGN(const Json* vocab, fields.object("vocab"));
  CAMEO_ASSIGN(Vocabulary vocabulary, Vocabulary::parse(*vocab, fields.path("vocab")));
  CAMEO_ASSIGN(std::string unknown, fields.string("unk_token"));
  return std::make_unique<WordLevel>(std::move(vocabulary), std::move(unknown));
}

}  // namespace cameo::tokenizer
