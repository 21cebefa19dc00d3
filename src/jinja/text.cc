#include "jinja/text.h"

#include <fmt/core.h>
#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "tokenizer/unicode.h"

namespace cameo::jinja {
namespace {

using tokenizer::append_utf8;
using tokenizer::CodePoint;
using tokenizer::decode_at;
using tokenizer::decode_before;

utf8proc_category_t category(uint32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool is_space(uint32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}
bool is_letter(uint32_t c) { return category(c) >= UTF8PROC_CATEGORY_LU && category(c) <= UTF8PROC_CATEGORY_LO; }
bool is_upper_letter(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_LU || category(c) == UTF8PROC_CATEGORY_LT; }
bool is_lower_letter(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_LL; }

void append_upper(std::string& out, uint32_t c) {
  if (c == 0xdf)
    out += "SS";
  else
    append_utf8(out, static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}
void append_lower(std::string& out, uint32_t c) {
  append_utf8(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

template <class Fn>
void each(std::string_view text, Fn fn) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_at(text, at);
    fn(c.value);
    at += c.bytes;
  }
}

// Whether it holds for each of at least one character.
template <class Fn>
bool all(std::string_view text, Fn fn) {
  bool good = !text.empty();
  each(text, [&](uint32_t c) { good = good && fn(c); });
  return good;
}

}  // namespace

size_t length(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

size_t byte_of(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += decode_at(text, at).bytes;
  return at;
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> result;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = decode_at(text, at).bytes;
    result.push_back(text.substr(at, bytes));
    at += bytes;
  }
  return result;
}

std::string_view strip(std::string_view text, bool left, bool right) {
  while (left && !text.empty() && is_space(decode_at(text, 0).value)) text.remove_prefix(decode_at(text, 0).bytes);
  while (right && !text.empty() && is_space(decode_before(text, text.size()).value))
    text.remove_suffix(decode_before(text, text.size()).bytes);
  return text;
}

std::string_view strip(std::string_view text, std::string_view of, bool left, bool right) {
  const auto holds = [&](std::string_view c) { return of.find(c) != std::string_view::npos; };
  while (left && !text.empty() && holds(text.substr(0, decode_at(text, 0).bytes))) text.remove_prefix(decode_at(text, 0).bytes);
  while (right && !text.empty() && holds(text.substr(text.size() - decode_before(text, text.size()).bytes)))
    text.remove_suffix(decode_before(text, text.size()).bytes);
  return text;
}

std::string upper(std::string_view text) {
  std::string out;
  each(text, [&](uint32_t c) { append_upper(out, c); });
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  each(text, [&](uint32_t c) { append_lower(out, c); });
  return out;
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  const size_t first = decode_at(text, 0).bytes;
  return upper(text.substr(0, first)) + lower(text.substr(first));
}

std::string title(std::string_view text) {
  std::string out;
  bool within = false;
  each(text, [&](uint32_t c) {
    if (within)
      append_lower(out, c);
    else
      append_upper(out, c);
    within = is_letter(c);
  });
  return out;
}

bool is_upper(std::string_view text) {
  bool some = false;
  each(text, [&](uint32_t c) { some = some || is_upper_letter(c); });
  return some && all(text, [](uint32_t c) { return !is_lower_letter(c); });
}

bool is_lower(std::string_view text) {
  bool some = false;
  each(text, [&](uint32_t c) { some = some || is_lower_letter(c); });
  return some && all(text, [](uint32_t c) { return !is_upper_letter(c); });
}

bool is_alpha(std::string_view text) { return all(text, is_letter); }
bool is_digit(std::string_view text) {
  return all(text, [](uint32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; });
}
bool is_alnum(std::string_view text) {
  return all(text, [](uint32_t c) { return is_letter(c) || (category(c) >= UTF8PROC_CATEGORY_ND && category(c) <= UTF8PROC_CATEGORY_NO); });
}
bool is_white(std::string_view text) { return all(text, is_space); }

size_t find(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* at = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return at ? static_cast<size_t>(static_cast<const char*>(at) - text.data()) : std::string_view::npos;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t most) {
  std::string out;
  size_t at = 0;
  for (int64_t n = 0; most < 0 || n < most; ++n) {
    if (from.empty()) {  // between all characters
      out += to;
      if (at == text.size()) return out;
      const size_t bytes = decode_at(text, at).bytes;
      out.append(text.substr(at, bytes));
      at += bytes;
      continue;
    }
    const size_t next = find(text, from, at);
    if (next == std::string_view::npos) break;
    out.append(text.substr(at, next - at)).append(to);
    at = next + from.size();
  }
  return out.append(text.substr(at));
}

std::vector<std::string_view> split(std::string_view text, std::string_view by, int64_t most, bool from_right) {
  std::vector<size_t> places;
  for (size_t at = find(text, by); at != std::string_view::npos; at = find(text, by, at + by.size())) places.push_back(at);
  if (most >= 0 && places.size() > static_cast<size_t>(most)) {
    if (from_right)
      places.erase(places.begin(), places.end() - static_cast<ptrdiff_t>(most));
    else
      places.resize(static_cast<size_t>(most));
  }
  std::vector<std::string_view> parts;
  size_t at = 0;
  for (const size_t place : places) {
    parts.push_back(text.substr(at, place - at));
    at = place + by.size();
  }
  parts.push_back(text.substr(at));
  return parts;
}

std::vector<std::string_view> split_white(std::string_view text, int64_t most, bool from_right) {
  std::vector<std::string_view> parts;
  text = strip(text, !from_right, from_right);
  while (!text.empty()) {
    if (most >= 0 && static_cast<int64_t>(parts.size()) >= most) {
      parts.push_back(text);
      break;
    }
    size_t begin = 0, end = text.size();  // of the word
    if (from_right) {
      begin = end;
      while (begin > 0 && !is_space(decode_before(text, begin).value)) begin -= decode_before(text, begin).bytes;
    } else {
      end = 0;
      while (end < text.size() && !is_space(decode_at(text, end).value)) end += decode_at(text, end).bytes;
    }
    parts.push_back(text.substr(begin, end - begin));
    text = from_right ? strip(text.substr(0, begin), false, true) : strip(text.substr(end), true, false);
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_at(text, at);
    const uint32_t v = c.value;
    const bool ends = (v >= 10 && v <= 13) || (v >= 0x1c && v <= 0x1e) || v == 0x85 || v == 0x2028 || v == 0x2029;
    const size_t stop = at;
    at += c.bytes;
    if (!ends) continue;
    if (v == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (keep_ends ? at : stop) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[400];
  // The shortest digits that read back the same; Python writes an exponent below 1e-4 and from 1e16 on.
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string text(buffer, end);
  const int exponent = std::atoi(text.c_str() + text.find('e') + 1);
  if (exponent < -4 || exponent >= 16) return text;
  end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed).ptr;
  text.assign(buffer, end);
  return text.find('.') == std::string::npos ? text + ".0" : text;
}

std::string string_repr(std::string_view text) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  each(text, [&](uint32_t c) {
    if (c == static_cast<unsigned char>(quote) || c == '\\')
      out.append(1, '\\').append(1, static_cast<char>(c));
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (c != ' ' && (category(c) == UTF8PROC_CATEGORY_CN || category(c) >= UTF8PROC_CATEGORY_ZS))
      // Not printable: separators, controls, formats, private use, unassigned.
      out += c < 0x100 ? fmt::format("\\x{:02x}", c) : c < 0x10000 ? fmt::format("\\u{:04x}", c) : fmt::format("\\U{:08x}", c);
    else
      append_utf8(out, c);
  });
  return out += quote;
}

}  // namespace cameo::jinja
