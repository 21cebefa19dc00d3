// BERT's normalization: control characters removed, white space as spaces, spaces around Chinese characters, accents
// stripped, lower case. ASCII text takes one pass; other text goes through the steps one by one, because stripping accents
// decomposes and reorders it.
#include <algorithm>

#include "tokenizer/normalizer.h"

namespace cameo::tokenizer {
namespace {

bool is_chinese(uint32_t c) {
  if (c < 0x3400) return false;
  return (c >= 0x4e00 && c <= 0x9fff) || c <= 0x4dbf || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x2a6df) ||
         (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
         (c >= 0x2f800 && c <= 0x2fa1f);
}

class BertNormalizer : public Normalizer {
 public:
  BertNormalizer(bool clean, bool chinese, bool strip_accents, bool lower)
      : clean_(clean), chinese_(chinese), strip_accents_(strip_accents), lower_(lower) {}

  Status normalize(AlignedText& text, Limits& limits) const override {
    const bool ascii = std::ranges::all_of(text.text(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (ascii) {
      normalize_ascii(text);
      return {};
    }
    if (clean_ || chinese_) clean(text);
    if (strip_accents_) {
      tokenizer::normalize(text, NormalizationForm::kNfd);
      strip_marks(text);
    }
    if (lower_) lowercase(text);
    return check_normalized_size(text.text().size(), limits);
  }

 private:
  void normalize_ascii(AlignedText& text) const {
    TextRewriter out(text);
    const std::string_view all = text.text();
    for (size_t at = 0; at < all.size(); ++at) {
      char c = all[at];
      if (clean_) {
        if (bert_control().contains(static_cast<unsigned char>(c))) continue;
        if (c == '\t' || c == '\n' || c == '\r') c = ' ';
      }
      if (lower_ && c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
      out.put_ascii(c, at);
    }
    out.finish();
  }

  void clean(AlignedText& text) const {
    TextRewriter out(text);
    const std::string_view all = text.text();
    for (size_t at = 0; at < all.size();) {
      const CodePoint c = decode_at(all, at);
      const size_t next = at + c.bytes;
      if (clean_ && bert_control().contains(c.value)) {
      } else if (clean_ && whitespace().contains(c.value)) {
        out.put_ascii(' ', at);
      } else if (chinese_ && is_chinese(c.value)) {
        out.put_ascii(' ', at);
        out.put_after(all.substr(at, c.bytes), next);
        out.put_after(" ", next);
      } else {
        out.keep(at, next);
      }
      at = next;
    }
    out.finish();
  }

  static void strip_marks(AlignedText& text) {
    TextRewriter out(text);
    const std::string_view all = text.text();
    for (size_t at = 0; at < all.size();) {
      const CodePoint c = decode_at(all, at);
      if (c.value < 0x80 || !nonspacing_mark().contains(c.value)) out.keep(at, at + c.bytes);
      at += c.bytes;
    }
    out.finish();
  }

  bool clean_, chinese_, strip_accents_, lower_;
};

}  // namespace

Result<std::unique_ptr<Normalizer>> parse_bert_normalizer(const Fields& fields) {
  CAMEO_ASSIGN(const bool clean, fields.boolean("clean_text"));
  CAMEO_ASSIGN(const bool chinese, fields.boolean("handle_chinese_chars"));
  CAMEO_ASSIGN(const bool lower, fields.boolean("lowercase"));
  CAMEO_ASSIGN(const bool strip_accents, fields.boolean_or("strip_accents", lower));
  return std::make_unique<BertNormalizer>(clean, chinese, strip_accents, lower);
}

}  // namespace cameo::tokenizer
