#include "tokenizer/model.h"

namespace cameo::tokenizer {

Result<std::unique_ptr<Model>> parse_model(const Json& json, std::string where) {
  CAMEO_ASSIGN(const Fields fields, Fields::of(json, std::move(where)));
  // Files from before the field "type" are told apart by what they have.
  const char* const guess = fields.has("merges")                      ? "BPE"
                            : fields.has("continuing_subword_prefix") ? "WordPiece"
                            : fields.has("unk_id")                    ? "Unigram"
                            : fields.has("unk_token")                 ? "WordLevel"
                                                                      : "(missing)";
  CAMEO_ASSIGN(const std::string type, fields.string_or("type", guess));
  if (type == "BPE") return parse_bpe(fields);
  if (type == "Unigram") return parse_unigram(fields);
  if (type == "WordLevel") return parse_word_level(fields);
  if (type == "WordPiece") return parse_word_piece(fields);
  return unsupported_type(fields, type, "BPE, Unigram, WordLevel, WordPiece");
}

}  // namespace cameo::tokenizer
