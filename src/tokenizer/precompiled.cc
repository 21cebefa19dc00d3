// SentencePiece's compiled normalization rules ("charsmap"): base64 of the size of a double-array trie in bytes, its
// 32-bit units, and the replacements, each ended by a zero byte. The trie's keys are what is replaced; a value is the place
// of the replacement. The layout of a unit is that of Darts: bits 0-7 and 31 label, bit 8 "a value follows", bits 10-30
// the offset to the children, times 256 if bit 9 is set.
//
// As in Hugging Face's tokenizers a grapheme cluster below six bytes is looked up whole, and the shortest key that it starts
// with decides; otherwise its code points are looked up one by one.
#include <utf8proc.h>

#include <algorithm>
#include <optional>

#include "tokenizer/normalizer.h"

namespace cameo::tokenizer {
namespace {

constexpr size_t kLookedUpWhole = 5;  // bytes

// The end of the grapheme cluster that starts at `at`.
size_t grapheme_end(std::string_view text, size_t at) {
  CodePoint c = decode_at(text, at);
  at += c.bytes;
  utf8proc_int32_t state = 0;
  while (at < text.size()) {
    const CodePoint next = decode_at(text, at);
    // Two printable ASCII characters never belong together.
    if (c.value < 0x7f && next.value < 0x80 && next.value != '\n') break;
    const bool breaks = utf8proc_grapheme_break_stateful(static_cast<int32_t>(c.value), static_cast<int32_t>(next.value), &state);
    // What extends a cluster is asked from the table, which knows newer code points.
    const auto category = utf8proc_get_property(static_cast<int32_t>(c.value))->boundclass;
    const bool after_control =
        category == UTF8PROC_BOUNDCLASS_CONTROL || category == UTF8PROC_BOUNDCLASS_CR || category == UTF8PROC_BOUNDCLASS_LF;
    if (breaks && (after_control || !grapheme_extend().contains(next.value))) break;
    at += next.bytes;
    c = next;
  }
  return at;
}

class Precompiled : public Normalizer {
 public:
  Precompiled(std::vector<uint32_t> trie, std::string replacements) : trie_(std::move(trie)), replacements_(std::move(replacements)) {}

  Status normalize(AlignedText& text, Limits& limits) const override {
    const std::string_view all = text.text();
    std::vector<Change> changes;
    changes.reserve(all.size());
    bool modified = false;
    size_t bytes = 0;
    const auto look_up = [&](size_t begin, size_t end) {
      const auto replacement = find(all.substr(begin, end - begin));
      if (!replacement) return false;
      modified = true;
      bytes += replacement->size();
      replace(all.substr(begin, end - begin), *replacement, changes);
      return true;
    };
    for (size_t at = 0; at < all.size();) {
      const size_t end = grapheme_end(all, at);
      if (end - at <= kLookedUpWhole && look_up(at, end)) {
        at = end;
        continue;
      }
      while (at < end) {
        const CodePoint c = decode_at(all, at);
        if (!look_up(at, at + c.bytes)) changes.push_back({c.value, 0});
        at += c.bytes;
      }
      CAMEO_TRY(check_normalized_size(bytes, limits));
    }
    if (modified) text.transform(changes);
    return check_normalized_size(text.text().size(), limits);
  }

 private:
  // The replacement of the shortest key that the text starts with.
  std::optional<std::string_view> find(std::string_view text) const {
    size_t node = offset(trie_[0]);
    for (const char byte : text) {
      const auto label = static_cast<unsigned char>(byte);
      if (label == 0) break;
      node ^= label;
      if (node >= trie_.size() || (trie_[node] & 0x800000ff) != label) return std::nullopt;
      const uint32_t unit = trie_[node];
      node ^= offset(unit);
      if (!(unit >> 8 & 1)) continue;
      if (node >= trie_.size()) return std::nullopt;
      const size_t start = trie_[node] & 0x7fffffff;
      if (start > replacements_.size() || (start < replacements_.size() && (replacements_[start] & 0xc0) == 0x80)) return std::nullopt;
      return std::string_view(replacements_).substr(start, replacements_.find('\0', start) - start);
    }
    return std::nullopt;
  }

  static size_t offset(uint32_t unit) { return size_t{unit >> 10} << ((unit & 0x200) >> 6); }

  // Code points take the places of the old ones one by one; further ones are inserted after them. Old ones that are left
  // over are removed with the last change, whatever it was before, and stay where there is none: so does Hugging Face's.
  static void replace(std::string_view old, std::string_view replacement, std::vector<Change>& changes) {
    const auto count = [](std::string_view text) {
      return static_cast<int32_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
    };
    int32_t left = count(old);
    for (size_t i = 0; i < replacement.size();) {
      const CodePoint c = decode_at(replacement, i);
      changes.push_back({c.value, left > 0 ? 0 : 1});
      --left;
      i += c.bytes;
    }
    if (left > 0 && !changes.empty()) changes.back().change -= left;
  }

  std::vector<uint32_t> trie_;
  std::string replacements_;
};

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = i >= text.size() - padding ? 'A' : text[i];
    const int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (i % 4 != 3) continue;
    out += static_cast<char>(bits >> 16 & 0xff);
    out += static_cast<char>(bits >> 8 & 0xff);
    out += static_cast<char>(bits & 0xff);
  }
  out.resize(out.size() - padding);
  return out;
}

}  // namespace

Result<std::unique_ptr<Normalizer>> parse_precompiled(const Fields& fields) {
  const std::string where = fields.path("precompiled_charsmap");
  CAMEO_ASSIGN(const std::string encoded, fields.string("precompiled_charsmap"));
  const auto bytes = decode_base64(encoded);
  if (!bytes) return invalid(where, "is not base64");
  const auto unit = [&](size_t i) {
    const auto byte = [&](size_t k) { return uint32_t{static_cast<unsigned char>((*bytes)[i * 4 + k])}; };
    return byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
  };
  const size_t units = bytes->size() < 4 ? 0 : unit(0) / 4;
  if (units == 0 || units > (bytes->size() - 4) / 4) return invalid(where, "does not hold the trie that it announces");
  std::vector<uint32_t> trie(units);
  for (size_t i = 0; i < units; ++i) trie[i] = unit(i + 1);
  std::string replacements = bytes->substr(4 + units * 4);
  if (find_invalid_utf8(replacements) != std::string::npos) return invalid(where, "has replacements that are not UTF-8");
  return std::make_unique<Precompiled>(std::move(trie), std::move(replacements));
}

}  // namespace cameo::tokenizer
