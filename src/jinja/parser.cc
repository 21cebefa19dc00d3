#include "jinja/parser.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "jinja/lexer.h"

namespace cameo::jinja {
namespace {

// Trees that are deeper would use up the stack when they are run.
constexpr int kMaxDepth = 150;
// Operators in a row make a tree that is as deep.
constexpr size_t kMaxChain = 300;

ExprPtr make(ExprKind kind, int line) {
  auto e = std::make_unique<Expr>();
  e->kind = kind;
  e->line = line;
  return e;
}

template <class... Items>
ExprPtr make(ExprKind kind, int line, std::string text, Items... items) {
  auto e = make(kind, line);
  e->text = std::move(text);
  (e->items.push_back(std::move(items)), ...);
  return e;
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<Body> run() {
    CAMEO_ASSIGN(Body body, statements({}));
    return body;
  }

 private:
  const Token& token() const { return tokens_[at_]; }
  bool is(TokenKind kind) const { return token().kind == kind; }
  bool is_op(std::string_view text) const { return is(TokenKind::kOperator) && token().text == text; }
  bool is_name(std::string_view text) const { return is(TokenKind::kName) && token().text == text; }
  bool skip_op(std::string_view text) { return is_op(text) && (++at_, true); }
  bool skip_name(std::string_view text) { return is_name(text) && (++at_, true); }
  Error fail(std::string_view wanted) const {
    const Token& t = token();
    std::string found = t.kind == TokenKind::kEnd                                          ? "the end of the template"
                        : t.kind == TokenKind::kBlockEnd || t.kind == TokenKind::kPrintEnd ? "the end of the tag"
                        : t.kind == TokenKind::kText                                       ? "text"
                                                                                           : "'" + t.text + "'";
    return error(ErrorCode::kInvalidModel, "line {}: {} where {} should be", t.line, found, wanted);
  }
  Status expect_op(std::string_view text) {
    if (!skip_op(text)) return fail(fmt::format("'{}'", text));
    return {};
  }
  Status expect_name(std::string_view text) {
    if (!skip_name(text)) return fail(fmt::format("'{}'", text));
    return {};
  }
  Status expect(TokenKind kind, std::string_view what) {
    if (!is(kind)) return fail(what);
    ++at_;
    return {};
  }
  Status end_of_block() { return expect(TokenKind::kBlockEnd, "the end of the tag"); }
  Result<std::string> name() {
    if (!is(TokenKind::kName)) return fail("a name");
    return tokens_[at_++].text;
  }

  // Counts how deep the parser is.
  class Level {
   public:
    explicit Level(int& depth) : depth_(++depth) {}
    ~Level() { --depth_; }
    bool too_deep() const { return depth_ > kMaxDepth; }

   private:
    int& depth_;
  };
  Error too_deep() const { return error(ErrorCode::kInvalidModel, "line {}: nested more than {} deep", token().line, kMaxDepth); }

  // ---- statements ----

  // Up to a tag that begins with one of these names (the tag's begin is read, its name is not), or the end.
  Result<Body> statements(std::initializer_list<std::string_view> ends) {
    const Level level(depth_);
    if (level.too_deep()) return too_deep();
    Body body;
    while (true) {
      const int line = token().line;
      if (is(TokenKind::kText)) {
        auto text = std::make_unique<Stmt>();
        text->line = line;
        text->text = token().text;
        body.push_back(std::move(text));
        ++at_;
      } else if (is(TokenKind::kPrintBegin)) {
        ++at_;
        auto print = std::make_unique<Stmt>();
        print->kind = StmtKind::kPrint;
        print->line = line;
        CAMEO_ASSIGN(ExprPtr value, tuple(true));
        print->exprs.push_back(std::move(value));
        CAMEO_TRY(expect(TokenKind::kPrintEnd, "}}"));
        body.push_back(std::move(print));
      } else if (is(TokenKind::kBlockBegin)) {
        ++at_;
        if (std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return is_name(end); })) return body;
        CAMEO_ASSIGN(auto made, statement());
        made->line = line;
        body.push_back(std::move(made));
      } else if (ends.size() > 0) {
        return fail(fmt::format("{{% {} %}}", *(ends.end() - 1)));
      } else {
        return body;
      }
    }
  }

