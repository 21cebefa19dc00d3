#include "jinja/lexer.h"

#include <algorithm>
#include <array>

#include "jinja/text.h"
#include "tokenizer/unicode.h"

namespace cameo::jinja {
namespace {

bool is_name_start(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) { return is_name_start(c) || is_digit(c); }
bool is_white(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) CAMEO_TRY(text());
    add(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  bool starts(std::string_view s) const { return std::string_view(source_).substr(at_).starts_with(s); }
  char peek(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  Error fail(std::string_view what) const { return error(ErrorCode::kInvalidModel, "line {}: {}", line_, what); }
  void advance(size_t n) {
    n = std::min(n, source_.size() - at_);
    line_ += static_cast<int>(std::count(source_.data() + at_, source_.data() + at_ + n, '\n'));
    at_ += n;
  }
  void skip_white() {
    const std::string_view rest = std::string_view(source_).substr(at_);
    advance(rest.size() - strip(rest, true, false).size());
  }
  // Text before a tag without a sign: the white space of a line that the tag begins is dropped.
  static std::string_view without_indent(std::string_view text, bool line_starting) {
    const size_t line = text.rfind('\n') + 1;
    const bool begins = line > 0 || line_starting;
    return begins && strip(text.substr(line), true, true).empty() ? text.substr(0, line) : text;
  }

  // Text up to the next tag, and the tag.
  Status text() {
    size_t open = source_.find('{', at_);
    while (open != std::string::npos &&
           (open + 1 >= source_.size() || std::string_view("{%#").find(source_[open + 1]) == std::string_view::npos))
      open = source_.find('{', open + 1);
    open = std::min(open, source_.size());
    std::string_view before = std::string_view(source_).substr(at_, open - at_);
    const bool tag = open < source_.size();
    const char kind = tag ? source_[open + 1] : '\0';
    const char sign = tag && open + 2 < source_.size() ? source_[open + 2] : '\0';
    const bool has_sign = sign == '-' || sign == '+';
    if (tag && sign == '-')
      before = strip(before, false, true);
    else if (tag && sign != '+' && kind != '{')
      before = without_indent(before, line_starting_);
    if (!before.empty()) add(TokenKind::kText, std::string(before));
    advance(open - at_);
    if (!tag) return {};
    advance(has_sign ? 3 : 2);
    if (kind == '#') return comment();
    if (kind == '{') {
      add(TokenKind::kPrintBegin, {});
      return code(TokenKind::kPrintEnd);
    }
    if (is_raw()) return raw();
    add(TokenKind::kBlockBegin, {});
    return code(TokenKind::kBlockEnd);
  }

  // The two closing characters of a tag, and the white space that goes with them.
  void end_of_tag(char sign, bool trims) {
    advance(2);
    if (sign == '-')
      skip_white();
    else if (sign != '+' && trims && peek() == '\n')
      advance(1);
    line_starting_ = source_[at_ - 1] == '\n';
  }

  Status comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) return fail("a comment has no end (#})");
    const char sign = end > at_ ? source_[end - 1] : '\0';
    advance(end - at_);
    end_of_tag(sign, true);
    return {};
  }

  // Whether "raw" and the end of the tag follow.
  bool is_raw() const {
    size_t at = at_;
    while (at < source_.size() && is_white(source_[at])) ++at;
    if (source_.compare(at, 3, "raw") != 0) return false;
    at += 3;
    while (at < source_.size() && is_white(source_[at])) ++at;
    return source_.compare(at, 2, "%}") == 0 || source_.compare(at, 3, "-%}") == 0;
  }

  Status raw() {
    const size_t end = source_.find("%}", at_);
    const bool strips = source_[end - 1] == '-';
    advance(end + 2 - at_);
    if (strips) skip_white();
    const bool line_starting = source_[at_ - 1] == '\n';
    for (size_t open = source_.find("{%", at_); open != std::string::npos; open = source_.find("{%", open + 2)) {
      size_t at = open + 2;
      const auto sign_here = [&] { return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at++] : '\0'; };
      const char sign = sign_here();
      while (at < source_.size() && is_white(source_[at])) ++at;
      if (source_.compare(at, 6, "endraw") != 0) continue;
      at += 6;
      while (at < source_.size() && is_white(source_[at])) ++at;
      const char end_sign = sign_here();
      if (source_.compare(at, 2, "%}") != 0) continue;
      std::string_view content = std::string_view(source_).substr(at_, open - at_);
      if (sign == '-')
        content = strip(content, false, true);
      else if (sign != '+')
        content = without_indent(content, line_starting);
      if (!content.empty()) add(TokenKind::kText, std::string(content));
      advance(at - at_);
      end_of_tag(end_sign, true);
      return {};
    }
    return fail("{% raw %} has no {% endraw %}");
  }

