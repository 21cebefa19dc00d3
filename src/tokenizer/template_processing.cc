// The text's tokens and special tokens in the order of a template, one template for a text alone and one for a pair.
#include <algorithm>

#include "tokenizer/post_processor.h"

namespace cameo::tokenizer {
namespace {

class TemplateProcessing : public PostProcessor {
 public:
  static Result<std::unique_ptr<PostProcessor>> parse(const Fields& fields);

  Status process(std::vector<Encoding>& parts, const EncodeOptions& options) const override {
    const std::vector<Part>& order = parts.size() == 1 ? single_ : pair_;
    std::vector<Encoding> out;
    for (size_t i = 0; i < order.size(); ++i) {
      const Part& part = order[i];
      if (part.text) {
        if (*part.text >= parts.size()) {
          return error(ErrorCode::kInvalidModel, "the post-processor's template has a second text, and there is only one");
        }
        Encoding& text = parts[*part.text];
        text.type_ids.assign(text.type_ids.size(), part.type_id);
        const bool again =
            std::any_of(order.begin() + static_cast<ptrdiff_t>(i) + 1, order.end(), [&](const Part& p) { return p.text == part.text; });
        if (again) {
          out.push_back(text);
        } else {
          out.push_back(std::move(text));
        }
      } else if (options.add_special_tokens) {
        Encoding special;
        for (const SpecialToken& token : part.special) append_special(special, token, part.type_id, options);
        out.push_back(std::move(special));
      }
    }
    parts = std::move(out);
    return {};
  }

  size_t added_tokens(bool pair) const override {
    size_t sum = 0;
    for (const Part& part : pair ? pair_ : single_) sum += part.special.size();
    return sum;
  }

 private:
  struct Part {
    std::optional<size_t> text;         // which of the texts
    std::vector<SpecialToken> special;  // or else these tokens
    uint32_t type_id = 0;
  };

  static Result<std::vector<SpecialToken>> special_tokens(const Fields& tokens, const std::string& id, const std::string& where);
  static Result<std::vector<Part>> parse_template(const Fields& fields, std::string_view key, const Fields& tokens, bool pair);

  std::vector<Part> single_, pair_;
};

Result<std::vector<SpecialToken>> TemplateProcessing::special_tokens(const Fields& tokens, const std::string& id,
                                                                     const std::string& where) {
  if (!tokens.has(id)) {
    return error(ErrorCode::kInvalidModel, "{} is '{}', which is not among {}", where, id.substr(0, 100), tokens.where());
  }
  CAMEO_ASSIGN(const Json* json, tokens.object(id));
  CAMEO_ASSIGN(const Fields token, Fields::of(*json, tokens.path(id)));
  CAMEO_ASSIGN(const Json* ids, token.array("ids"));
  CAMEO_ASSIGN(const Json* texts, token.array("tokens"));
  if (texts->size() != ids->size()) return invalid(token.path("tokens"), fmt::format("must be {} tokens, one for each id", ids->size()));
  std::vector<SpecialToken> out;
  for (size_t i = 0; i < ids->size(); ++i) {
    const Json& value = (*ids)[i];
    if (!value.is_number_unsigned() || value.get<uint64_t>() > UINT32_MAX) return invalid(token.path("ids"), "must hold ids");
    if (!(*texts)[i].is_string()) return invalid(token.path("tokens"), "must hold strings");
    out.push_back({static_cast<uint32_t>(value.get<uint64_t>()), (*texts)[i].get<std::string>()});
  }
  return out;
}

Result<std::vector<TemplateProcessing::Part>> TemplateProcessing::parse_template(const Fields& fields, std::string_view key,
                                                                                 const Fields& tokens, bool pair) {
  constexpr size_t kMaxTexts = 16;     // times that a template may repeat the text
  constexpr size_t kMaxAdded = 10000;  // tokens that a template may add
  CAMEO_ASSIGN(const Json* list, fields.array(key));
  std::vector<Part> parts;
  size_t texts = 0, added = 0;
  for (const Json& item : *list) {
    const std::string where = fmt::format("{}[{}]", fields.path(key), parts.size());
    CAMEO_ASSIGN(const Fields wrapper, Fields::of(item, where));
    const std::string_view kind = wrapper.has("Sequence") ? "Sequence" : "SpecialToken";
    CAMEO_ASSIGN(const Json* inner, wrapper.object(kind));
    CAMEO_ASSIGN(const Fields piece, Fields::of(*inner, wrapper.path(kind)));
    CAMEO_ASSIGN(const std::string id, piece.string("id"));
    Part part;
    CAMEO_ASSIGN(part.type_id, piece.uint32("type_id"));
    if (kind == "Sequence") {
      if (id != "A" && !(pair && id == "B")) {
        return invalid(piece.path("id"), fmt::format("is '{}'; it must be {}", id.substr(0, 100), pair ? "A or B" : "A"));
      }
      part.text = id == "A" ? 0 : 1;
      ++texts;
    } else {
      CAMEO_ASSIGN(part.special, special_tokens(tokens, id, piece.path("id")));
      added += part.special.size();
    }
    if (texts > kMaxTexts || added > kMaxAdded) {
      return error(ErrorCode::kUnsupported, "{} has the text more than {} times, or more than {} special tokens", fields.path(key),
                   kMaxTexts, kMaxAdded);
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

Result<std::unique_ptr<PostProcessor>> TemplateProcessing::parse(const Fields& fields) {
  CAMEO_ASSIGN(const Json* map, fields.object("special_tokens"));
  CAMEO_ASSIGN(const Fields tokens, Fields::of(*map, fields.path("special_tokens")));
  auto processor = std::make_unique<TemplateProcessing>();
  CAMEO_ASSIGN(processor->single_, parse_template(fields, "single", tokens, false));
  CAMEO_ASSIGN(processor->pair_, parse_template(fields, "pair", tokens, true));
  return processor;
}

}  // namespace

Result<std::unique_ptr<PostProcessor>> parse_template_processing(const Fields& fields) { return TemplateProcessing::parse(fields); }

}  // namespace cameo::tokenizer
