#include "pipelines/stop_strings.h"

#include <algorithm>
#include <utility>

namespace cameo {

StopStrings::StopStrings(std::span<const std::string> strings) {
  for (const std::string& s : strings) {
    Needle needle{s, std::vector<size_t>(s.size() + 1, 0)};
    for (size_t i = 1, k = 0; i < s.size(); ++i) {
      while (k > 0 && s[i] != s[k]) k = needle.fallback[k];
      k += s[i] == s[k];
      needle.fallback[i + 1] = k;
    }
    needles_.push_back(std::move(needle));
  }
}

std::string StopStrings::push(std::string_view text) {
  if (found_) return {};
  if (needles_.empty()) return std::string(text);
  for (const char c : text) {
    held_ += c;
    size_t longest = 0;
    for (Needle& n : needles_) {
      while (n.matched > 0 && n.text[n.matched] != c) n.matched = n.fallback[n.matched];
      n.matched += n.text[n.matched] == c;
      if (n.matched == n.text.size()) {
        found_ = true;
        longest = std::max(longest, n.matched);
      }
    }
    if (found_) {
      held_.resize(held_.size() - longest);
      return std::exchange(held_, {});
    }
  }
  size_t keep = 0;
  for (const Needle& n : needles_) keep = std::max(keep, n.matched);
  // A held part that begins within a character would leave half of one outside.
  size_t end = held_.size() - keep;
  while (end > 0 && end < held_.size() && (static_cast<unsigned char>(held_[end]) & 0xc0) == 0x80) --end;
  std::string out = held_.substr(0, end);
  held_.erase(0, end);
  return out;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

}  // namespace cameo