  Result<std::unique_ptr<Stmt>> statement() {
    CAMEO_ASSIGN(const std::string tag, name());
    auto s = std::make_unique<Stmt>();
    Status done = tag == "if"                           ? if_statement(*s)
                  : tag == "for"                        ? for_statement(*s)
                  : tag == "set"                        ? set_statement(*s)
                  : tag == "macro"                      ? macro_statement(*s)
                  : tag == "call"                       ? call_statement(*s)
                  : tag == "filter"                     ? filter_statement(*s)
                  : tag == "with"                       ? with_statement(*s)
                  : tag == "generation"                 ? scope_statement(*s, "endgeneration")
                  : tag == "autoescape"                 ? autoescape_statement(*s)
                  : tag == "break" || tag == "continue" ? jump_statement(*s, tag)
                                                        : unknown(tag);
    CAMEO_TRY(done);
    return s;
  }

  Status unknown(std::string_view tag) {
    for (const std::string_view known : {"include", "import", "from", "extends", "block"})
      if (tag == known)
        return error(ErrorCode::kUnsupported, "line {}: '{}' needs another template; there is only one here", token().line, tag);
    return error(ErrorCode::kInvalidModel, "line {}: '{}' is no statement that is known, or has no beginning", token().line, tag);
  }

  Status if_statement(Stmt& s) {
    s.kind = StmtKind::kIf;
    while (true) {
      CAMEO_ASSIGN(ExprPtr test, tuple(false));
      s.exprs.push_back(std::move(test));
      CAMEO_TRY(end_of_block());
      CAMEO_ASSIGN(Body body, statements({"elif", "else", "endif"}));
      s.bodies.push_back(std::move(body));
      if (skip_name("elif")) continue;
      if (skip_name("else")) {
        CAMEO_TRY(end_of_block());
        CAMEO_ASSIGN(Body otherwise, statements({"endif"}));
        s.bodies.push_back(std::move(otherwise));
      }
      CAMEO_TRY(expect_name("endif"));
      return end_of_block();
    }
  }

  Status for_statement(Stmt& s) {
    s.kind = StmtKind::kFor;
    CAMEO_ASSIGN(Target each, target(false));
    s.targets.push_back(std::move(each));
    CAMEO_TRY(expect_name("in"));
    CAMEO_ASSIGN(ExprPtr over, tuple(false));
    s.exprs.push_back(std::move(over));
    ExprPtr test;
    if (skip_name("if")) {
      CAMEO_ASSIGN(test, expression());
    }
    s.exprs.push_back(std::move(test));
    s.recursive = skip_name("recursive");
    CAMEO_TRY(end_of_block());
    ++loops_;
    auto body = statements({"else", "endfor"});
    --loops_;
    if (!body.ok()) return std::move(body).error();
    s.bodies.push_back(std::move(body).value());
    if (skip_name("else")) {
      CAMEO_TRY(end_of_block());
      CAMEO_ASSIGN(Body otherwise, statements({"endfor"}));
      s.bodies.push_back(std::move(otherwise));
    }
    CAMEO_TRY(expect_name("endfor"));
    return end_of_block();
  }

  Status jump_statement(Stmt& s, std::string_view tag) {
    if (loops_ == 0) return error(ErrorCode::kInvalidModel, "line {}: '{}' stands outside of a loop", token().line, tag);
    s.kind = tag == "break" ? StmtKind::kBreak : StmtKind::kContinue;
    return end_of_block();
  }

  Status set_statement(Stmt& s) {
    CAMEO_ASSIGN(Target to, target(true));
    s.targets.push_back(std::move(to));
    if (skip_op("=")) {
      s.kind = StmtKind::kSet;
      CAMEO_ASSIGN(ExprPtr value, tuple(true));
      s.exprs.push_back(std::move(value));
      return end_of_block();
    }
    s.kind = StmtKind::kSetBlock;
    ExprPtr filters;
    if (is_op("|")) {
      CAMEO_ASSIGN(filters, filter_chain(nullptr));
    }
    s.exprs.push_back(std::move(filters));
    return rest_of_block(s, "endset");
  }

  // The end of the tag, a body, and the tag that ends it.
  Status rest_of_block(Stmt& s, std::string_view end) {
    CAMEO_TRY(end_of_block());
    CAMEO_ASSIGN(Body body, statements({end}));
    s.bodies.push_back(std::move(body));
    CAMEO_TRY(expect_name(end));
    return end_of_block();
  }

  // A body that is no part of the loop around it.
  Status rest_of_function(Stmt& s, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    const Status done = rest_of_block(s, end);
    loops_ = loops;
    return done;
  }

