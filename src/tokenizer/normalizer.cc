#include "tokenizer/normalizer.h"

#include <vector>

#include "tokenizer/byte_level.h"
#include "tokenizer/pattern.h"

namespace cameo::tokenizer {
namespace {

constexpr std::string_view kKnown =
    "BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip, StripAccents";

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(NormalizationForm form) : form_(form) {}
  Status normalize(AlignedText& text, Limits& limits) const override {
    tokenizer::normalize(text, form_);
    return check_normalized_size(text.text().size(), limits);
  }

 private:
  NormalizationForm form_;
};

class Lowercase : public Normalizer {
 public:
  Status normalize(AlignedText& text, Limits& limits) const override {
    lowercase(text);
    return check_normalized_size(text.text().size(), limits);
  }
};

// Takes white space off the ends.
class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  Status normalize(AlignedText& text, Limits&) const override {
    const std::string_view all = text.text();
    size_t begin = 0, end = all.size();
    while (left_ && begin < end) {
      const CodePoint c = decode_at(all, begin);
      if (!whitespace().contains(c.value)) break;
      begin += c.bytes;
    }
    while (right_ && end > begin) {
      const CodePoint c = decode_before(all, end);
      if (!whitespace().contains(c.value)) break;
      end -= c.bytes;
    }
    if (begin == 0 && end == all.size()) return {};
    TextRewriter out(text);
    out.keep(begin, end);
    out.finish();
    return {};
  }

 private:
  bool left_, right_;
};

class StripAccents : public Normalizer {
 public:
  Status normalize(AlignedText& text, Limits&) const override {
    TextRewriter out(text);
    const std::string_view all = text.text();
    for (size_t at = 0; at < all.size();) {
      const CodePoint c = decode_at(all, at);
      if (!combining_mark().contains(c.value)) out.keep(at, at + c.bytes);
      at += c.bytes;
    }
    out.finish();
    return {};
  }
};

// SentencePiece's rules for machine translation: some controls are removed, some characters become a space.
class Nmt : public Normalizer {
 public:
  Status normalize(AlignedText& text, Limits&) const override {
    TextRewriter out(text);
    const std::string_view all = text.text();
    for (size_t at = 0; at < all.size();) {
      const CodePoint c = decode_at(all, at);
      if (is_space(c.value)) {
        out.put_ascii(' ', at);
      } else if (!is_removed(c.value)) {
        out.keep(at, at + c.bytes);
      }
      at += c.bytes;
    }
    out.finish();
    return {};
  }

 private:
  static bool is_removed(uint32_t c) {
    return (c >= 0x01 && c <= 0x08) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f;
  }
  static bool is_space(uint32_t c) {
    return c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 || (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 ||
           c == 0x2581 || c == 0xfeff || c == 0xfffd;
  }
};

// Puts a string before a text that is not empty; it has the origin of the text's first character.
class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  Status normalize(AlignedText& text, Limits& limits) const override {
    if (text.text().empty() || prefix_.empty()) return {};
    CAMEO_TRY(check_normalized_size(text.text().size() + prefix_.size(), limits));
    TextRewriter out(text);
    out.put_after(prefix_, decode_at(text.text(), 0).bytes);
    out.keep(0, text.text().size());
    out.finish();
    return {};
  }

 private:
  std::string prefix_;
};

