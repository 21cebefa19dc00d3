// Text of a template to tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace cameo::jinja {

enum class TokenKind { kText, kPrintBegin, kPrintEnd, kBlockBegin, kBlockEnd, kName, kString, kInteger, kFloat, kOperator, kEnd };

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;  // of strings the value
  int line = 0;
};

// The tokens of a template; white space is treated as with trim_blocks and lstrip_blocks, and a newline at the end of the
// template is dropped. Errors: kInvalidModel with the line.
Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace cameo::jinja