  // Expressions up to the end of the tag.
  Status code(TokenKind end) {
    const std::string_view close = end == TokenKind::kPrintEnd ? "}}" : "%}";
    std::string open;  // brackets
    while (true) {
      while (at_ < source_.size() && is_white(source_[at_])) advance(1);
      if (at_ >= source_.size()) return fail(end == TokenKind::kPrintEnd ? "{{ has no }}" : "{% has no %}");
      if (open.empty()) {
        const bool has_sign = (peek() == '-' || (peek() == '+' && end == TokenKind::kBlockEnd)) && source_.compare(at_ + 1, 2, close) == 0;
        if (has_sign || starts(close)) {
          const char sign = has_sign ? peek() : '\0';
          add(end, {});
          if (has_sign) advance(1);
          end_of_tag(sign, end == TokenKind::kBlockEnd);
          return {};
        }
      }
      const char c = peek();
      if (is_name_start(c)) {
        const size_t begin = at_;
        while (is_name(peek())) ++at_;
        add(TokenKind::kName, source_.substr(begin, at_ - begin));
      } else if (is_digit(c)) {
        number();
      } else if (c == '\'' || c == '"') {
        CAMEO_TRY(string(c));
      } else {
        CAMEO_TRY(operation(open));
      }
    }
  }

  void number() {
    const size_t begin = at_;
    const auto digits = [&] {
      while (is_digit(peek()) || (peek() == '_' && is_digit(peek(1)))) ++at_;
    };
    digits();
    bool real = false;
    if (peek() == '.' && is_digit(peek(1))) {
      real = true;
      ++at_;
      digits();
    }
    if ((peek() == 'e' || peek() == 'E') && (is_digit(peek(1)) || ((peek(1) == '+' || peek(1) == '-') && is_digit(peek(2))))) {
      real = true;
      at_ += 2;
      digits();
    }
    std::string text = source_.substr(begin, at_ - begin);
    std::erase(text, '_');
    add(real ? TokenKind::kFloat : TokenKind::kInteger, std::move(text));
  }

  Status string(char quote) {
    const int line = line_;
    advance(1);
    std::string value;
    while (at_ < source_.size() && peek() != quote) {
      if (peek() != '\\') {
        const size_t begin = at_;
        while (at_ < source_.size() && peek() != '\\' && peek() != quote) ++at_;
        value.append(source_, begin, at_ - begin);
        line_ += static_cast<int>(std::count(source_.data() + begin, source_.data() + at_, '\n'));
        continue;
      }
      advance(1);
      if (at_ >= source_.size()) break;
      const char c = peek();
      advance(1);
      constexpr std::string_view kEscapes = "ntrabfv\\'\"", kMeant = "\n\t\r\a\b\f\v\\'\"";
      if (c == '\n') continue;
      if (const size_t found = kEscapes.find(c); found != std::string_view::npos) {
        value += kMeant[found];
      } else if (c == 'x' || c == 'u' || c == 'U') {
        CAMEO_TRY(code_point(value, c == 'x' ? 2 : c == 'u' ? 4 : 8));
      } else if (c >= '0' && c <= '7') {
        uint32_t code = static_cast<uint32_t>(c - '0');
        for (int i = 0; i < 2 && peek() >= '0' && peek() <= '7'; ++i, ++at_) code = code * 8 + static_cast<uint32_t>(peek() - '0');
        tokenizer::append_utf8(value, code);
      } else {
        value += '\\';
        value += c;
      }
    }
    if (at_ >= source_.size()) return error(ErrorCode::kInvalidModel, "line {}: a string has no end", line);
    advance(1);
    tokens_.push_back({TokenKind::kString, std::move(value), line});
    return {};
  }

  Status code_point(std::string& value, int digits) {
    uint32_t code = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = peek();
      const int digit = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (digit < 0) return fail("an escape in a string has too few digits");
      code = code * 16 + static_cast<uint32_t>(digit);
      ++at_;
    }
    if (code > tokenizer::kMaxCodePoint || (code >= 0xd800 && code < 0xe000)) return fail("an escape in a string is no character");
    tokenizer::append_utf8(value, code);
    return {};
  }

  Status operation(std::string& open) {
    constexpr std::array<std::string_view, 25> kOperators = {"//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<",
                                                             ">",  "=",  "(",  ")",  "[",  "]",  "{", "}", ".", ",", ":", "|"};
    for (const std::string_view o : kOperators) {
      if (!starts(o)) continue;
      const char c = o[0];
      if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
      if (c == ')' || c == ']' || c == '}') {
        if (open.empty() || open.back() != c) return fail(fmt::format("unexpected '{}'", c));
        open.pop_back();
      }
      add(TokenKind::kOperator, std::string(o));
      advance(o.size());
      return {};
    }
    return fail(fmt::format("unexpected character '{}'", std::string_view(source_).substr(at_, tokenizer::decode_at(source_, at_).bytes)));
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) {
  if (const size_t bad = tokenizer::find_invalid_utf8(source); bad != std::string_view::npos)
    return error(ErrorCode::kInvalidModel, "the template is not UTF-8 at byte {}", bad);
  std::string text;
  for (size_t i = 0; i < source.size(); ++i) {
    text += source[i] == '\r' ? '\n' : source[i];
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (text.ends_with('\n')) text.pop_back();
  return Lexer(std::move(text)).run();
}

}  // namespace cameo::jinja
