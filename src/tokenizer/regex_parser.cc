#include "tokenizer/regex_parser.h"

#include <algorithm>
#include <string>

namespace cameo::tokenizer {
namespace {

using Node = std::unique_ptr<RegexNode>;
using Kind = RegexNode::Kind;

constexpr int kMaxDepth = 100;           // of groups and classes
constexpr uint32_t kMaxRepeat = 100000;  // Oniguruma's limit

Node make_node(Kind kind) {
  auto node = std::make_unique<RegexNode>();
  node->kind = kind;
  return node;
}

Node make_set(CodePointRanges ranges) {
  Node node = make_node(Kind::kSet);
  node->set = std::move(ranges);
  return node;
}

CodePointRanges single(uint32_t c) { return {{c, c}}; }

// What a literal matches where case is ignored: Unicode's simple case folding, of ASCII.
CodePointRanges ignoring_case(uint32_t c) {
  CodePointRanges ranges = single(c);
  const uint32_t lower = c | 0x20;
  if (lower < 'a' || lower > 'z') return ranges;
  ranges.push_back({c ^ 0x20, c ^ 0x20});
  if (lower == 's') ranges.push_back({0x17f, 0x17f});    // long s
  if (lower == 'k') ranges.push_back({0x212a, 0x212a});  // Kelvin sign
  return normalized_ranges(std::move(ranges));
}

bool ignores_case(const RegexNode& node) {
  return node.ignores_case || std::ranges::any_of(node.children, [](const Node& child) { return ignores_case(*child); });
}

int hex_value(uint32_t c) {
  if (c >= '0' && c <= '9') return static_cast<int>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<int>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<int>(c - 'A' + 10);
  return -1;
}

class Parser {
 public:
  explicit Parser(std::string_view pattern) : pattern_(pattern) {}

  Result<Node> parse() {
    CAMEO_ASSIGN(Node node, alternatives(0));
    if (at_ < pattern_.size()) return malformed("an unmatched ')'");
    return node;
  }

 private:
  struct Flags {
    bool ignore_case = false;
    bool dot_all = false;
  };

  bool done() const { return at_ >= pattern_.size(); }
  bool starts(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!starts(text)) return false;
    at_ += text.size();
    return true;
  }
  uint32_t next() {
    const CodePoint c = decode_at(pattern_, at_);
    at_ += c.bytes;
    return c.value;
  }

  Error malformed(std::string_view what) const {
    return error(ErrorCode::kInvalidModel, "the regular expression '{}' has {} at byte {}", shown(), what, at_);
  }
  Error unsupported(std::string_view what) const {
    return error(ErrorCode::kUnsupported, "the regular expression '{}' uses {} at byte {}, which is not supported", shown(), what, at_);
  }
  std::string shown() const { return pattern_.size() <= 200 ? std::string(pattern_) : to_valid_utf8(pattern_.substr(0, 197)) + "..."; }

  Result<Node> alternatives(int depth) {
    if (depth > kMaxDepth) return unsupported(fmt::format("more than {} nested groups", kMaxDepth));
    const Flags outer = flags_;
    Node all = make_node(Kind::kAlternatives);
    do {
      CAMEO_ASSIGN(Node branch, sequence(depth));
      all->children.push_back(std::move(branch));
      if (starts("|")) previous_ignored_case_ = 0;
    } while (take("|"));
    flags_ = outer;
    if (all->children.size() == 1) return std::move(all->children[0]);
    previous_ignored_case_ = 0;
    return all;
  }

  Result<Node> sequence(int depth) {
    Node all = make_node(Kind::kSequence);
    while (!done() && !starts("|") && !starts(")")) {
      bool repeatable = true;
      CAMEO_ASSIGN(Node item, atom(depth, repeatable));
      if (repeatable) {
        CAMEO_TRY(repeats(item));
      }
      if (item->kind != Kind::kEmpty) all->children.push_back(std::move(item));
    }
    return all;
  }

