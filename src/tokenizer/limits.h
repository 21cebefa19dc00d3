// What one call of encode or decode may use, so that no file and no text can make it run or grow without end.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cameo::tokenizer {

struct Limits {
  size_t max_bytes;      // of the text, whatever a stage makes of it
  uint64_t regex_steps;  // left for all searches with regular expressions together

  static Limits for_text(size_t bytes) { return {bytes * 64 + (size_t{1} << 20), uint64_t{50'000'000} + uint64_t{400} * bytes}; }
};

}  // namespace cameo::tokenizer
