#include "tokenizer/model.h"

namespace cameo::tokenizer {

Result<std::unique_ptr<Model>> parse_model(const Json& json, std::string where) {
  CAMEO_ASSIGN(const Fields fields, Fields::of(json, std::move(where)));
  // Files from before the field "type" are told apart by what they have.
  CAMEO_ASSIGN(const std::string type, fields.string_or("type", fields.has("merges") ? "BPE" : "(missing)"));
  if (type == "BPE") return parse_bpe(fields);
  return unsupported_type(fields, type, "BPE");
}

}  // namespace cameo::tokenizer
