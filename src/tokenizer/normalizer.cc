#include "tokenizer/normalizer.h"

#include <vector>

#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace cameo::tokenizer {
namespace {

constexpr std::string_view kKnown = "NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace, Sequence";

Status check_size(size_t size, const Limits& limits) {
  if (size <= limits.max_bytes) return {};
  return error(ErrorCode::kInvalidInput, "the normalizer makes the text longer than {} bytes", limits.max_bytes);
}

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(NormalizationForm form) : form_(form) {}
  Status normalize(std::string& text, Limits& limits) const override {
    CAMEO_ASSIGN(text, tokenizer::normalize(text, form_, limits.max_bytes));
    return {};
  }

 private:
  NormalizationForm form_;
};

class Lowercase : public Normalizer {
 public:
  Status normalize(std::string& text, Limits& limits) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const CodePoint c = decode_at(text, at);
      append_lowercase(out, c.value);
      at += c.bytes;
    }
    text = std::move(out);
    return check_size(text.size(), limits);
  }
};

// Takes white space off the ends.
class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  Status normalize(std::string& text, Limits&) const override {
    size_t begin = 0, end = text.size();
    while (left_ && begin < end) {
      const CodePoint c = decode_at(text, begin);
      if (!whitespace().contains(c.value)) break;
      begin += c.bytes;
    }
    while (right_ && end > begin) {
      const CodePoint c = decode_before(text, end);
      if (!whitespace().contains(c.value)) break;
      end -= c.bytes;
    }
    text = text.substr(begin, end - begin);
    return {};
  }

 private:
  bool left_, right_;
};

// Puts a string before a text that is not empty.
class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  Status normalize(std::string& text, Limits& limits) const override {
    CAMEO_TRY(check_size(text.size() + prefix_.size(), limits));
    if (!text.empty()) text.insert(0, prefix_);
    return {};
  }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  Status normalize(std::string& text, Limits& limits) const override {
    if (text.empty()) return {};
    CAMEO_ASSIGN(const std::vector<Span> matches, pattern_.find_all(text, limits));
    if (matches.empty()) return {};
    std::string out;
    size_t at = 0;
    for (const Span& match : matches) {
      out.append(text, at, match.begin - at);
      out += content_;
      at = match.end;
      CAMEO_TRY(check_size(out.size(), limits));
    }
    out.append(text, at);
    text = std::move(out);
    return check_size(text.size(), limits);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Sequence : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> stages) : stages_(std::move(stages)) {}
  Status normalize(std::string& text, Limits& limits) const override {
    for (const auto& stage : stages_) CAMEO_TRY(stage->normalize(text, limits));
    return {};
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> stages_;
};

}  // namespace

Result<std::unique_ptr<Normalizer>> parse_normalizer(const Json& json, std::string where, int depth) {
  if (depth > kMaxStageDepth) return error(ErrorCode::kUnsupported, "{} is nested more than {} deep", where, kMaxStageDepth);
  CAMEO_ASSIGN(const Fields fields, Fields::of(json, std::move(where)));
  CAMEO_ASSIGN(const std::string type, fields.type());
  if (type == "NFC") return std::make_unique<UnicodeForm>(NormalizationForm::kNfc);
  if (type == "NFD") return std::make_unique<UnicodeForm>(NormalizationForm::kNfd);
  if (type == "NFKC") return std::make_unique<UnicodeForm>(NormalizationForm::kNfkc);
  if (type == "NFKD") return std::make_unique<UnicodeForm>(NormalizationForm::kNfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
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
