// Unicode normalization forms. utf8proc has the data; reordering is our own, because utf8proc's takes quadratic time on
// a long run of combining marks.
#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "tokenizer/unicode.h"

namespace cameo::tokenizer {
namespace {

int combining_class(int32_t c) { return utf8proc_get_property(c)->combining_class; }

// Sorts each run of combining marks by class, keeping the order of equals.
void reorder(std::vector<int32_t>& text) {
  for (size_t i = 0; i < text.size();) {
    if (combining_class(text[i]) == 0) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    while (end < text.size() && combining_class(text[end]) != 0) ++end;
    std::stable_sort(text.begin() + static_cast<ptrdiff_t>(i), text.begin() + static_cast<ptrdiff_t>(end),
                     [](int32_t a, int32_t b) { return combining_class(a) < combining_class(b); });
    i = end;
  }
}

// Ends a stretch of text that normalizes by itself: reorders, composes, appends it as UTF-8 and clears it.
void flush(std::vector<int32_t>& text, bool compose, std::string& out) {
  reorder(text);
  size_t size = text.size();
  if (compose && size > 1) {
    size = static_cast<size_t>(utf8proc_normalize_utf32(text.data(), static_cast<utf8proc_ssize_t>(size),
                                                        static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE)));
  }
  for (size_t i = 0; i < size; ++i) append_utf8(out, static_cast<uint32_t>(text[i]));
  text.clear();
}

}  // namespace

Result<std::string> normalize(std::string_view text, NormalizationForm form, size_t max_bytes) {
  const bool compose = form == NormalizationForm::kNfc || form == NormalizationForm::kNfkc;
  const bool compatibility = form == NormalizationForm::kNfkc || form == NormalizationForm::kNfkd;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatibility ? UTF8PROC_COMPAT : 0));
  const CodePointSet& inert = normalization_inert();
  std::string out;
  out.reserve(text.size());
  std::vector<int32_t> pending;
  for (size_t at = 0; at < text.size();) {
    // Every code point below U+00A0 decomposes to itself, and two in a row never compose.
    if (pending.empty()) {
      size_t end = at;
      while (end < text.size() && static_cast<unsigned char>(text[end]) < 0x80) ++end;
      if (end - at > 1) {
        out.append(text, at, end - at - 1);
        at = end - 1;
      }
    }
    const CodePoint c = decode_at(text, at);
    at += c.bytes;
    if (inert.contains(c.value)) {
      flush(pending, compose, out);
      append_utf8(out, c.value);
    } else {
      constexpr size_t kLongest = 32;  // the longest decomposition, of U+FDFA, has 18 code points
      int32_t decomposed[kLongest];
      int boundary = 0;
      const auto count = utf8proc_decompose_char(static_cast<int32_t>(c.value), decomposed, kLongest, options, &boundary);
      if (count < 0 || static_cast<size_t>(count) > kLongest) {
        return error(ErrorCode::kInternal, "U+{:04X} cannot be decomposed: {}", c.value, utf8proc_errmsg(count));
      }
      // An ASCII character after text never composes with what is before it.
      if (c.value < 0x80) flush(pending, compose, out);
      pending.insert(pending.end(), decomposed, decomposed + count);
    }
    if (out.size() > max_bytes) break;
  }
  flush(pending, compose, out);
  if (out.size() > max_bytes) {
    return error(ErrorCode::kInvalidInput, "the normalized text is longer than {} bytes", max_bytes);
  }
  return out;
}

}  // namespace cameo::tokenizer
