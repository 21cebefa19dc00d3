#include "tokenizer/unicode.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

namespace cameo::tokenizer {
namespace {

// Sets are [gap, count, gap, count, …]: gap code points outside, then count inside, from 0 on.
using EncodedSet = std::span<const uint32_t>;

struct NamedSet {
  std::string_view name;
  EncodedSet set;
};

// to_lowercase(c) = c + difference for c = first, first + step, …, last.
struct LowercaseRun {
  uint32_t first;
  uint32_t last;
  uint32_t step;
  int32_t difference;
};

struct ScriptRun {
  uint32_t first;
  uint32_t last;
  int16_t script;
};

#include "tokenizer/unicode_tables.inc"

CodePointRanges decode_set(EncodedSet encoded) {
  CodePointRanges ranges;
  uint32_t at = 0;
  for (size_t i = 0; i + 1 < encoded.size(); i += 2) {
    at += encoded[i];
    ranges.push_back({at, at + encoded[i + 1] - 1});
    at += encoded[i + 1];
  }
  return ranges;
}

const NamedSet* find_named(std::string_view name) {
  const auto* it = std::ranges::find(kNamedSets, name, &NamedSet::name);
  return it == std::end(kNamedSets) ? nullptr : it;
}

// The length of the well-formed sequence at the start, or 0; `consumed` is what an ill-formed one takes.
size_t sequence_length(std::string_view bytes, size_t& consumed) {
  const auto at = [&](size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u; };
  const auto between = [&](size_t i, unsigned low, unsigned high) { return at(i) >= low && at(i) <= high; };
  const unsigned lead = at(0);
  consumed = 1;
  if (lead < 0x80) return 1;
  size_t length = 0;
  unsigned low = 0x80, high = 0xbf;  // of the second byte: no overlong forms, surrogates or values past U+10FFFF
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (!between(1, low, high)) return 0;
  for (consumed = 2; consumed < length; ++consumed) {
    if (!between(consumed, 0x80, 0xbf)) return 0;
  }
  return length;
}

}  // namespace

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    const char bytes[] = {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
    out.append(bytes, 2);
  } else if (c < 0x10000) {
    const char bytes[] = {static_cast<char>(0xe0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3f)),
                          static_cast<char>(0x80 | (c & 0x3f))};
    out.append(bytes, 3);
  } else {
    const char bytes[] = {static_cast<char>(0xf0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3f)),
                          static_cast<char>(0x80 | (c >> 6 & 0x3f)), static_cast<char>(0x80 | (c & 0x3f))};
    out.append(bytes, 4);
  }
}

size_t find_invalid_utf8(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    if (static_cast<unsigned char>(bytes[at]) < 0x80) {
      ++at;
      continue;
    }
    size_t consumed = 0;
    const size_t length = sequence_length(bytes.substr(at), consumed);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    size_t consumed = 0;
    const size_t length = sequence_length(bytes.substr(at), consumed);
    if (length > 0) {
      out.append(bytes, at, length);
      at += length;
    } else {
      out += "\xef\xbf\xbd";
      at += consumed;
    }
  }
  return out;
}