// What replaces a match has the origin of the match's last character.
class Replace : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  Status normalize(AlignedText& text, Limits& limits) const override {
    if (text.text().empty()) return {};
    CAMEO_ASSIGN(const std::vector<Span> matches, pattern_.find_all(text.text(), limits));
    if (matches.empty()) return {};
    TextRewriter out(text);
    size_t at = 0;
    for (const Span& match : matches) {
      out.keep(at, match.begin);
      out.put_after(content_, match.end);
      at = match.end;
      CAMEO_TRY(check_normalized_size(out.size(), limits));
    }
    out.keep(at, text.text().size());
    out.finish();
    return check_normalized_size(text.text().size(), limits);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

// Each byte as its character of GPT-2's alphabet.
class ByteLevel : public Normalizer {
 public:
  Status normalize(AlignedText& text, Limits& limits) const override {
    TextRewriter out(text);
    const std::string_view all = text.text();
    std::string encoded;
    for (size_t at = 0; at < all.size();) {
      const CodePoint c = decode_at(all, at);
      if (c.value > ' ' && c.value < 0x7f) {
        out.keep(at, at + 1);
      } else {
        encoded.clear();
        append_byte_level(encoded, all.substr(at, c.bytes));
        out.put_after(encoded, at + c.bytes);
      }
      at += c.bytes;
    }
    out.finish();
    return check_normalized_size(text.text().size(), limits);
  }
};

class Sequence : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> stages) : stages_(std::move(stages)) {}
  Status normalize(AlignedText& text, Limits& limits) const override {
    for (const auto& stage : stages_) CAMEO_TRY(stage->normalize(text, limits));
    return {};
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> stages_;
};

}  // namespace

Status check_normalized_size(size_t bytes, const Limits& limits) {
  if (bytes <= limits.max_bytes) return {};
  return error(ErrorCode::kInvalidInput, "the normalizer makes the text longer than {} bytes", limits.max_bytes);
}

void lowercase(AlignedText& text) {
  TextRewriter out(text);
  const std::string_view all = text.text();
  std::string lower;
  for (size_t at = 0; at < all.size();) {
    if (static_cast<unsigned char>(all[at]) < 0x80) {
      const char c = all[at];
      out.put_ascii(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c, at);
      ++at;
      continue;
    }
    const CodePoint c = decode_at(all, at);
    lower.clear();
    append_lowercase(lower, c.value);
    const CodePoint first = decode_at(lower, 0);
    out.put(first.value, at);
    at += c.bytes;
    out.put_after(std::string_view(lower).substr(first.bytes), at);
  }
  out.finish();
}

Result<std::unique_ptr<Normalizer>> parse_normalizer(const Json& json, std::string where, int depth) {
  if (depth > kMaxStageDepth) return error(ErrorCode::kUnsupported, "{} is nested more than {} deep", where, kMaxStageDepth);
  CAMEO_ASSIGN(const Fields fields, Fields::of(json, std::move(where)));
  CAMEO_ASSIGN(const std::string type, fields.type());
  if (type == "BertNormalizer") return parse_bert_normalizer(fields);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "NFC") return std::make_unique<UnicodeForm>(NormalizationForm::kNfc);
  if (type == "NFD") return std::make_unique<UnicodeForm>(NormalizationForm::kNfd);
  if (type == "NFKC") return std::make_unique<UnicodeForm>(NormalizationForm::kNfkc);
  if (type == "NFKD") return std::make_unique<UnicodeForm>(NormalizationForm::kNfkd);
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "Precompiled") return parse_precompiled(fields);
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Strip") {
    CAMEO_ASSIGN(const bool left, fields.boolean("strip_left"));
    CAMEO_ASSIGN(const bool right, fields.boolean("strip_right"));
    return std::make_unique<Strip>(left, right);
  }
  if (type == "Prepend") {
    CAMEO_ASSIGN(std::string prefix, fields.string("prepend"));
    return std::make_unique<Prepend>(std::move(prefix));
  }
  if (type == "Replace") {
    CAMEO_ASSIGN(Pattern pattern, Pattern::parse(fields, "pattern"));
    CAMEO_ASSIGN(std::string content, fields.string("content"));
    return std::make_unique<Replace>(std::move(pattern), std::move(content));
  }
  if (type == "Sequence") {
    CAMEO_ASSIGN(const Json* list, fields.array("normalizers"));
    std::vector<std::unique_ptr<Normalizer>> stages;
    for (const Json& item : *list) {
      CAMEO_ASSIGN(auto stage, parse_normalizer(item, fmt::format("{}[{}]", fields.path("normalizers"), stages.size()), depth + 1));
      stages.push_back(std::move(stage));
    }
    return std::make_unique<Sequence>(std::move(stages));
  }
  return unsupported_type(fields, type, kKnown);
}

}  // namespace cameo::tokenizer
