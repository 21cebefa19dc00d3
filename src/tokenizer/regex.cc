#include "tokenizer/regex.h"

#include <algorithm>
#include <optional>

#include "tokenizer/regex_parser.h"

namespace cameo::tokenizer {
namespace {

using Op = Regex::Op;
using Mode = Regex::Mode;
using Instruction = Regex::Instruction;
using Kind = RegexNode::Kind;

constexpr size_t kMaxInstructions = 20000;
constexpr size_t kMaxSets = 1000;

// The number of code points that every match of the node has, if there is one.
std::optional<uint32_t> fixed_length(const RegexNode& node) {
  switch (node.kind) {
    case Kind::kEmpty:
    case Kind::kLookAhead:
    case Kind::kLookBehind:
    case Kind::kAssertion:
      return 0;
    case Kind::kSet:
      return 1;
    case Kind::kAtomic:
      return fixed_length(*node.children[0]);
    case Kind::kSequence: {
      uint64_t sum = 0;
      for (const auto& child : node.children) {
        const auto length = fixed_length(*child);
        if (!length) return std::nullopt;
        sum += *length;
      }
      return sum <= 10000 ? std::optional<uint32_t>(static_cast<uint32_t>(sum)) : std::nullopt;
    }
    case Kind::kAlternatives: {
      const auto first = fixed_length(*node.children[0]);
      for (size_t i = 1; i < node.children.size(); ++i) {
        if (fixed_length(*node.children[i]) != first) return std::nullopt;
      }
      return first;
    }
    case Kind::kRepeat: {
      const auto length = fixed_length(*node.children[0]);
      if (!length || node.min != node.max || node.min > 10000 / std::max(*length, 1u)) return std::nullopt;
      return *length * node.min;
    }
  }
  return std::nullopt;
}

class Compiler {
 public:
  Result<Regex::Program> compile(const RegexNode& root) {
    CAMEO_TRY(emit(root));
    add({.op = Op::kMatch});
    CAMEO_TRY(check_size());
    return std::move(program_);
  }

 private:
  uint32_t here() const { return static_cast<uint32_t>(program_.code.size()); }
  uint32_t add(Instruction instruction) {
    program_.code.push_back(instruction);
    return here() - 1;
  }
  Instruction& at(uint32_t pc) { return program_.code[pc]; }

  Status check_size() const {
    if (program_.code.size() > kMaxInstructions || program_.sets.size() > kMaxSets) {
      return error(ErrorCode::kUnsupported, "the regular expression is too large (at most {} steps and {} sets)", kMaxInstructions,
                   kMaxSets);
    }
    return {};
  }

  uint32_t add_set(const CodePointRanges& ranges) {
    const auto same = [&](const CodePointSet& set) {
      return std::ranges::equal(set.ranges(), ranges, [](auto a, auto b) { return a.first == b.first && a.last == b.last; });
    };
    const auto it = std::ranges::find_if(program_.sets, same);
    if (it != program_.sets.end()) return static_cast<uint32_t>(it - program_.sets.begin());
    program_.sets.emplace_back(ranges);
    return static_cast<uint32_t>(program_.sets.size() - 1);
  }

  Status emit(const RegexNode& node) {
    CAMEO_TRY(check_size());
    switch (node.kind) {
      case Kind::kEmpty:
        break;
      case Kind::kSet:
        if (node.set.size() == 1 && node.set[0].first == node.set[0].last) {
          add({.op = Op::kChar, .a = node.set[0].first});
        } else {
          add({.op = Op::kSet, .a = add_set(node.set)});
        }
        break;
      case Kind::kSequence:
        for (const auto& child : node.children) CAMEO_TRY(emit(*child));
        break;
      case Kind::kAlternatives:
        CAMEO_TRY(emit_alternatives(node));
        break;
      case Kind::kRepeat:
        CAMEO_TRY(emit_repeat(node));
        break;
      case Kind::kAtomic:
        CAMEO_TRY(emit_nested({.op = Op::kAtomic}, *node.children[0]));
        break;
      case Kind::kLookAhead:
        CAMEO_TRY(emit_nested({.op = Op::kLook, .b = node.negative}, *node.children[0]));
        break;
      case Kind::kLookBehind:
        CAMEO_TRY(emit_look_behind(node));
        break;
      case Kind::kAssertion:
        add({.op = node.assertion, .a = node.negative});
        break;
    }
    return {};
  }

