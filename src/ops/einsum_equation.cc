#include "ops/einsum_equation.h"

#include <algorithm>

#include "base/error.h"

namespace cameo::ops {
namespace {

constexpr int kDots = -1;  // stands for an ellipsis until its rank is known

// The labels of a term, with kDots where the ellipsis is.
Result<std::vector<int>> parse_term(std::string_view term) {
  std::vector<int> labels;
  for (size_t i = 0; i < term.size(); ++i) {
    const char letter = term[i];
    if (letter >= 'A' && letter <= 'Z') {
      labels.push_back(letter - 'A');
    } else if (letter >= 'a' && letter <= 'z') {
      labels.push_back(26 + letter - 'a');
    } else if (term.substr(i, 3) == "...") {
      if (std::find(labels.begin(), labels.end(), kDots) != labels.end())
        return error(ErrorCode::kInvalidModel, "the term '{}' of the equation has more than one ellipsis", term);
      labels.push_back(kDots);
      i += 2;
    } else {
      return error(ErrorCode::kInvalidModel, "the term '{}' of the equation has the character '{}'; letters and ... are allowed", term,
                   letter);
    }
  }
  return labels;
}

// Replaces kDots by the last `rank` of the ellipsis' `longest` labels.
void expand(std::vector<int>& labels, size_t rank, size_t longest) {
  const auto dots = std::find(labels.begin(), labels.end(), kDots);
  if (dots == labels.end()) return;
  std::vector<int> axes;
  for (size_t i = longest - rank; i < longest; ++i) axes.push_back(EinsumEquation::kEllipsis + static_cast<int>(i));
  labels.insert(labels.erase(dots), axes.begin(), axes.end());
}

}  // namespace

Result<EinsumEquation> parse_einsum(const std::string& equation, const std::vector<size_t>& ranks) {
  std::string text = equation;
  std::erase(text, ' ');
  const size_t arrow = text.find("->");
  std::string_view left = std::string_view(text).substr(0, arrow);
  EinsumEquation parsed;
  while (true) {
    const size_t comma = left.find(',');
    CAMEO_ASSIGN(parsed.inputs.emplace_back(), parse_term(left.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    left.remove_prefix(comma + 1);
  }
  if (parsed.inputs.size() != ranks.size())
    return error(ErrorCode::kInvalidModel, "the equation '{}' has {} operands, but {} inputs are given", equation, parsed.inputs.size(),
                 ranks.size());
  size_t longest = 0;
  for (size_t i = 0; i < ranks.size(); ++i) {
    const auto& labels = parsed.inputs[i];
    const bool dots = std::find(labels.begin(), labels.end(), kDots) != labels.end();
    const size_t named = labels.size() - (dots ? 1 : 0);
    if (dots ? ranks[i] < named : ranks[i] != named)
      return error(ErrorCode::kInvalidModel, "operand {} of the equation '{}' has {}{} axes, but input {} has rank {}", i, equation,
                   dots ? "at least " : "", named, i, ranks[i]);
    if (dots) longest = std::max(longest, ranks[i] - named);
  }
  parsed.num_labels += static_cast<int>(longest);
  std::vector<int> seen(static_cast<size_t>(parsed.num_labels), 0);
  for (size_t i = 0; i < ranks.size(); ++i) {
    auto& labels = parsed.inputs[i];
    if (std::find(labels.begin(), labels.end(), kDots) != labels.end()) expand(labels, ranks[i] + 1 - labels.size(), longest);
    for (int label : labels) ++seen[static_cast<size_t>(label)];
  }
  if (arrow == std::string::npos) {
    for (size_t i = 0; i < longest; ++i) parsed.output.push_back(EinsumEquation::kEllipsis + static_cast<int>(i));
    for (int label = 0; label < EinsumEquation::kEllipsis; ++label)
      if (seen[static_cast<size_t>(label)] == 1) parsed.output.push_back(label);
    return parsed;
  }
  CAMEO_ASSIGN(parsed.output, parse_term(std::string_view(text).substr(arrow + 2)));
  expand(parsed.output, longest, longest);
  std::vector<char> used(seen.size(), 0);
  for (int label : parsed.output) {
    if (seen[static_cast<size_t>(label)] == 0 || used[static_cast<size_t>(label)]++)
      return error(ErrorCode::kInvalidModel, "an output axis of the equation '{}' {}", equation,
                   used[static_cast<size_t>(label)] > 1 ? "is named twice" : "is in no operand");
  }
  return parsed;
}

}  // namespace cameo::ops
