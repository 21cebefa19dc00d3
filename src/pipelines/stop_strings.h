// Finds the strings that end a text while the text is still growing.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cameo {

// Text goes in as it is made and comes out once it is certain that no stop string begins in it. Time is linear in the text
// whatever the strings are: each keeps how much of it the end of the text matches (Knuth, Morris and Pratt, 1977).
class StopStrings {
 public:
  explicit StopStrings(std::span<const std::string> strings);

  // Adds text; gives what is now certain to be part of it. After a stop string was found nothing more comes out. Of several
  // that end at the same byte the one that begins first counts.
  std::string push(std::string_view text);
  // What was held back, at the end of the text.
  std::string finish();
  bool found() const { return found_; }

 private:
  struct Needle {
    std::string text;
    std::vector<size_t> fallback;  // by length matched: the next shorter prefix that is also a suffix
    size_t matched = 0;
  };
  std::vector<Needle> needles_;
  std::string held_;
  bool found_ = false;
};

}  // namespace cameo