  Status macro_statement(Stmt& s) {
    s.kind = StmtKind::kMacro;
    CAMEO_ASSIGN(s.text, name());
    CAMEO_TRY(parameters(s));
    return rest_of_function(s, "endmacro");
  }

  Status parameters(Stmt& s) {
    CAMEO_TRY(expect_op("("));
    while (!skip_op(")")) {
      if (!s.parameters.empty()) CAMEO_TRY(expect_op(","));
      Parameter p;
      CAMEO_ASSIGN(p.name, name());
      if (skip_op("=")) {
        CAMEO_ASSIGN(p.otherwise, expression());
      } else if (!s.parameters.empty() && s.parameters.back().otherwise) {
        return fail("a parameter with a default");
      }
      s.parameters.push_back(std::move(p));
    }
    return {};
  }

  Status call_statement(Stmt& s) {
    s.kind = StmtKind::kCall;
    if (is_op("(")) CAMEO_TRY(parameters(s));
    CAMEO_ASSIGN(ExprPtr call, expression());
    if (call->kind != ExprKind::kCall) return fail("a call");
    s.exprs.push_back(std::move(call));
    return rest_of_function(s, "endcall");
  }

  Status filter_statement(Stmt& s) {
    s.kind = StmtKind::kFilter;
    CAMEO_ASSIGN(ExprPtr chain, one_filter(nullptr));
    while (is_op("|")) {
      CAMEO_ASSIGN(chain, filter_chain(std::move(chain)));
    }
    s.exprs.push_back(std::move(chain));
    return rest_of_block(s, "endfilter");
  }

  Status with_statement(Stmt& s) {
    s.kind = StmtKind::kWith;
    while (!is(TokenKind::kBlockEnd)) {
      if (!s.targets.empty()) CAMEO_TRY(expect_op(","));
      CAMEO_ASSIGN(Target to, target(false));
      CAMEO_TRY(expect_op("="));
      CAMEO_ASSIGN(ExprPtr value, expression());
      s.targets.push_back(std::move(to));
      s.exprs.push_back(std::move(value));
    }
    return rest_of_block(s, "endwith");
  }

  Status scope_statement(Stmt& s, std::string_view end) {
    s.kind = StmtKind::kScope;
    return rest_of_block(s, end);
  }

  Status autoescape_statement(Stmt& s) {
    CAMEO_ASSIGN(const ExprPtr on, expression());
    if (on->kind != ExprKind::kLiteral || on->value.truth())
      return error(ErrorCode::kUnsupported, "line {}: autoescape is not supported", token().line);
    return scope_statement(s, "endautoescape");
  }

  Result<Target> one_target(bool with_namespace) {
    const Level level(depth_);
    if (level.too_deep()) return too_deep();
    Target t;
    if (skip_op("(")) {
      CAMEO_ASSIGN(t, target(false));
      CAMEO_TRY(expect_op(")"));
      return t;
    }
    CAMEO_ASSIGN(t.name, name());
    for (const std::string_view reserved : {"true", "false", "none", "True", "False", "None"})
      if (t.name == reserved) return error(ErrorCode::kInvalidModel, "line {}: '{}' cannot be assigned to", token().line, reserved);
    if (with_namespace && skip_op(".")) {
      CAMEO_ASSIGN(t.attribute, name());
    }
    return t;
  }

  Result<Target> target(bool with_namespace) {
    CAMEO_ASSIGN(Target first, one_target(with_namespace));
    if (!is_op(",")) return first;
    Target all;
    all.items.push_back(std::move(first));
    while (skip_op(",")) {
      if (is_op("=") || is_name("in")) break;
      CAMEO_ASSIGN(Target next, one_target(with_namespace));
      all.items.push_back(std::move(next));
    }
    return all;
  }

  // ---- expressions ----

  // Values with commas between them are a tuple.
  Result<ExprPtr> tuple(bool with_condition) {
    const int line = token().line;
    auto element = [&] { return with_condition ? expression() : or_expression(); };
    CAMEO_ASSIGN(ExprPtr first, element());
    if (!is_op(",")) return first;
    auto all = make(ExprKind::kTuple, line);
    all->items.push_back(std::move(first));
    while (skip_op(",")) {
      if (is(TokenKind::kPrintEnd) || is(TokenKind::kBlockEnd) || is_op(")") || is_name("recursive")) break;
      CAMEO_ASSIGN(ExprPtr next, element());
      all->items.push_back(std::move(next));
    }
    return all;
  }

