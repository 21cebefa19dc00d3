#include "tokenizer/byte_level.h"

#include "tokenizer/unicode.h"

namespace cameo::tokenizer {
namespace {

// The reverse of the alphabet for the code points below 0x180; -1 where there is none.
const std::array<int16_t, 0x180>& byte_of_code_point() {
  static const auto table = [] {
    std::array<int16_t, 0x180> bytes;
    bytes.fill(-1);
    for (size_t b = 0; b < 256; ++b) bytes[byte_level_alphabet()[b]] = static_cast<int16_t>(b);
    return bytes;
  }();
  return table;
}

struct EncodedByte {
  char bytes[2];
  uint8_t size;
};

const std::array<EncodedByte, 256>& encoded_alphabet() {
  static const auto table = [] {
    std::array<EncodedByte, 256> encoded{};
    for (size_t b = 0; b < 256; ++b) {
      std::string text;
      append_utf8(text, byte_level_alphabet()[b]);
      encoded[b] = {{text[0], text.size() > 1 ? text[1] : '\0'}, static_cast<uint8_t>(text.size())};
    }
    return encoded;
  }();
  return table;
}

}  // namespace

const std::array<uint16_t, 256>& byte_level_alphabet() {
  static const auto table = [] {
    std::array<uint16_t, 256> alphabet{};
    uint16_t next = 256;
    for (uint16_t b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b != 0xad);
      alphabet[b] = printable ? b : next++;
    }
    return alphabet;
  }();
  return table;
}

void append_byte_level(std::string& out, std::string_view bytes) {
  const auto& alphabet = encoded_alphabet();
  const size_t start = out.size();
  out.resize(start + bytes.size() * 2);
  char* to = out.data() + start;
  for (const char b : bytes) {
    const EncodedByte& encoded = alphabet[static_cast<unsigned char>(b)];
    to[0] = encoded.bytes[0];
    to[1] = encoded.bytes[1];
    to += encoded.size;
  }
  out.resize(static_cast<size_t>(to - out.data()));
}

void append_byte_level_decoded(std::string& out, std::string_view token) {
  const auto& bytes = byte_of_code_point();
  const size_t start = out.size();
  for (size_t at = 0; at < token.size();) {
    const CodePoint c = decode_at(token, at);
    if (c.value >= bytes.size() || bytes[c.value] < 0) {
      out.resize(start);
      out += token;
      return;
    }
    out += static_cast<char>(bytes[c.value]);
    at += c.bytes;
  }
}

size_t gpt2_word_end(std::string_view text, size_t at) {
  static const Gpt2Class* const classes = gpt2_classes();
  const size_t size = text.size();
  const auto run_end = [&](size_t from, Gpt2Class wanted) {
    while (from < size) {
      const CodePoint c = decode_at(text, from);
      if (classes[c.value] != wanted) break;
      from += c.bytes;
    }
    return from;
  };
  if (text[at] == '\'' && at + 1 < size) {
    const char next = text[at + 1];
    if (next == 's' || next == 't' || next == 'm' || next == 'd') return at + 2;
    const std::string_view two = text.substr(at + 1, 2);
    if (two == "re" || two == "ve" || two == "ll") return at + 3;
  }
  size_t start = at;
  if (text[at] == ' ' && at + 1 < size) start = at + 1;
  const CodePoint first = decode_at(text, start);
  const Gpt2Class kind = classes[first.value];
  if (kind != Gpt2Class::kSpace) return run_end(start + first.bytes, kind);
  const size_t end = run_end(at, Gpt2Class::kSpace);
  // \s+(?!\S) leaves the last white space before a word to the word, unless it is the only one.
  if (end == size) return end;
  const size_t last = end - decode_before(text, end).bytes;
  return last > at ? last : end;
}

}  // namespace cameo::tokenizer
