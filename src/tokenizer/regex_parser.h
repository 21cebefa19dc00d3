// The syntax tree of a regular expression.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tokenizer/regex.h"

namespace cameo::tokenizer {

struct RegexNode {
  enum class Kind : uint8_t { kEmpty, kSet, kSequence, kAlternatives, kRepeat, kLookAhead, kLookBehind, kAtomic, kAssertion };
  Kind kind = Kind::kEmpty;
  bool negative = false;                    // of look-around
  Regex::Mode mode = Regex::Mode::kGreedy;  // of a repeat
  Regex::Op assertion = Regex::Op::kMatch;  // of an assertion; its operand is `negative`
  bool ignores_case = false;                // of a set that stands for a letter where case is ignored
  uint32_t min = 0, max = 0;                // of a repeat
  CodePointRanges set;                      // of a set: sorted
  std::vector<std::unique_ptr<RegexNode>> children;
};

// Parses a pattern; the errors are those of Regex::parse.
Result<std::unique_ptr<RegexNode>> parse_regex(std::string_view pattern);

}  // namespace cameo::tokenizer
