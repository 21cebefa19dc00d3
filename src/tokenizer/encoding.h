// Putting encodings together, cutting them and filling them up.
#pragma once

#include <vector>

#include "cameo/tokenizer.h"

namespace cameo::tokenizer {

// Appends the tokens of `more`. What overflows from both is combined as Hugging Face's tokenizers does: every part of one
// with the whole and every part of the other. An error where that would be more than can be meant.
Status append(Encoding& encoding, const Encoding& more);

// Cuts the encoding to so many tokens. With `overflow`, what is cut off goes into overflowing, in parts that share `stride`
// tokens, which must be fewer than `length` is.
Status truncate(Encoding& encoding, size_t length, const Truncation& truncation, bool overflow);

// Truncates one text or two to so many tokens together.
Status truncate(std::vector<Encoding>& texts, size_t length, const Truncation& truncation, bool overflow);

// Fills up encodings that are shorter than `length` tokens, and their overflowing parts.
Status pad(Encoding& encoding, size_t length, const Padding& padding, const EncodeOptions& options);
// The length that padding gives to a batch whose longest encoding has `longest` tokens.
size_t padded_length(size_t longest, const Padding& padding);

}  // namespace cameo::tokenizer
