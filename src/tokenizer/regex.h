// The regular expressions of tokenizer.json: Oniguruma's Ruby syntax on UTF-8, with Oniguruma's own Unicode data.
//
// A pattern is parsed completely or refused by name of what is not known, so that it never means something else here
// than in Hugging Face's tokenizers. Known: literals and escapes, ".", classes with ranges, nesting, "&&" and "^",
// \p{...} and \P{...}, [:posix:], \s \S \w \W \d \D \h \H, groups (plain, (?:), named, atomic), (?i), (?m) and their
// scoped forms, look-ahead and look-behind, "|", greedy, lazy and possessive repeats, ^ $ \A \z \Z \b \B.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tokenizer/unicode.h"

namespace cameo::tokenizer {

// A part of a text, in bytes.
struct Span {
  size_t begin;
  size_t end;
};

class Regex {
 public:
  // Parses a pattern. Errors: kInvalidModel where it is malformed, kUnsupported where it uses what is not known.
  static Result<Regex> parse(std::string_view pattern);

  // All matches from left to right, as Oniguruma's bindings find them: after a match the search goes on at its end, and
  // an empty match right after a match is skipped. Text is valid UTF-8. Takes its steps off steps_left and gives an error
  // (kInvalidInput) when they are used up.
  Result<std::vector<Span>> find_all(std::string_view text, uint64_t& steps_left) const;

  // One step of the compiled program.
  enum class Op : uint8_t {
    kChar,            // code point a
    kSet,             // a member of set a
    kSplit,           // try a, then b
    kJump,            // to a
    kMatch,           // the end
    kRepeatSet,       // members of set a, between b and c of them, mode
    kLook,            // the program at the next instruction up to its kMatch; go on at a if it matched (b: if it did not)
    kLookBehind,      // like kLook, c code points back
    kAtomic,          // like kLook, and go on where it ended
    kLoopEnter,       // loop a: remember the position
    kLoopCheck,       // loop a: go on at b if nothing was read since
    kLineStart,       // ^
    kLineEnd,         // $
    kTextStart,       // \A
    kTextEnd,         // \z
    kTextEndNewline,  // \Z
    kWordBoundary,    // \b, or \B if a is 1
  };
  enum class Mode : uint8_t { kGreedy, kLazy, kPossessive };
  static constexpr uint32_t kNoLimit = UINT32_MAX;
  struct Instruction {
    Op op;
    Mode mode = Mode::kGreedy;
    uint32_t a = 0;
    uint32_t b = 0;
    uint32_t c = 0;
  };
  struct Program {
    std::vector<Instruction> code;
    std::vector<CodePointSet> sets;
    uint32_t loops = 0;
  };

 private:
  explicit Regex(std::shared_ptr<const Program> program) : program_(std::move(program)) {}

  std::shared_ptr<const Program> program_;
};

}  // namespace cameo::tokenizer
