// Code points, UTF-8, and the sets of code points that Hugging Face's tokenizers asks about.
//
// The sets come from unicode_tables.inc, which was asked from the PyPI package, because its parts follow different
// versions of Unicode and a token id changes where they differ.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace cameo::tokenizer {

constexpr uint32_t kMaxCodePoint = 0x10ffff;

// A decoded code point and the bytes it took.
struct CodePoint {
  uint32_t value;
  uint32_t bytes;
};

// Decodes the code point at `at`; text is valid UTF-8 and at < text.size().
inline CodePoint decode_at(std::string_view text, size_t at) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data()) + at;
  if (p[0] < 0x80) return {p[0], 1};
  if (p[0] < 0xe0) return {(p[0] & 0x1fu) << 6 | (p[1] & 0x3fu), 2};
  if (p[0] < 0xf0) return {(p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu), 3};
  return {(p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu), 4};
}

// The code point that ends at `end`; text is valid UTF-8 and 0 < end <= text.size().
inline CodePoint decode_before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return decode_at(text, at);
}

void append_utf8(std::string& out, uint32_t code_point);

// The offset of the first byte that is not part of a well-formed UTF-8 sequence, or npos.
size_t find_invalid_utf8(std::string_view bytes);

// Bytes as text, with U+FFFD for each maximal part of an ill-formed sequence (as Unicode 3.9 recommends and Rust does).
std::string to_valid_utf8(std::string_view bytes);

// A range of code points, both ends within.
struct CodePointRange {
  uint32_t first;
  uint32_t last;
};

// Sorted ranges that neither touch nor overlap.
using CodePointRanges = std::vector<CodePointRange>;

CodePointRanges normalized_ranges(CodePointRanges ranges);
CodePointRanges complement(const CodePointRanges& ranges);
CodePointRanges intersection(const CodePointRanges& a, const CodePointRanges& b);
CodePointRanges union_of(const CodePointRanges& a, const CodePointRanges& b);

// A set of code points with fast membership.
class CodePointSet {
 public:
  CodePointSet() = default;
  explicit CodePointSet(CodePointRanges ranges);

  bool contains(uint32_t c) const {
    if (c < 256) return (low_[c >> 6] >> (c & 63)) & 1;
    return pages_.empty() ? in_ranges(c) : (bits_[pages_[c >> 8] * 4 + ((c >> 6) & 3)] >> (c & 63)) & 1;
  }
  const CodePointRanges& ranges() const { return ranges_; }

 private:
  bool in_ranges(uint32_t c) const;

  uint64_t low_[4] = {};
  CodePointRanges ranges_;
  // For sets of many ranges: the number of the 256-bit page of each block of 256 code points, and the pages.
  std::vector<uint16_t> pages_;
  std::vector<uint64_t> bits_;
};

// White_Space: \s of both regex engines and Rust's char::is_whitespace.
const CodePointSet& whitespace();
// Rust's char::is_numeric: the general categories Nd, Nl and No.
const CodePointSet& numeric();
// What the pre-tokenizer Punctuation splits at.
const CodePointSet& punctuation();
// \w of Rust's crate regex.
const CodePointSet& regex_word();
// \w of Oniguruma.
const CodePointSet& onig_word();
// Oniguruma's \p{name} or [:name:]: a general category ("l", "lu", "letter"), a script ("han") or a POSIX class
// ("[:alpha:]"); lower case, without spaces, '_' and '-'. False if it is not known.
bool find_property(std::string_view name, CodePointRanges& ranges);

// The classes of GPT-2's pattern, by Oniguruma's data: one entry for each code point.
enum class Gpt2Class : uint8_t { kOther, kLetter, kNumber, kSpace };
const Gpt2Class* gpt2_classes();

// Appends Rust's char::to_lowercase of c.
void append_lowercase(std::string& out, uint32_t c);

// Code points that the crate unicode-normalization-alignments does not know (see the table).
const CodePointSet& normalization_inert();

// Combining marks; non-spacing marks; what BertNormalizer takes for a control character, U+0000 and U+FFFD among them.
const CodePointSet& combining_mark();
const CodePointSet& nonspacing_mark();
const CodePointSet& bert_control();

// What belongs to one grapheme cluster with a character before it.
const CodePointSet& grapheme_extend();

// The number of the script that the pre-tokenizer UnicodeScripts takes c for, or -1 where c goes with any.
int script_of(uint32_t c);

}  // namespace cameo::tokenizer