  Result<ExprPtr> expression() {
    const Level level(depth_);
    if (level.too_deep()) return too_deep();
    const int line = token().line;
    CAMEO_ASSIGN(ExprPtr value, or_expression());
    size_t chain = 0;
    while (skip_name("if")) {
      if (++chain > kMaxChain) return too_deep();
      CAMEO_ASSIGN(ExprPtr test, or_expression());
      ExprPtr otherwise;
      if (skip_name("else")) {
        CAMEO_ASSIGN(otherwise, expression());
      }
      value = make(ExprKind::kCondition, line, "", std::move(test), std::move(value), std::move(otherwise));
    }
    return value;
  }

  // Operands of `next` with operators of `ops` between them, from the left.
  template <class Next>
  Result<ExprPtr> chain(std::initializer_list<std::string_view> ops, Next next) {
    const int line = token().line;
    CAMEO_ASSIGN(ExprPtr left, (this->*next)());
    for (size_t n = 0; is(TokenKind::kOperator) && std::find(ops.begin(), ops.end(), token().text) != ops.end(); ++n) {
      if (n > kMaxChain) return too_deep();
      std::string op = tokens_[at_++].text;
      CAMEO_ASSIGN(ExprPtr right, (this->*next)());
      left = make(ExprKind::kBinary, line, std::move(op), std::move(left), std::move(right));
    }
    return left;
  }

  Result<ExprPtr> or_expression() {
    const int line = token().line;
    CAMEO_ASSIGN(ExprPtr left, and_expression());
    for (size_t n = 0; skip_name("or"); ++n) {
      if (n > kMaxChain) return too_deep();
      CAMEO_ASSIGN(ExprPtr right, and_expression());
      left = make(ExprKind::kOr, line, "", std::move(left), std::move(right));
    }
    return left;
  }

  Result<ExprPtr> and_expression() {
    const int line = token().line;
    CAMEO_ASSIGN(ExprPtr left, not_expression());
    for (size_t n = 0; skip_name("and"); ++n) {
      if (n > kMaxChain) return too_deep();
      CAMEO_ASSIGN(ExprPtr right, not_expression());
      left = make(ExprKind::kAnd, line, "", std::move(left), std::move(right));
    }
    return left;
  }

  Result<ExprPtr> not_expression() {
    const Level level(depth_);
    if (level.too_deep()) return too_deep();
    const int line = token().line;
    if (!skip_name("not")) return comparison();
    CAMEO_ASSIGN(ExprPtr value, not_expression());
    return make(ExprKind::kNot, line, "", std::move(value));
  }

  Result<ExprPtr> comparison() {
    CAMEO_ASSIGN(ExprPtr first, sum());
    auto all = make(ExprKind::kCompare, first->line);
    while (true) {
      std::string op;
      if (is(TokenKind::kOperator) && (is_op("==") || is_op("!=") || is_op("<") || is_op("<=") || is_op(">") || is_op(">="))) {
        op = tokens_[at_++].text;
      } else if (skip_name("in")) {
        op = "in";
      } else if (is_name("not") && tokens_[at_ + 1].kind == TokenKind::kName && tokens_[at_ + 1].text == "in") {
        at_ += 2;
        op = "not in";
      } else {
        break;
      }
      CAMEO_ASSIGN(ExprPtr next, sum());
      if (all->items.empty()) all->items.push_back(std::move(first));
      all->names.push_back(std::move(op));
      all->items.push_back(std::move(next));
    }
    return all->items.empty() ? std::move(first) : std::move(all);
  }

  Result<ExprPtr> sum() { return chain({"+", "-"}, &Parser::concatenation); }

  Result<ExprPtr> concatenation() {
    CAMEO_ASSIGN(ExprPtr first, product());
    if (!is_op("~")) return first;
    auto all = make(ExprKind::kConcat, first->line);
    all->items.push_back(std::move(first));
    while (skip_op("~")) {
      CAMEO_ASSIGN(ExprPtr next, product());
      all->items.push_back(std::move(next));
    }
    return all;
  }

  Result<ExprPtr> product() { return chain({"*", "/", "//", "%"}, &Parser::power); }
  Result<ExprPtr> power() { return chain({"**"}, &Parser::unary_with_filters); }
  Result<ExprPtr> unary_with_filters() { return unary(true); }

