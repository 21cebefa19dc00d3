// Turns tokens into text as they come.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cameo/tokenizer.h"

namespace cameo {

// Decodes the tokens of one row. What comes out is valid UTF-8 at every call: bytes of a character that is not complete
// wait for the next token. Pieces together are the text that follows the prompt.
class TextStream {
 public:
  // The last tokens of the prompt are the context that decoders look at: some drop the space at the beginning of a text.
  static Result<TextStream> create(const Tokenizer& tokenizer, std::span<const uint32_t> prompt);

  // The text that the token makes certain. A token that the tokenizer does not know adds none.
  Result<std::string> push(uint32_t token);
  // What still waits: U+FFFD for the bytes of a character that never was completed.
  Result<std::string> finish();

 private:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  Tokenizer tokenizer_;
  std::vector<uint32_t> window_;  // tokens whose text may still change, after some that give context
  size_t given_ = 0;              // bytes of the window's text that were given out
};

}  // namespace cameo