  Status emit_alternatives(const RegexNode& node) {
    std::vector<uint32_t> jumps;
    for (size_t i = 0; i + 1 < node.children.size(); ++i) {
      const uint32_t split = add({.op = Op::kSplit, .a = here() + 1});
      CAMEO_TRY(emit(*node.children[i]));
      jumps.push_back(add({.op = Op::kJump}));
      at(split).b = here();
    }
    CAMEO_TRY(emit(*node.children.back()));
    for (const uint32_t jump : jumps) at(jump).a = here();
    return {};
  }

  // The instruction, the node's program and its end; the instruction's a says where to go on.
  Status emit_nested(Instruction instruction, const RegexNode& node) {
    const uint32_t start = add(instruction);
    CAMEO_TRY(emit(node));
    add({.op = Op::kMatch});
    at(start).a = here();
    return {};
  }

  Status emit_look_behind(const RegexNode& node) {
    const RegexNode& body = *node.children[0];
    std::vector<const RegexNode*> branches;
    if (body.kind == Kind::kAlternatives) {
      for (const auto& child : body.children) branches.push_back(child.get());
    } else {
      branches.push_back(&body);
    }
    // One of them for (?<=…), none of them for (?<!…).
    std::vector<uint32_t> jumps;
    for (size_t i = 0; i < branches.size(); ++i) {
      const auto length = fixed_length(*branches[i]);
      if (!length) return error(ErrorCode::kUnsupported, "a look-behind of varying length in a regular expression is not supported");
      const bool more = !node.negative && i + 1 < branches.size();
      const uint32_t split = more ? add({.op = Op::kSplit, .a = here() + 1}) : 0;
      CAMEO_TRY(emit_nested({.op = Op::kLookBehind, .b = node.negative, .c = *length}, *branches[i]));
      if (!more) continue;
      jumps.push_back(add({.op = Op::kJump}));
      at(split).b = here();
    }
    for (const uint32_t jump : jumps) at(jump).a = here();
    return {};
  }

  Status emit_repeat(const RegexNode& node) {
    const RegexNode* body = node.children[0].get();
    while (body->kind == Kind::kSequence && body->children.size() == 1) body = body->children[0].get();
    if (body->kind == Kind::kSet) {
      add({.op = Op::kRepeatSet, .mode = node.mode, .a = add_set(body->set), .b = node.min, .c = node.max});
      return {};
    }
    if (node.mode == Mode::kPossessive) {
      const uint32_t start = add({.op = Op::kAtomic});
      CAMEO_TRY(emit_copies(*body, node.min, node.max, true));
      add({.op = Op::kMatch});
      at(start).a = here();
      return {};
    }
    return emit_copies(*body, node.min, node.max, node.mode == Mode::kGreedy);
  }

  Status emit_copies(const RegexNode& body, uint32_t min, uint32_t max, bool greedy) {
    for (uint32_t i = 0; i < min; ++i) {
      const uint32_t before = here();
      CAMEO_TRY(emit(body));
      CAMEO_TRY(check_size());
      if (here() == before) return {};  // nothing, any number of times
    }
    const auto add_split = [&] {  // into the body or past it, whose place is set later
      return add({.op = Op::kSplit, .a = here() + 1});
    };
    const auto end_split = [&](uint32_t split, uint32_t target) {
      at(split).b = target;
      if (!greedy) std::swap(at(split).a, at(split).b);
    };
    if (max == Regex::kNoLimit) {
      const uint32_t loop = program_.loops++;
      const uint32_t split = add_split();
      add({.op = Op::kLoopEnter, .a = loop});
      CAMEO_TRY(emit(body));
      const uint32_t check = add({.op = Op::kLoopCheck, .a = loop});
      add({.op = Op::kJump, .a = split});
      at(check).b = here();
      end_split(split, here());
      return {};
    }
    std::vector<uint32_t> splits;
    for (uint32_t i = min; i < max; ++i) {
      splits.push_back(add_split());
      CAMEO_TRY(emit(body));
      CAMEO_TRY(check_size());
    }
    for (const uint32_t split : splits) end_split(split, here());
    return {};
  }

