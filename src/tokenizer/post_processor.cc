#include "tokenizer/post_processor.h"

#include <algorithm>

#include "tokenizer/encoding.h"
#include "tokenizer/unicode.h"

namespace cameo::tokenizer {
namespace {

constexpr std::string_view kKnown = "BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing";

// Takes the white space at the ends of tokens, and byte-level BPE's Ġ for a space, out of their offsets. The one space that
// the pre-tokenizer added to the text is in no offset.
void trim_offsets(Encoding& encoding, bool add_prefix_space) {
  constexpr uint32_t kSpaceSymbol = 0x120;
  const auto is_space = [](uint32_t c) { return c == kSpaceSymbol || whitespace().contains(c); };
  for (size_t i = 0; i < encoding.offsets.size(); ++i) {
    const std::string_view token = encoding.tokens[i];
    size_t leading = 0, trailing = 0;
    for (size_t at = 0; at < token.size(); ++leading) {
      const CodePoint c = decode_at(token, at);
      if (!is_space(c.value)) break;
      at += c.bytes;
    }
    for (size_t end = token.size(); end > 0; ++trailing) {
      const CodePoint c = decode_before(token, end);
      if (!is_space(c.value)) break;
      end -= c.bytes;
    }
    Encoding::Offsets& offsets = encoding.offsets[i];
    if (leading > 0) {
      if ((i == 0 || offsets.begin == 0) && add_prefix_space && leading == 1) leading = 0;
      offsets.begin = std::min(offsets.begin + leading, offsets.end);
    }
    if (trailing > 0 && offsets.end >= trailing) offsets.end = std::max(offsets.end - trailing, offsets.begin);
  }
  for (Encoding& more : encoding.overflowing) trim_offsets(more, add_prefix_space);
}

class ByteLevel : public PostProcessor {
 public:
  ByteLevel(bool trim, bool add_prefix_space) : trim_(trim), add_prefix_space_(add_prefix_space) {}
  Status process(std::vector<Encoding>& parts, const EncodeOptions&) const override {
    for (Encoding& part : parts) {
      if (trim_) trim_offsets(part, add_prefix_space_);
    }
    return {};
  }
  size_t added_tokens(bool) const override { return 0; }
  bool trims_offsets() const override { return trim_; }

 private:
  bool trim_, add_prefix_space_;
};

// [CLS] A [SEP], or [CLS] A [SEP] B [SEP].
class BertProcessing : public PostProcessor {
 public:
  BertProcessing(SpecialToken cls, SpecialToken sep) : cls_(std::move(cls)), sep_(std::move(sep)) {}
  Status process(std::vector<Encoding>& parts, const EncodeOptions& options) const override {
    if (!options.add_special_tokens) return {};
    for (size_t i = 0; i < parts.size(); ++i) CAMEO_TRY(surround(parts[i], i == 0 ? &cls_ : nullptr, sep_, i == 0 ? 0 : 1, options));
    return {};
  }
  size_t added_tokens(bool pair) const override { return pair ? 3 : 2; }

  // Puts a token before (if there is one) and after the encoding and what overflows from it.
  static Status surround(Encoding& encoding, const SpecialToken* before, const SpecialToken& after, uint32_t type_id,
                         const EncodeOptions& options) {
    Encoding out;
    if (before != nullptr) append_special(out, *before, type_id, options);
    for (Encoding& more : encoding.overflowing) CAMEO_TRY(surround(more, before, after, type_id, options));
    std::vector<Encoding> overflowing = std::move(encoding.overflowing);
    encoding.overflowing.clear();
    CAMEO_TRY(append(out, encoding));
    append_special(out, after, type_id, options);
    encoding = std::move(out);
    encoding.overflowing = std::move(overflowing);
    return {};
  }

 private:
  SpecialToken cls_, sep_;
};

// <s> A </s>, or <s> A </s> </s> B </s>, all in segment 0.
class RobertaProcessing : public PostProcessor {
 public:
  RobertaProcessing(SpecialToken cls, SpecialToken sep, bool trim, bool add_prefix_space)
      : cls_(std::move(cls)), sep_(std::move(sep)), trim_(trim), add_prefix_space_(add_prefix_space) {}
  Status process(std::vector<Encoding>& parts, const EncodeOptions& options) const override {
    for (size_t i = 0; i < parts.size(); ++i) {
      Encoding& part = parts[i];
      if (trim_) trim_offsets(part, add_prefix_space_);
      std::ranges::fill(part.type_ids, 0);
      if (!options.add_special_tokens) continue;
      for (Encoding& more : part.overflowing) std::ranges::fill(more.type_ids, 0);
      CAMEO_TRY(BertProcessing::surround(part, i == 0 ? &cls_ : &sep_, sep_, 0, options));
    }
    return {};
  }
  size_t added_tokens(bool pair) const override { return pair ? 4 : 2; }
  bool trims_offsets() const override { return trim_; }

