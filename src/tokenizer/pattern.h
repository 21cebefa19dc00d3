// What Split and Replace look for, and how a text is split at it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/json_fields.h"
#include "tokenizer/limits.h"
#include "tokenizer/regex.h"

namespace cameo::tokenizer {

// {"String": "…"} or {"Regex": "…"}.
class Pattern {
 public:
  static Result<Pattern> parse(const Fields& fields, std::string_view key);

  // All matches from left to right, without overlap.
  Result<std::vector<Span>> find_all(std::string_view text, Limits& limits) const;

 private:
  std::string literal_;
  std::optional<Regex> regex_;
};

// What becomes of the matches when a text is split at them.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

Result<SplitBehavior> parse_split_behavior(const Fields& fields, std::string_view key);

// The pieces of a text of `size` bytes that has these matches. With invert, what is between the matches is taken for
// the matches. Pieces may be empty.
std::vector<Span> split_at(size_t size, const std::vector<Span>& matches, SplitBehavior behavior, bool invert);

}  // namespace cameo::tokenizer