  Result<ExprPtr> unary(bool with_filters) {
    const Level level(depth_);
    if (level.too_deep()) return too_deep();
    const int line = token().line;
    ExprPtr value;
    if (is_op("-") || is_op("+")) {
      const auto kind = is_op("-") ? ExprKind::kNegative : ExprKind::kPositive;
      ++at_;
      CAMEO_ASSIGN(ExprPtr operand, unary(false));
      value = make(kind, line, "", std::move(operand));
    } else {
      CAMEO_ASSIGN(ExprPtr first, primary());
      CAMEO_ASSIGN(value, postfix(std::move(first)));
    }
    return with_filters ? filters_and_tests(std::move(value)) : std::move(value);
  }

  Result<ExprPtr> primary() {
    const Token t = token();
    if (t.kind == TokenKind::kName) {
      ++at_;
      auto e = make(ExprKind::kLiteral, t.line);
      if (t.text == "true" || t.text == "True") {
        e->value = Value(true);
      } else if (t.text == "false" || t.text == "False") {
        e->value = Value(false);
      } else if (t.text != "none" && t.text != "None") {
        e->kind = ExprKind::kName;
        e->text = t.text;
      }
      return e;
    }
    if (t.kind == TokenKind::kString) {
      std::string text;
      for (; is(TokenKind::kString); ++at_) text += token().text;
      auto e = make(ExprKind::kLiteral, t.line);
      e->value = Value(std::move(text));
      return e;
    }
    if (t.kind == TokenKind::kInteger) {
      ++at_;
      int64_t number = 0;
      if (std::from_chars(t.text.data(), t.text.data() + t.text.size(), number).ec != std::errc())
        return error(ErrorCode::kInvalidModel, "line {}: the number {} is too large", t.line, t.text);
      auto e = make(ExprKind::kLiteral, t.line);
      e->value = Value(number);
      return e;
    }
    if (t.kind == TokenKind::kFloat) {
      ++at_;
      double number = 0;
      if (std::from_chars(t.text.data(), t.text.data() + t.text.size(), number).ec == std::errc::invalid_argument) return fail("a number");
      auto e = make(ExprKind::kLiteral, t.line);
      e->value = Value(number);
      return e;
    }
    if (skip_op("(")) {
      if (skip_op(")")) return make(ExprKind::kTuple, t.line);
      CAMEO_ASSIGN(ExprPtr value, tuple(true));
      CAMEO_TRY(expect_op(")"));
      return value;
    }
    if (skip_op("[")) {
      auto list = make(ExprKind::kList, t.line);
      while (!skip_op("]")) {
        if (!list->items.empty()) CAMEO_TRY(expect_op(","));
        if (skip_op("]")) break;
        CAMEO_ASSIGN(ExprPtr item, expression());
        list->items.push_back(std::move(item));
      }
      return list;
    }
    if (skip_op("{")) {
      auto dict = make(ExprKind::kDict, t.line);
      while (!skip_op("}")) {
        if (!dict->items.empty()) CAMEO_TRY(expect_op(","));
        if (skip_op("}")) break;
        CAMEO_ASSIGN(ExprPtr key, expression());
        CAMEO_TRY(expect_op(":"));
        CAMEO_ASSIGN(ExprPtr item, expression());
        dict->items.push_back(std::move(key));
        dict->items.push_back(std::move(item));
      }
      return dict;
    }
    return fail("an expression");
  }

  Result<ExprPtr> postfix(ExprPtr value) {
    for (size_t n = 0;; ++n) {
      if (n > kMaxChain) return too_deep();
      const int line = token().line;
      if (skip_op(".")) {
        if (is(TokenKind::kInteger)) {
          CAMEO_ASSIGN(ExprPtr index, primary());
          value = make(ExprKind::kItem, line, "", std::move(value), std::move(index));
        } else {
          CAMEO_ASSIGN(std::string attribute, name());
          value = make(ExprKind::kAttribute, line, std::move(attribute), std::move(value));
        }
      } else if (skip_op("[")) {
        CAMEO_ASSIGN(ExprPtr index, subscript());
        if (is_op(",")) {
          auto all = make(ExprKind::kTuple, line);
          all->items.push_back(std::move(index));
          while (skip_op(",")) {
            CAMEO_ASSIGN(ExprPtr next, subscript());
            all->items.push_back(std::move(next));
          }
          index = std::move(all);
        }
        CAMEO_TRY(expect_op("]"));
        value = make(ExprKind::kItem, line, "", std::move(value), std::move(index));
      } else if (is_op("(")) {
        value = make(ExprKind::kCall, line, "", std::move(value));
        CAMEO_TRY(arguments(*value));
      } else {
        return value;
      }
    }
  }