 private:
  SpecialToken cls_, sep_;
  bool trim_, add_prefix_space_;
};

class Sequence : public PostProcessor {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PostProcessor>> stages) : stages_(std::move(stages)) {}
  Status process(std::vector<Encoding>& parts, const EncodeOptions& options) const override {
    for (const auto& stage : stages_) CAMEO_TRY(stage->process(parts, options));
    return {};
  }
  size_t added_tokens(bool pair) const override {
    size_t sum = 0;
    for (const auto& stage : stages_) sum += stage->added_tokens(pair);
    return sum;
  }
  bool trims_offsets() const override {
    return std::ranges::any_of(stages_, [](const auto& stage) { return stage->trims_offsets(); });
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> stages_;
};

// ["[SEP]", 102]
Result<SpecialToken> parse_special(const Fields& fields, std::string_view key) {
  CAMEO_ASSIGN(const Json* json, fields.array(key));
  if (json->size() != 2 || !(*json)[0].is_string() || !(*json)[1].is_number_unsigned() || (*json)[1].get<uint64_t>() > UINT32_MAX) {
    return invalid(fields.path(key), R"(must be a token and its id, ["[SEP]", 102])");
  }
  return SpecialToken{static_cast<uint32_t>((*json)[1].get<uint64_t>()), (*json)[0].get<std::string>()};
}

bool adds_parts(std::string_view type) { return type == "TemplateProcessing" || type == "BertProcessing" || type == "RobertaProcessing"; }

}  // namespace

void append_special(Encoding& encoding, const SpecialToken& token, uint32_t type_id, const EncodeOptions& options) {
  encoding.ids.push_back(token.id);
  encoding.type_ids.push_back(type_id);
  encoding.special_tokens_mask.push_back(1);
  encoding.attention_mask.push_back(1);
  if (options.offsets != OffsetUnit::kNone) {
    encoding.offsets.push_back({});
    encoding.words.push_back(Encoding::kNoWord);
  }
  if (options.tokens) encoding.tokens.push_back(token.text);
}

Result<std::unique_ptr<PostProcessor>> parse_post_processor(const Json& json, std::string where, int depth) {
  if (depth > kMaxStageDepth) return error(ErrorCode::kUnsupported, "{} is nested more than {} deep", where, kMaxStageDepth);
  CAMEO_ASSIGN(const Fields fields, Fields::of(json, std::move(where)));
  CAMEO_ASSIGN(const std::string type, fields.type());
  if (type == "ByteLevel") {
    CAMEO_ASSIGN(const bool trim, fields.boolean("trim_offsets"));
    CAMEO_ASSIGN(const bool add_prefix_space, fields.boolean("add_prefix_space"));
    return std::make_unique<ByteLevel>(trim, add_prefix_space);
  }
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    CAMEO_ASSIGN(SpecialToken cls, parse_special(fields, "cls"));
    CAMEO_ASSIGN(SpecialToken sep, parse_special(fields, "sep"));
    if (type == "BertProcessing") return std::make_unique<BertProcessing>(std::move(cls), std::move(sep));
    CAMEO_ASSIGN(const bool trim, fields.boolean("trim_offsets"));
    CAMEO_ASSIGN(const bool add_prefix_space, fields.boolean("add_prefix_space"));
    return std::make_unique<RobertaProcessing>(std::move(cls), std::move(sep), trim, add_prefix_space);
  }
  if (type == "TemplateProcessing") return parse_template_processing(fields);
  if (type == "Sequence") {
    CAMEO_ASSIGN(const Json* list, fields.array("processors"));
    std::vector<std::unique_ptr<PostProcessor>> stages;
    size_t adding = 0;
    for (const Json& item : *list) {
      const std::string place = fmt::format("{}[{}]", fields.path("processors"), stages.size());
      CAMEO_ASSIGN(auto stage, parse_post_processor(item, place, depth + 1));
      CAMEO_ASSIGN(const Fields inner, Fields::of(item, place));
      CAMEO_ASSIGN(const std::string kind, inner.type());
      adding += adds_parts(kind) || stage->added_tokens(true) + stage->added_tokens(false) > 0;
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
