// The third stage: the model, which turns each piece into ids.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "tokenizer/json_fields.h"
#include "tokenizer/vocabulary.h"

namespace cameo::tokenizer {

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
  // Appends the ids of a piece, which is valid UTF-8 and not empty. The state is one that make_state() gave.
  virtual Status tokenize(std::string_view piece, ModelState& state, std::vector<uint32_t>& ids) const = 0;
};

// Known types: BPE.
Result<std::unique_ptr<Model>> parse_model(const Json& json, std::string where);

// bpe.cc
Result<std::unique_ptr<Model>> parse_bpe(const Fields& fields);

}  // namespace cameo::tokenizer