  Result<Node> assertion(Regex::Op op, bool negative = false) {
    Node node = make_node(Kind::kAssertion);
    node->assertion = op;
    node->negative = negative;
    return node;
  }

  // One item before its repeats.
  Result<Node> atom(int depth, bool& repeatable) {
    if (take("(")) return group(depth, repeatable);
    const uint32_t before = previous_ignored_case_;
    previous_ignored_case_ = 0;
    if (starts("[")) {
      if (flags_.ignore_case) return unsupported("a character class where case is ignored");
      ++at_;
      CAMEO_ASSIGN(CodePointRanges ranges, char_class(depth));
      return make_set(std::move(ranges));
    }
    if (take(".")) return make_set(flags_.dot_all ? complement({}) : complement(single('\n')));
    if (take("^")) return repeatable = false, assertion(Regex::Op::kLineStart);
    if (take("$")) return repeatable = false, assertion(Regex::Op::kLineEnd);
    if (starts("*") || starts("+") || starts("?")) return malformed("a repeat of nothing");
    if (starts("\\")) {
      const std::string_view two = pattern_.substr(at_, 2);
      const auto assert_here = [&](Regex::Op op, bool negative = false) {
        at_ += 2;
        repeatable = false;
        return assertion(op, negative);
      };
      if (two == "\\A") return assert_here(Regex::Op::kTextStart);
      if (two == "\\z") return assert_here(Regex::Op::kTextEnd);
      if (two == "\\Z") return assert_here(Regex::Op::kTextEndNewline);
      if (two == "\\b") return assert_here(Regex::Op::kWordBoundary);
      if (two == "\\B") return assert_here(Regex::Op::kWordBoundary, true);
      uint32_t literal = 0;
      CAMEO_ASSIGN(CodePointRanges ranges, escape(false, literal));
      if (!ranges.empty() && literal == kNotLiteral) {
        if (flags_.ignore_case) return unsupported("a set of characters where case is ignored");
        return make_set(std::move(ranges));
      }
      return literal_node(literal, before);
    }
    return literal_node(next(), before);
  }

  Result<Node> literal_node(uint32_t c, uint32_t before) {
    if (!flags_.ignore_case) return make_set(single(c));
    if (c >= 0x80) return unsupported("a character outside ASCII where case is ignored");
    // Oniguruma also takes one character for these two (ß for ss, ﬁ for fi, …).
    const uint32_t lower = c >= 'A' && c <= 'Z' ? c + 32 : c;
    static constexpr std::string_view kFolded[] = {"ss", "ff", "fi", "fl", "st"};
    const char pair[] = {static_cast<char>(before), static_cast<char>(lower)};
    if (before != 0 && std::ranges::find(kFolded, std::string_view(pair, 2)) != std::end(kFolded)) {
      return unsupported(fmt::format("'{}' where case is ignored", std::string_view(pair, 2)));
    }
    previous_ignored_case_ = lower;
    Node node = make_set(ignoring_case(c));
    node->ignores_case = true;
    return node;
  }

  Result<Node> group(int depth, bool& repeatable) {
    Node wrapper;
    if (take("?")) {
      if (take(":")) {
      } else if (take("=") || take("!")) {
        wrapper = make_node(Kind::kLookAhead);
        wrapper->negative = pattern_[at_ - 1] == '!';
      } else if (take("<=") || take("<!")) {
        wrapper = make_node(Kind::kLookBehind);
        wrapper->negative = pattern_[at_ - 1] == '!';
      } else if (take(">")) {
        wrapper = make_node(Kind::kAtomic);
      } else if (starts("<") || starts("'")) {
        const char close = next() == '<' ? '>' : '\'';
        const size_t end = pattern_.find(close, at_);
        if (end == std::string_view::npos || end == at_) return malformed("a group name without its end");
        at_ = end + 1;
      } else if (take("#")) {
        const size_t end = pattern_.find(')', at_);
        if (end == std::string_view::npos) return malformed("a comment without its ')'");
        at_ = end + 1;
        repeatable = false;
        return make_node(Kind::kEmpty);
      } else {
        return flag_group(depth, repeatable);
      }
    }
    CAMEO_ASSIGN(Node inner, alternatives(depth + 1));
    if (!take(")")) return malformed("a group without its ')'");
    if (!wrapper) return inner;
    previous_ignored_case_ = 0;
    wrapper->children.push_back(std::move(inner));
    return wrapper;
  }

