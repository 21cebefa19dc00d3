#include "tokenizer/post_processor.h"

#include <vector>

namespace cameo::tokenizer {
namespace {

constexpr std::string_view kKnown = "ByteLevel, Sequence, TemplateProcessing";

// Hugging Face's ByteLevel trims offsets, and this tokenizer gives none.
class ByteLevel : public PostProcessor {
 public:
  Status process(Encoding&, bool) const override { return {}; }
  bool adds_tokens() const override { return false; }
};

// The text's tokens and special tokens, in the order of a template.
class TemplateProcessing : public PostProcessor {
 public:
  static Result<std::unique_ptr<PostProcessor>> parse(const Fields& fields);

  Status process(Encoding& encoding, bool add_special_tokens) const override {
    constexpr size_t kMaxTokens = size_t{1} << 30;
    size_t total = 0;
    for (const Part& part : single_) total += part.is_text ? encoding.ids.size() : part.ids.size();
    if (total > kMaxTokens)
      return error(ErrorCode::kInvalidInput, "the text has {} tokens with its template; the limit is {}", total, kMaxTokens);
    Encoding out;
    out.ids.reserve(total);
    for (const Part& part : single_) {
      if (!part.is_text && !add_special_tokens) continue;
      const std::vector<uint32_t>& ids = part.is_text ? encoding.ids : part.ids;
      out.ids.insert(out.ids.end(), ids.begin(), ids.end());
      out.type_ids.insert(out.type_ids.end(), ids.size(), part.type_id);
      out.special_tokens_mask.insert(out.special_tokens_mask.end(), ids.size(), part.is_text ? 0 : 1);
    }
    encoding = std::move(out);
    return {};
  }
  bool adds_tokens() const override { return true; }

 private:
  struct Part {
    bool is_text = false;
    std::vector<uint32_t> ids;  // of a special token
    uint32_t type_id = 0;
  };

  static Result<std::vector<uint32_t>> special_token(const Fields& tokens, const std::string& id, const std::string& where);
  static Result<std::vector<Part>> parse_template(const Fields& fields, std::string_view key, const Fields& tokens, bool pair);

  std::vector<Part> single_;
};

Result<std::vector<uint32_t>> TemplateProcessing::special_token(const Fields& tokens, const std::string& id, const std::string& where) {
  if (!tokens.has(id)) {
    return error(ErrorCode::kInvalidModel, "{} is '{}', which is not among {}", where, id.substr(0, 100), tokens.where());
  }
  CAMEO_ASSIGN(const Json* json, tokens.object(id));
  CAMEO_ASSIGN(const Fields token, Fields::of(*json, tokens.path(id)));
  CAMEO_ASSIGN(const Json* list, token.array("ids"));
  std::vector<uint32_t> ids;
  for (const Json& value : *list) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > UINT32_MAX) return invalid(token.path("ids"), "must hold ids");
    ids.push_back(static_cast<uint32_t>(value.get<uint64_t>()));
  }
  return ids;
}

Result<std::vector<TemplateProcessing::Part>> TemplateProcessing::parse_template(const Fields& fields, std::string_view key,
                                                                                 const Fields& tokens, bool pair) {
  CAMEO_ASSIGN(const Json* list, fields.array(key));
  std::vector<Part> parts;
  size_t i = 0;
  for (const Json& item : *list) {
    const std::string where = fmt::format("{}[{}]", fields.path(key), i++);
    CAMEO_ASSIGN(const Fields wrapper, Fields::of(item, where));
    const bool is_text = wrapper.has("Sequence");
    CAMEO_ASSIGN(const Json* inner, wrapper.object(is_text ? "Sequence" : "SpecialToken"));
    CAMEO_ASSIGN(const Fields piece, Fields::of(*inner, wrapper.path(is_text ? "Sequence" : "SpecialToken")));
    CAMEO_ASSIGN(const std::string id, piece.string("id"));
    Part part;
    part.is_text = is_text;
    CAMEO_ASSIGN(part.type_id, piece.uint32("type_id"));
    if (is_text) {
      if (id != "A" && !(pair && id == "B")) {
        return invalid(piece.path("id"), fmt::format("is '{}'; it must be {}", id.substr(0, 100), pair ? "A or B" : "A"));
      }
    } else {
      CAMEO_ASSIGN(part.ids, special_token(tokens, id, piece.path("id")));
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
  CAMEO_TRY(parse_template(fields, "pair", tokens, true));
  return processor;
}

class Sequence : public PostProcessor {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PostProcessor>> stages) : stages_(std::move(stages)) {}
  Status process(Encoding& encoding, bool add_special_tokens) const override {
    for (const auto& stage : stages_) CAMEO_TRY(stage->process(encoding, add_special_tokens));
    return {};
  }
  bool adds_tokens() const override {
    for (const auto& stage : stages_) {
      if (stage->adds_tokens()) return true;
    }
    return false;
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> stages_;
};

}  // namespace

Result<std::unique_ptr<PostProcessor>> parse_post_processor(const Json& json, std::string where, int depth) {
  if (depth > kMaxStageDepth) return error(ErrorCode::kUnsupported, "{} is nested more than {} deep", where, kMaxStageDepth);
  CAMEO_ASSIGN(const Fields fields, Fields::of(json, std::move(where)));
  CAMEO_ASSIGN(const std::string type, fields.type());
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "TemplateProcessing") return TemplateProcessing::parse(fields);
  if (type == "Sequence") {
    CAMEO_ASSIGN(const Json* list, fields.array("processors"));
    std::vector<std::unique_ptr<PostProcessor>> stages;
    int adding = 0;
    for (const Json& item : *list) {
      CAMEO_ASSIGN(auto stage, parse_post_processor(item, fmt::format("{}[{}]", fields.path("processors"), stages.size()), depth + 1));
      adding += stage->adds_tokens();
      stages.push_back(std::move(stage));
    }
    if (adding > 1) {
      return error(ErrorCode::kUnsupported, "{} has {} processors that add tokens; at most one is supported", fields.path("processors"),
                   adding);
    }
    return std::make_unique<Sequence>(std::move(stages));
  }
  return unsupported_type(fields, type, kKnown);
}

}  // namespace cameo::tokenizer
