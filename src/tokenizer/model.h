// The third stage: the model, which turns each piece into tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "tokenizer/json_fields.h"
#include "tokenizer/vocabulary.h"

namespace cameo::tokenizer {

// A token and the bytes of its piece that it stands for. Where characters were dropped as unknown, or the model added some,
// the places are those that Hugging Face's tokenizers counts, which may lie past the piece.
struct ModelToken {
  uint32_t id;
  uint32_t begin;
  uint32_t end;
};

// What a model keeps between pieces for one caller at a time: caches and buffers.
class ModelState {
 public:
  virtual ~ModelState() = default;
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const Vocabulary& vocabulary() const = 0;
  virtual std::unique_ptr<ModelState> make_state() const = 0;
  // Appends the tokens of a piece, which is valid UTF-8 and not empty. The state is one that make_state() gave.
  virtual Status tokenize(std::string_view piece, ModelState& state, std::vector<ModelToken>& tokens) const = 0;
  // The id whose token is given as the text that it stands for, not as the vocabulary has it.
  virtual std::optional<uint32_t> verbatim_id() const { return std::nullopt; }
};

// Known types: BPE, Unigram, WordLevel, WordPiece.
Result<std::unique_ptr<Model>> parse_model(const Json& json, std::string where);

Result<std::unique_ptr<Model>> parse_bpe(const Fields& fields);
Result<std::unique_ptr<Model>> parse_unigram(const Fields& fields);
Result<std::unique_ptr<Model>> parse_word_level(const Fields& fields);
Result<std::unique_ptr<Model>> parse_word_piece(const Fields& fields);

}  // namespace cameo::tokenizer