  // (?i), (?m), (?im-x: … ): for the rest of the enclosing group, or for a group of their own.
  Result<Node> flag_group(int depth, bool& repeatable) {
    const Flags outer = flags_;
    bool on = true;
    while (!done() && !starts(")") && !starts(":")) {
      const uint32_t c = next();
      if (c == '-') {
        on = false;
      } else if (c == 'i') {
        flags_.ignore_case = on;
      } else if (c == 'm') {
        flags_.dot_all = on;
      } else if (on) {
        std::string name;
        append_utf8(name, c);
        return unsupported(fmt::format("the group '(?{}'", name));
      } else if (c != 'x') {
        return malformed("an unknown option");
      }
    }
    const bool scoped = take(":");
    if (!scoped && !take(")")) return malformed("a group without its ')'");
    CAMEO_ASSIGN(Node inner, alternatives(depth + 1));
    if (scoped && !take(")")) return malformed("a group without its ')'");
    flags_ = outer;
    // An option without a scope reaches to the end of its group, "|" included: a(?i)b|c is a(?i:b|c).
    repeatable = scoped;
    return inner;
  }

  static constexpr uint32_t kNotLiteral = UINT32_MAX;

  // What stands after a backslash: a literal, or a set with literal = kNotLiteral.
  Result<CodePointRanges> escape(bool in_class, uint32_t& literal) {
    ++at_;
    if (done()) return malformed("a '\\' at its end");
    const uint32_t c = next();
    literal = kNotLiteral;
    CodePointRanges ranges;
    switch (c) {
      case 's':
        return whitespace().ranges();
      case 'S':
        return complement(whitespace().ranges());
      case 'w':
        return onig_word().ranges();
      case 'W':
        return complement(onig_word().ranges());
      case 'd':
      case 'D':
        find_property("nd", ranges);
        return c == 'd' ? ranges : complement(ranges);
      case 'h':
      case 'H':
        ranges = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
        return c == 'h' ? ranges : complement(ranges);
      case 'p':
      case 'P':
        return property(c == 'P');
      case 'n':
        literal = '\n';
        break;
      case 't':
        literal = '\t';
        break;
      case 'r':
        literal = '\r';
        break;
      case 'f':
        literal = '\f';
        break;
      case 'v':
        literal = '\v';
        break;
      case 'a':
        literal = '\a';
        break;
      case 'e':
        literal = 0x1b;
        break;
      case 'u':
        return hexadecimal(4, 4, literal);
      case 'x':
        if (take("{")) {
          CAMEO_TRY(hexadecimal(1, 8, literal));
          if (!take("}")) return unsupported("\\x{...} with more than one code point");
          return ranges;
        }
        CAMEO_TRY(hexadecimal(1, 2, literal));
        // Oniguruma reads \x80 and above as a byte of UTF-8.
        if (literal >= 0x80) return unsupported("a byte above \\x7f");
        return ranges;
      default:
        if (in_class && c == 'b') {
          literal = '\b';
        } else if (c >= 0x80 || hex_value(c) >= 0 || (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z')) {
          std::string name;
          append_utf8(name, c);
          return unsupported(fmt::format("the escape '\\{}'", name));
        } else {
          literal = c;
        }
    }
    return ranges;
  }

  // Reads between least and most hexadecimal digits into the literal; the set stays empty.
  Result<CodePointRanges> hexadecimal(int least, int most, uint32_t& literal) {
    uint64_t value = 0;
    int digits = 0;
    while (digits < most && !done() && hex_value(static_cast<unsigned char>(pattern_[at_])) >= 0) {
      value = value * 16 + static_cast<uint64_t>(hex_value(static_cast<unsigned char>(pattern_[at_])));
      ++at_;
      ++digits;
    }
    if (digits < least) return malformed("an escape with too few hexadecimal digits");
    if (value > kMaxCodePoint || (value >= 0xd800 && value <= 0xdfff)) return malformed("an escape that is not a code point");
    literal = static_cast<uint32_t>(value);
    return CodePointRanges{};
  }

  Result<CodePointRanges> property(bool negative) {
    if (!take("{")) return unsupported("\\p without '{'");
    if (take("^")) negative = !negative;
    std::string name;
    while (!done() && !starts("}")) {
      const uint32_t c = next();
      if (c == ' ' || c == '_' || c == '-') continue;
      append_utf8(name, c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    if (!take("}")) return malformed("\\p{ without its '}'");
    CodePointRanges ranges;
    if (name.starts_with('\\') || name.starts_with('[') || !find_property(name, ranges)) {
      if (!find_property("[:" + name + ":]", ranges)) return unsupported(fmt::format("the property '{}'", name));
    }
    return negative ? complement(ranges) : ranges;
  }

  // After '[': up to and with its ']'.
  Result<CodePointRanges> char_class(int depth) {
    if (depth > kMaxDepth) return unsupported(fmt::format("more than {} nested classes", kMaxDepth));
    const bool negative = take("^");
    CodePointRanges all;  // of the parts that "&&" has joined
    bool joined = false;
    CodePointRanges current;  // of the part being read, not sorted
    uint32_t previous = kNotLiteral;
    const auto join = [&] {
      current = normalized_ranges(std::move(current));
      all = joined ? intersection(all, current) : std::move(current);
      joined = true;
      current.clear();
      previous = kNotLiteral;
    };
    for (bool first = true;; first = false) {
      if (done()) return malformed("a character class without its ']'");
      if (take("]")) {
        if (!first) break;
        return unsupported("a ']' as the first character of a class");
      }
      if (take("&&")) {
        join();
        continue;
      }
      CodePointRanges part;
      uint32_t literal = kNotLiteral;
      if (starts("[:")) {
        CAMEO_ASSIGN(part, posix_bracket());
      } else if (take("[")) {
        CAMEO_ASSIGN(part, char_class(depth + 1));
      } else if (starts("\\")) {
        CAMEO_ASSIGN(part, escape(true, literal));
      } else if (starts("-") && previous != kNotLiteral && !starts("-]") && !starts("-&&")) {
        ++at_;
        if (done()) return malformed("a character class without its ']'");
        uint32_t last = kNotLiteral;
        if (starts("[")) return unsupported("a range that ends with a class");
        if (starts("\\")) {
          CAMEO_TRY(escape(true, last));
        } else {
          last = next();
        }
        if (last == kNotLiteral) return unsupported("a range that ends with a set");
        if (last < previous) return malformed("a range whose end is before its start");
        current.push_back({previous, last});
        previous = kNotLiteral;
        if (starts("-") && !starts("-]")) return unsupported("a '-' after a range");
        continue;
      } else if (starts("-") && !first && previous == kNotLiteral && !starts("-]")) {
        return unsupported("a '-' after a set");
      } else {
        literal = next();
      }
      if (literal != kNotLiteral) part = single(literal);
      current.insert(current.end(), part.begin(), part.end());
      previous = literal;
    }
    join();
    return negative ? complement(all) : all;
  }

  Result<CodePointRanges> posix_bracket() {
    const size_t end = pattern_.find(":]", at_ + 2);
    if (end == std::string_view::npos) return unsupported("'[:' in a class");
    std::string name(pattern_.substr(at_, end + 2 - at_));
    const bool negative = name.size() > 2 && name[2] == '^';
    if (negative) name.erase(2, 1);
    CodePointRanges ranges;
    if (name.size() > 20 || !find_property(name, ranges)) return unsupported("an unknown '[:class:]'");
    at_ = end + 2;
    return negative ? complement(ranges) : ranges;
  }

  // Wraps the node in the repeats that follow it.
  Status repeats(Node& node) {
    if (done()) return {};
    uint32_t min = 0, max = Regex::kNoLimit;
    bool interval = false;
    if (take("*")) {
    } else if (take("+")) {
      min = 1;
    } else if (take("?")) {
      max = 1;
    } else if (starts("{")) {
      bool is_interval = false;
      CAMEO_TRY(read_interval(min, max, is_interval));
      if (!is_interval) return {};
      interval = true;
    } else {
      return {};
    }
    Regex::Mode mode = Regex::Mode::kGreedy;
    if (interval && (starts("?") || starts("+"))) {
      if (starts("+") || min == max) return unsupported("a '?' or '+' after {n}");
    }
    if (take("?")) {
      mode = Regex::Mode::kLazy;
    } else if (take("+")) {
      mode = Regex::Mode::kPossessive;
    }
    if (starts("*") || starts("+") || starts("?")) return unsupported("a repeat of a repeat");
    if (starts("{")) {
      const size_t here = at_;
      bool is_interval = false;
      uint32_t low = 0, high = 0;
      CAMEO_TRY(read_interval(low, high, is_interval));
      if (is_interval) return unsupported("a repeat of a repeat");
      at_ = here;
    }
    if (node->kind == Kind::kEmpty || node->kind == Kind::kLookAhead || node->kind == Kind::kLookBehind) {
      return unsupported("a repeat of an empty group or a look-around");
    }
    if (interval && ignores_case(*node)) return unsupported("a count of repeats where case is ignored");
    Node repeat = make_node(Kind::kRepeat);
    repeat->min = min;
    repeat->max = max;
    repeat->mode = mode;
    repeat->children.push_back(std::move(node));
    node = std::move(repeat);
    previous_ignored_case_ = 0;
    return {};
  }

  // {n}, {n,}, {,m}, {n,m}; anything else after '{' is a literal '{' and is left where it is.
  Status read_interval(uint32_t& min, uint32_t& max, bool& is_interval) {
    const size_t start = at_++;
    const auto number = [&](uint32_t& value) {
      const size_t first = at_;
      uint64_t n = 0;
      while (!done() && pattern_[at_] >= '0' && pattern_[at_] <= '9') {
        n = std::min<uint64_t>(n * 10 + static_cast<uint64_t>(pattern_[at_++] - '0'), kMaxRepeat + 1);
      }
      value = static_cast<uint32_t>(n);
      return at_ > first;
    };
    min = 0;
    max = Regex::kNoLimit;
    const bool has_min = number(min);
    bool has_max = false;
    if (take(",")) {
      has_max = number(max);
      if (!has_max) max = Regex::kNoLimit;
    } else {
      max = min;
    }
    is_interval = (has_min || has_max) && take("}");
    if (!is_interval) {
      at_ = start;
      return {};
    }
    if (min > kMaxRepeat || (has_max && max > kMaxRepeat)) return malformed("a repeat count above 100000");
    if (max < min) return unsupported("a repeat whose upper bound is below the lower one");
    return {};
  }

  std::string_view pattern_;
  size_t at_ = 0;
  Flags flags_;
  uint32_t previous_ignored_case_ = 0;  // the literal just before, in lower case, if its case was ignored; else 0
};

}  // namespace

Result<Node> parse_regex(std::string_view pattern) {
  if (pattern.size() > 1 << 16) {
    return error(ErrorCode::kUnsupported, "a regular expression of {} bytes is not supported (at most 65536)", pattern.size());
  }
  return Parser(pattern).parse();
}

}  // namespace cameo::tokenizer