  Regex::Program program_;
};

// Runs a program by backtracking over an explicit stack.
class Matcher {
 public:
  Matcher(const Regex::Program& program, std::string_view text, uint64_t& steps_left)
      : program_(program), text_(text), loops_(program.loops), steps_left_(steps_left) {}

  static constexpr size_t kFail = SIZE_MAX;

  // The end of the match of the instructions from pc on at pos, or kFail.
  size_t run(uint32_t pc, size_t pos) {
    const size_t base = stack_.size();
    while (true) {
      if (steps_left_ == 0) {
        stack_.resize(base);
        return kFail;
      }
      --steps_left_;
      const Instruction& in = program_.code[pc];
      bool failed = false;
      switch (in.op) {
        case Op::kChar:
          if (const auto c = peek(pos); c && c->value == in.a) {
            pos += c->bytes;
            ++pc;
          } else {
            failed = true;
          }
          break;
        case Op::kSet:
          if (const auto c = peek(pos); c && program_.sets[in.a].contains(c->value)) {
            pos += c->bytes;
            ++pc;
          } else {
            failed = true;
          }
          break;
        case Op::kSplit:
          stack_.push_back({Frame::kBranch, in.b, pos, 0});
          pc = in.a;
          break;
        case Op::kJump:
          pc = in.a;
          break;
        case Op::kMatch:
          stack_.resize(base);
          return pos;
        case Op::kRepeatSet:
          failed = !repeat_set(in, pc, pos);
          break;
        case Op::kLook:
        case Op::kLookBehind: {
          size_t start = pos;
          bool matched = true;
          for (uint32_t i = 0; i < in.c && matched; ++i) {
            if (start == 0) {
              matched = false;
            } else {
              start -= decode_before(text_, start).bytes;
            }
          }
          matched = matched && run(pc + 1, start) != kFail;
          failed = matched == (in.b != 0);
          pc = in.a;
          break;
        }
        case Op::kAtomic: {
          const size_t end = run(pc + 1, pos);
          failed = end == kFail;
          pos = end;
          pc = in.a;
          break;
        }
        case Op::kLoopEnter:
          stack_.push_back({Frame::kRestoreLoop, in.a, loops_[in.a], 0});
          loops_[in.a] = pos;
          ++pc;
          break;
        case Op::kLoopCheck:
          pc = loops_[in.a] == pos ? in.b : pc + 1;
          break;
        default:
          failed = !holds(in, pos);
          ++pc;
      }
      if (failed && !backtrack(base, pc, pos)) return kFail;
    }
  }

  bool exhausted() const { return steps_left_ == 0; }

 private:
  struct Frame {
    enum Kind : uint32_t { kBranch, kRestoreLoop, kGiveBack, kTakeMore };
    Kind kind;
    uint32_t pc;
    size_t pos;
    size_t other;  // of kGiveBack: the least position; of kTakeMore: how many more may be taken
  };

  std::optional<CodePoint> peek(size_t pos) const {
    if (pos >= text_.size()) return std::nullopt;
    return decode_at(text_, pos);
  }

  bool spend() {
    if (steps_left_ == 0) return false;
    --steps_left_;
    return true;
  }

