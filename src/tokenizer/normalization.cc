// Unicode normalization forms, as the crate unicode-normalization-alignments gives them: with the change that each code
// point of the result stands for, which decides offsets. utf8proc has the data; reordering and composition are our own,
// because of those changes, and because utf8proc's take quadratic time on a long run of combining marks.
#include <utf8proc.h>

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "tokenizer/aligned_text.h"
#include "tokenizer/normalizer.h"

namespace cameo::tokenizer {
namespace {

constexpr size_t kLongest = 32;  // the longest decomposition, of U+FDFA, has 18 code points

int combining_class(uint32_t c) { return utf8proc_get_property(static_cast<int32_t>(c))->combining_class; }

size_t decompose(uint32_t c, bool compatibility, int32_t (&out)[kLongest]) {
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatibility ? UTF8PROC_COMPAT : 0));
  int boundary = 0;
  const auto count = utf8proc_decompose_char(static_cast<int32_t>(c), out, kLongest, options, &boundary);
  if (count >= 1 && static_cast<size_t>(count) <= kLongest) return static_cast<size_t>(count);
  out[0] = static_cast<int32_t>(c);
  return 1;
}

// What normalization needs to know of every code point, asked from utf8proc once.
struct Data {
  CodePointSet decomposes, decomposes_compatibly;
  CodePointSet combines;  // a class other than 0
  CodePointSet second;    // may be the second of two that compose
  std::unordered_map<uint64_t, uint32_t> composed;

  Data() {
    constexpr uint32_t kHangul = 0xac00, kHangulEnd = 0xd7a4;
    const CodePointSet& inert = normalization_inert();
    CodePointRanges canonical, compatible, combining, seconds;
    const auto add = [](CodePointRanges& ranges, uint32_t c) {
      if (!ranges.empty() && ranges.back().last + 1 == c) {
        ranges.back().last = c;
      } else {
        ranges.push_back({c, c});
      }
    };
    for (uint32_t c = 0x80; c <= kMaxCodePoint; ++c) {
      if (c == 0xd800) c = 0xe000;
      if (c == 0x30000) c = 0xe0000;  // nothing is assigned between that would change
      if (c == 0xe0200) break;
      if (inert.contains(c)) continue;
      if (combining_class(c) != 0) add(combining, c);
      int32_t parts[kLongest];
      const size_t count = decompose(c, false, parts);
      const bool changes = count != 1 || static_cast<uint32_t>(parts[0]) != c;
      if (changes) add(canonical, c);
      int32_t more[kLongest];
      if (decompose(c, true, more) != 1 || static_cast<uint32_t>(more[0]) != c) add(compatible, c);
      if (!changes || count < 2 || (c >= kHangul && c < kHangulEnd)) continue;
      // The last code point composes with what the others compose to, unless c is excluded from composition.
      int32_t whole[kLongest];
      std::copy_n(parts, count, whole);
      const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
      if (utf8proc_normalize_utf32(whole, static_cast<utf8proc_ssize_t>(count), options) != 1 || static_cast<uint32_t>(whole[0]) != c)
        continue;
      std::copy_n(parts, count, whole);
      if (utf8proc_normalize_utf32(whole, static_cast<utf8proc_ssize_t>(count - 1), options) != 1) continue;
      const auto last = static_cast<uint32_t>(parts[count - 1]);
      composed[uint64_t{static_cast<uint32_t>(whole[0])} << 32 | last] = c;
      seconds.push_back({last, last});
    }
    decomposes = CodePointSet(std::move(canonical));
    decomposes_compatibly = CodePointSet(std::move(compatible));
    combines = CodePointSet(std::move(combining));
    seconds.push_back({0x1161, 0x1175});  // vowels and final consonants of Hangul
    seconds.push_back({0x11a8, 0x11c2});
    second = CodePointSet(std::move(seconds));
  }

  static const Data& get() {
    static const Data data;
    return data;
  }

  // The code point that two compose to, or 0.
  uint32_t compose(uint32_t a, uint32_t b) const {
    if (!second.contains(b)) return 0;
    if (a - 0x1100u < 19 && b - 0x1161u < 21) return 0xac00 + ((a - 0x1100) * 21 + (b - 0x1161)) * 28;
    if (a - 0xac00u < 11172 && (a - 0xac00) % 28 == 0 && b - 0x11a8u < 27) return a + (b - 0x11a7);
    const auto it = composed.find(uint64_t{a} << 32 | b);
    return it == composed.end() ? 0 : it->second;
  }
};

struct Character {
  uint32_t value;
  int32_t change;
  uint8_t combining_class;
};

// Splits the text into the code points of its decomposition, marks in canonical order.
std::vector<Character> decompose(std::string_view text, bool compatibility) {
  const Data& data = Data::get();
  const CodePointSet& changed = compatibility ? data.decomposes_compatibly : data.decomposes;
  std::vector<Character> out;
  out.reserve(text.size());
  size_t sorted = 0;  // where the run of marks at the end begins
  const auto sort_marks = [&] {
    if (out.size() > sorted + 1) {
      std::stable_sort(out.begin() + static_cast<ptrdiff_t>(sorted), out.end(),
                       [](const Character& a, const Character& b) { return a.combining_class < b.combining_class; });
    }
  };
  const auto add = [&](uint32_t c, int32_t change) {
    const bool mark = c >= 0x80 && data.combines.contains(c);
    if (!mark) sort_marks();
    out.push_back({c, change, static_cast<uint8_t>(mark ? combining_class(c) : 0)});
    if (!mark) sorted = out.size();
  };
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_at(text, at);
    at += c.bytes;
    if (c.value < 0x80 || !changed.contains(c.value)) {
      add(c.value, 0);
      continue;
    }
    int32_t parts[kLongest];
    const size_t count = decompose(c.value, compatibility, parts);
    for (size_t i = 0; i < count; ++i) add(static_cast<uint32_t>(parts[i]), i > 0);
  }
  sort_marks();
  return out;
}

// Joins each starter with the marks and letters after it that it composes with. What is joined to a code point adds to its
// change, so that it stands for all of them.
std::vector<Change> compose(const std::vector<Character>& text) {
  const Data& data = Data::get();
  std::vector<Change> out;
  out.reserve(text.size());
  constexpr size_t kNone = SIZE_MAX;
  size_t starter = kNone;  // its place in `out`
  int last_class = -1;     // of the last code point after the starter that was not joined
  for (const Character& c : text) {
    if (starter != kNone && (last_class < 0 || last_class < c.combining_class)) {
      if (const uint32_t joined = data.compose(out[starter].code_point, c.value)) {
        out[starter] = {joined, out[starter].change + c.change - 1};
        continue;
      }
    }
    if (c.combining_class == 0) {
      starter = out.size();
      last_class = -1;
    } else if (starter != kNone) {
      last_class = c.combining_class;
    }
    out.push_back({c.value, c.change});
  }
  return out;
}

}  // namespace

void normalize(AlignedText& text, NormalizationForm form) {
  if (std::ranges::all_of(text.text(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) return;
  const std::vector<Character> decomposed = decompose(text.text(), form == NormalizationForm::kNfkc || form == NormalizationForm::kNfkd);
  if (form == NormalizationForm::kNfc || form == NormalizationForm::kNfkc) {
    text.transform(compose(decomposed));
    return;
  }
  std::vector<Change> changes;
  changes.reserve(decomposed.size());
  for (const Character& c : decomposed) changes.push_back({c.value, c.change});
  text.transform(changes);
}

}  // namespace cameo::tokenizer