CodePointRanges normalized_ranges(CodePointRanges ranges) {
  std::ranges::sort(ranges, {}, &CodePointRange::first);
  CodePointRanges out;
  for (const CodePointRange& range : ranges) {
    if (!out.empty() && range.first <= out.back().last + 1) {
      out.back().last = std::max(out.back().last, range.last);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

CodePointRanges complement(const CodePointRanges& ranges) {
  CodePointRanges out;
  uint32_t next = 0;
  for (const CodePointRange& range : ranges) {
    if (range.first > next) out.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kMaxCodePoint) out.push_back({next, kMaxCodePoint});
  return out;
}

CodePointRanges intersection(const CodePointRanges& a, const CodePointRanges& b) {
  CodePointRanges out;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const uint32_t first = std::max(a[i].first, b[j].first);
    const uint32_t last = std::min(a[i].last, b[j].last);
    if (first <= last) out.push_back({first, last});
    a[i].last < b[j].last ? ++i : ++j;
  }
  return out;
}

CodePointRanges union_of(const CodePointRanges& a, const CodePointRanges& b) {
  CodePointRanges out = a;
  out.insert(out.end(), b.begin(), b.end());
  return normalized_ranges(std::move(out));
}

CodePointSet::CodePointSet(CodePointRanges ranges) : ranges_(normalized_ranges(std::move(ranges))) {
  constexpr size_t kSmall = 16;  // up to so many ranges a binary search needs no pages
  for (const CodePointRange& range : ranges_) {
    for (uint32_t c = range.first; c <= std::min(range.last, 255u); ++c) low_[c >> 6] |= uint64_t{1} << (c & 63);
  }
  if (ranges_.size() <= kSmall) return;
  pages_.reserve((kMaxCodePoint + 1) >> 8);
  size_t r = 0;
  for (uint32_t base = 0; base <= kMaxCodePoint; base += 256) {
    std::array<uint64_t, 4> page{};
    while (r < ranges_.size() && ranges_[r].last < base) ++r;
    for (size_t i = r; i < ranges_.size() && ranges_[i].first <= base + 255; ++i) {
      const uint32_t last = std::min(ranges_[i].last, base + 255);
      for (uint32_t c = std::max(ranges_[i].first, base); c <= last; ++c) page[(c >> 6) & 3] |= uint64_t{1} << (c & 63);
    }
    size_t number = 0;
    const size_t count = bits_.size() / 4;
    while (number < count && !std::equal(page.begin(), page.end(), bits_.begin() + static_cast<ptrdiff_t>(number * 4))) ++number;
    if (number == count) bits_.insert(bits_.end(), page.begin(), page.end());
    pages_.push_back(static_cast<uint16_t>(number));
  }
}

bool CodePointSet::in_ranges(uint32_t c) const {
  const auto it = std::ranges::upper_bound(ranges_, c, {}, &CodePointRange::first);
  return it != ranges_.begin() && c <= std::prev(it)->last;
}

const CodePointSet& whitespace() {
  static const CodePointSet set(decode_set(kSpace));
  return set;
}

const CodePointSet& numeric() {
  static const CodePointSet set(decode_set(kRustNumeric));
  return set;
}

const CodePointSet& punctuation() {
  static const CodePointSet set(decode_set(kPunctuation));
  return set;
}

const CodePointSet& regex_word() {
  static const CodePointSet set(decode_set(kRegexWord));
  return set;
}

const CodePointSet& onig_word() {
  static const CodePointSet set(decode_set(kOnigWord));
  return set;
}

bool find_property(std::string_view name, CodePointRanges& ranges) {
  struct Alias {
    std::string_view name, short_name;
  };
  static constexpr Alias kAliases[] = {
      {"letter", "l"},
      {"uppercaseletter", "lu"},
      {"lowercaseletter", "ll"},
      {"titlecaseletter", "lt"},
      {"modifierletter", "lm"},
      {"otherletter", "lo"},
      {"mark", "m"},
      {"combiningmark", "m"},
      {"nonspacingmark", "mn"},
      {"spacingmark", "mc"},
      {"enclosingmark", "me"},
      {"number", "n"},
      {"decimalnumber", "nd"},
      {"letternumber", "nl"},
      {"othernumber", "no"},
      {"punctuation", "p"},
      {"punct", "p"},
      {"dashpunctuation", "pd"},
      {"connectorpunctuation", "pc"},
      {"openpunctuation", "ps"},
      {"closepunctuation", "pe"},
      {"initialpunctuation", "pi"},
      {"finalpunctuation", "pf"},
      {"otherpunctuation", "po"},
      {"symbol", "s"},
      {"mathsymbol", "sm"},
      {"currencysymbol", "sc"},
      {"modifiersymbol", "sk"},
      {"othersymbol", "so"},
      {"separator", "z"},
      {"spaceseparator", "zs"},
      {"lineseparator", "zl"},
      {"paragraphseparator", "zp"},
      {"control", "cc"},
      {"format", "cf"},
      {"privateuse", "co"},
  };
  if (const auto* alias = std::ranges::find(kAliases, name, &Alias::name); alias != std::end(kAliases)) name = alias->short_name;
  if (const NamedSet* set = find_named(name)) {
    ranges = decode_set(set->set);
    return true;
  }
  if (name.size() != 1 || std::string_view("lmnpsz").find(name[0]) == std::string_view::npos) return false;
  CodePointRanges all;
  for (const NamedSet& set : kNamedSets) {
    if (set.name.size() != 2 || set.name[0] != name[0]) continue;
    const CodePointRanges part = decode_set(set.set);
    all.insert(all.end(), part.begin(), part.end());
  }
  ranges = normalized_ranges(std::move(all));
  return true;
}

const Gpt2Class* gpt2_classes() {
  static const std::vector<Gpt2Class> table = [] {
    std::vector<Gpt2Class> classes(kMaxCodePoint + 1, Gpt2Class::kOther);
    const auto mark = [&](const CodePointRanges& ranges, Gpt2Class value) {
      for (const CodePointRange& r : ranges) std::fill_n(classes.begin() + r.first, r.last - r.first + 1, value);
    };
    CodePointRanges ranges;
    if (find_property("l", ranges)) mark(ranges, Gpt2Class::kLetter);
    if (find_property("n", ranges)) mark(ranges, Gpt2Class::kNumber);
    mark(whitespace().ranges(), Gpt2Class::kSpace);
    return classes;
  }();
  return table.data();
}

void append_lowercase(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return;
  }
  if (c == 0x130) {  // the only code point whose lower case is two: i and a dot above
    out += "i\xcc\x87";
    return;
  }
  const auto* run = std::ranges::upper_bound(kLowercaseRuns, c, {}, &LowercaseRun::first);
  if (run != std::begin(kLowercaseRuns)) {
    --run;
    if (c <= run->last && (c - run->first) % run->step == 0) c = static_cast<uint32_t>(static_cast<int32_t>(c) + run->difference);
  }
  append_utf8(out, c);
}

const CodePointSet& normalization_inert() {
  static const CodePointSet set(decode_set(kNormalizationInert));
  return set;
}

const CodePointSet& combining_mark() {
  static const CodePointSet set(decode_set(kCombiningMark));
  return set;
}

const CodePointSet& nonspacing_mark() {
  static const CodePointSet set(decode_set(kNonspacingMark));
  return set;
}

const CodePointSet& bert_control() {
  static const CodePointSet set(decode_set(kBertControl));
  return set;
}

const CodePointSet& grapheme_extend() {
  static const CodePointSet set(decode_set(kGraphemeExtend));
  return set;
}

int script_of(uint32_t c) {
  const auto* run = std::ranges::upper_bound(kScriptRuns, c, {}, &ScriptRun::first);
  if (run == std::begin(kScriptRuns)) return -1;
  --run;
  return c <= run->last ? run->script : -1;
}

}  // namespace cameo::tokenizer