  // An index, or begin:end:step.
  Result<ExprPtr> subscript() {
    auto slice = make(ExprKind::kSlice, token().line);
    slice->items.resize(3);
    for (size_t part = 0; part < 3; ++part) {
      if (!is_op(":") && !is_op("]") && !is_op(",")) {
        CAMEO_ASSIGN(slice->items[part], expression());
      }
      if (part == 0 && !is_op(":")) {
        if (!slice->items[0]) return fail("an index");
        return std::move(slice->items[0]);
      }
      if (!skip_op(":")) break;
      if (part == 2) return fail("']'");
    }
    return slice;
  }

  Status arguments(Expr& call) {
    CAMEO_TRY(expect_op("("));
    while (!skip_op(")")) {
      if (!call.arguments.empty()) {
        CAMEO_TRY(expect_op(","));
        if (skip_op(")")) break;
      }
      Argument a;
      if (skip_op("*")) {
        a.kind = Argument::kSpread;
      } else if (skip_op("**")) {
        a.kind = Argument::kSpreadNamed;
      } else if (is(TokenKind::kName) && tokens_[at_ + 1].kind == TokenKind::kOperator && tokens_[at_ + 1].text == "=") {
        a.kind = Argument::kNamed;
        a.name = token().text;
        at_ += 2;
      } else if (!call.arguments.empty() && call.arguments.back().kind == Argument::kNamed) {
        return fail("a named argument");
      }
      CAMEO_ASSIGN(a.value, expression());
      call.arguments.push_back(std::move(a));
    }
    return {};
  }

  Result<std::string> dotted_name() {
    CAMEO_ASSIGN(std::string full, name());
    while (skip_op(".")) {
      CAMEO_ASSIGN(const std::string part, name());
      full += "." + part;
    }
    return full;
  }

  // A filter's name and arguments.
  Result<ExprPtr> one_filter(ExprPtr value) {
    const int line = token().line;
    CAMEO_ASSIGN(std::string filter, dotted_name());
    auto e = make(ExprKind::kFilter, line, std::move(filter), std::move(value));
    if (is_op("(")) CAMEO_TRY(arguments(*e));
    return e;
  }

  Result<ExprPtr> filter_chain(ExprPtr value) {
    for (size_t n = 0; skip_op("|"); ++n) {
      if (n > kMaxChain) return too_deep();
      CAMEO_ASSIGN(value, one_filter(std::move(value)));
    }
    return value;
  }

  Result<ExprPtr> filters_and_tests(ExprPtr value) {
    for (size_t n = 0;; ++n) {
      if (n > kMaxChain) return too_deep();
      const int line = token().line;
      if (is_op("|")) {
        CAMEO_ASSIGN(value, filter_chain(std::move(value)));
      } else if (skip_name("is")) {
        const bool negated = skip_name("not");
        CAMEO_ASSIGN(std::string test, dotted_name());
        value = make(ExprKind::kTest, line, std::move(test), std::move(value));
        const bool operand = is(TokenKind::kName)
                                 ? !is_name("else") && !is_name("or") && !is_name("and") && !is_name("is") && !is_name("if") &&
                                       !is_name("in") && !is_name("not")
                                 : is(TokenKind::kString) || is(TokenKind::kInteger) || is(TokenKind::kFloat) || is_op("[") || is_op("{");
        if (is_op("(")) {
          CAMEO_TRY(arguments(*value));
        } else if (operand) {
          Argument a;
          CAMEO_ASSIGN(ExprPtr first, primary());
          CAMEO_ASSIGN(a.value, postfix(std::move(first)));
          value->arguments.push_back(std::move(a));
        }
        if (negated) value = make(ExprKind::kNot, line, "", std::move(value));
      } else if (is_op("(")) {
        value = make(ExprKind::kCall, line, "", std::move(value));
        CAMEO_TRY(arguments(*value));
      } else {
        return value;
      }
    }
  }

  std::vector<Token> tokens_;  // the last is kEnd
  size_t at_ = 0;
  int depth_ = 0, loops_ = 0;
};

}  // namespace

Result<Body> parse(std::string_view source) {
  CAMEO_ASSIGN(std::vector<Token> tokens, tokenize(source));
  return Parser(std::move(tokens)).run();
}

}  // namespace cameo::jinja
