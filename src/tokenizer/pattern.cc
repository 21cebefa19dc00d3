#include "tokenizer/pattern.h"

#include <algorithm>

namespace cameo::tokenizer {

Result<Pattern> Pattern::parse(const Fields& fields, std::string_view key) {
  CAMEO_ASSIGN(const Json* value, fields.object(key));
  CAMEO_ASSIGN(const Fields inner, Fields::of(*value, fields.path(key)));
  Pattern pattern;
  if (value->size() == 1 && inner.has("String")) {
    CAMEO_ASSIGN(pattern.literal_, inner.string("String"));
    return pattern;
  }
  if (value->size() == 1 && inner.has("Regex")) {
    CAMEO_ASSIGN(const std::string text, inner.string("Regex"));
    auto regex = Regex::parse(text);
    if (!regex) return std::move(regex).error().in(inner.path("Regex"));
    pattern.regex_ = std::move(regex).value();
    return pattern;
  }
  return invalid(inner.where(), R"(must have one field, "String" or "Regex")");
}

Result<std::vector<Span>> Pattern::find_all(std::string_view text, Limits& limits) const {
  if (regex_) return regex_->find_all(text, limits.regex_steps);
  std::vector<Span> found;
  if (literal_.empty()) {  // matches before every character and at the end
    for (size_t at = 0; at <= text.size(); at += at < text.size() ? decode_at(text, at).bytes : 1) found.push_back({at, at});
    return found;
  }
  for (size_t at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, at + literal_.size())) {
    found.push_back({at, at + literal_.size()});
  }
  return found;
}

Result<SplitBehavior> parse_split_behavior(const Fields& fields, std::string_view key) {
  CAMEO_ASSIGN(const std::string name, fields.string(key));
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return invalid(fields.path(key), fmt::format("is '{}'; it must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
                                               name.substr(0, 100)));
}

std::vector<Span> split_at(size_t size, const std::vector<Span>& matches, SplitBehavior behavior, bool invert) {
  struct Part {
    Span span;
    bool match;
  };
  std::vector<Part> parts;
  parts.reserve(matches.size() * 2 + 1);
  size_t at = 0;
  for (const Span& match : matches) {
    if (match.begin > at) parts.push_back({{at, match.begin}, invert});
    parts.push_back({match, !invert});
    at = match.end;
  }
  if (at < size) parts.push_back({{at, size}, invert});

  std::vector<Span> pieces;
  bool previous_match = false;
  if (behavior == SplitBehavior::kMergedWithNext) {
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
      if (part->match && !previous_match && !pieces.empty()) {
        pieces.back().begin = part->span.begin;
      } else {
        pieces.push_back(part->span);
      }
      previous_match = part->match;
    }
    std::ranges::reverse(pieces);
    return pieces;
  }
  for (const Part& part : parts) {
    bool merge = false;
    switch (behavior) {
      case SplitBehavior::kRemoved:
        if (part.match) continue;
        break;
      case SplitBehavior::kContiguous:
        merge = part.match == previous_match;
        break;
      case SplitBehavior::kMergedWithPrevious:
        merge = part.match && !previous_match;
        break;
      default:
        break;
    }
    if (merge && !pieces.empty()) {
      pieces.back().end = part.span.end;
    } else {
      pieces.push_back(part.span);
    }
    previous_match = part.match;
  }
  return pieces;
}

}  // namespace cameo::tokenizer
