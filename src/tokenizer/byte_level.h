// GPT-2's alphabet for bytes, and its pattern for words.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace cameo::tokenizer {

// The code point that stands for each byte: itself where it is printable in Latin-1, else 256, 257, … in turn.
const std::array<uint16_t, 256>& byte_level_alphabet();

// Appends the text of the bytes.
void append_byte_level(std::string& out, std::string_view bytes);

// The bytes of a byte's character in the alphabet, in UTF-8: 1 or 2.
inline size_t byte_level_size(char byte) { return byte > ' ' && byte <= '~' ? 1 : 2; }

// Appends the bytes that a token stands for; the token's own bytes if it has a character outside the alphabet.
void append_byte_level_decoded(std::string& out, std::string_view token);

// The end of the match of GPT-2's pattern
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// at `at` < text.size(), in valid UTF-8. The pattern matches everywhere, so the matches lie end to end.
size_t gpt2_word_end(std::string_view text, size_t at);

}  // namespace cameo::tokenizer