  bool repeat_set(const Instruction& in, uint32_t& pc, size_t& pos) {
    const CodePointSet& set = program_.sets[in.a];
    const uint32_t wanted = in.mode == Mode::kLazy ? in.b : in.c;
    size_t least = pos;  // the position after in.b members
    uint32_t count = 0;
    while (count < wanted) {
      const auto c = peek(pos);
      if (!c || !set.contains(c->value) || !spend()) break;
      pos += c->bytes;
      if (++count == in.b) least = pos;
    }
    if (count < in.b) return false;
    if (in.mode == Mode::kLazy) {
      stack_.push_back({Frame::kTakeMore, pc, pos, in.c - in.b});
    } else if (in.mode == Mode::kGreedy && pos > least) {
      stack_.push_back({Frame::kGiveBack, pc + 1, pos, least});
    }
    ++pc;
    return true;
  }

  // Goes back to the last choice made since `base`; false if there is none.
  bool backtrack(size_t base, uint32_t& pc, size_t& pos) {
    while (stack_.size() > base) {
      Frame& top = stack_.back();
      switch (top.kind) {
        case Frame::kRestoreLoop:
          loops_[top.pc] = top.pos;
          stack_.pop_back();
          break;
        case Frame::kBranch:
          pc = top.pc;
          pos = top.pos;
          stack_.pop_back();
          return true;
        case Frame::kGiveBack:
          pc = top.pc;
          top.pos -= decode_before(text_, top.pos).bytes;
          pos = top.pos;
          if (pos == top.other) stack_.pop_back();
          return true;
        case Frame::kTakeMore: {
          const Instruction& in = program_.code[top.pc];
          const auto c = peek(top.pos);
          if (top.other == 0 || !c || !program_.sets[in.a].contains(c->value)) {
            stack_.pop_back();
            break;
          }
          --top.other;
          top.pos += c->bytes;
          pos = top.pos;
          pc = top.pc + 1;
          return true;
        }
      }
    }
    return false;
  }

  bool holds(const Instruction& in, size_t pos) const {
    const size_t end = text_.size();
    switch (in.op) {
      // As in Oniguruma, no line starts after a newline that ends the text.
      case Op::kLineStart:
        return pos == 0 || (text_[pos - 1] == '\n' && pos < end);
      case Op::kLineEnd:
        return pos == end || text_[pos] == '\n';
      case Op::kTextStart:
        return pos == 0;
      case Op::kTextEnd:
        return pos == end;
      case Op::kTextEndNewline:
        return pos == end || (pos + 1 == end && text_[pos] == '\n');
      case Op::kWordBoundary: {
        const bool before = pos > 0 && onig_word().contains(decode_before(text_, pos).value);
        const bool after = pos < end && onig_word().contains(decode_at(text_, pos).value);
        return (before != after) != (in.a != 0);
      }
      default:
        return false;
    }
  }

  const Regex::Program& program_;
  std::string_view text_;
  std::vector<size_t> loops_;
  std::vector<Frame> stack_;
  uint64_t& steps_left_;
};

}  // namespace

Result<Regex> Regex::parse(std::string_view pattern) {
  CAMEO_ASSIGN(const std::unique_ptr<RegexNode> root, parse_regex(pattern));
  auto program = Compiler().compile(*root);
  if (!program) return std::move(program).error().in(fmt::format("the regular expression '{}'", pattern.substr(0, 200)));
  return Regex(std::make_shared<const Program>(std::move(program).value()));
}

Result<std::vector<Span>> Regex::find_all(std::string_view text, uint64_t& steps_left) const {
  Matcher matcher(*program_, text, steps_left);
  std::vector<Span> found;
  std::optional<size_t> last_end;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = matcher.run(0, start);
    if (matcher.exhausted()) {
      return error(ErrorCode::kInvalidInput, "a regular expression takes too many steps on a text of {} bytes (it backtracks too much)",
                   text.size());
    }
    const bool repeated_empty = end == start && last_end == end;
    if (end == Matcher::kFail || repeated_empty) {
      start += start < text.size() ? decode_at(text, start).bytes : 1;
      continue;
    }
    found.push_back({start, end});
    last_end = end;
    start = end;
  }
  return found;
}

}  // namespace cameo::tokenizer
