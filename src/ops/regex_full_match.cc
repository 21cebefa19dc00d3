// RegexFullMatch (ai.onnx 20): whether a pattern in RE2's syntax matches the whole of each string. PCRE2 does the matching, with
// the options that make it read a pattern as RE2 does; it knows constructs that RE2 lacks, and these are not refused.
// Steps and memory of a match are bounded: a pattern that would take exponential time is an error, not a hang.
#if CAMEO_HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

#include <memory>

#include "ops/op.h"

namespace cameo::ops {
namespace {

struct RegexFullMatchAttrs : ir::AttrsOf<RegexFullMatchAttrs> {
  std::optional<std::string> pattern;
  void visit(ir::AttrVisitor& v) override { v("pattern", pattern); }
};

#if CAMEO_HAVE_PCRE2

constexpr uint32_t kMaxSteps = 5'000'000, kMaxHeapKibibytes = 64 << 10;
constexpr size_t kMaxPattern = 1 << 16;

struct Free {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
};

std::string message_of(int code) {
  char text[256] = {};
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text);
  return text;
}

class Regex {
 public:
  static Result<Regex> compile(const std::string& pattern) {
    if (pattern.size() > kMaxPattern)
      return error(ErrorCode::kUnsupported, "the pattern has {} bytes; the limit is {}", pattern.size(), kMaxPattern);
    int code = 0;
    size_t offset = 0;
    Regex regex;
    constexpr uint32_t kOptions = PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
    regex.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), kOptions, &code, &offset, nullptr));
    if (!regex.code_) return error(ErrorCode::kInvalidModel, "the pattern '{}' is wrong at byte {}: {}", pattern, offset, message_of(code));
    regex.data_.reset(pcre2_match_data_create(1, nullptr));
    regex.context_.reset(pcre2_match_context_create(nullptr));
    if (!regex.data_ || !regex.context_) throw std::bad_alloc();
    pcre2_set_match_limit(regex.context_.get(), kMaxSteps);
    pcre2_set_heap_limit(regex.context_.get(), kMaxHeapKibibytes);
    return regex;
  }

  Result<bool> matches(const std::string& text) const {
    const int code = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, data_.get(), context_.get());
    if (code >= 0) return true;
    if (code == PCRE2_ERROR_NOMATCH || (code <= PCRE2_ERROR_UTF8_ERR1 && code >= PCRE2_ERROR_UTF8_ERR21)) return false;
    return error(ErrorCode::kInvalidInput, "matching a string of {} bytes was given up: {}", text.size(), message_of(code));
  }

 private:
  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_data, Free> data_;
  std::unique_ptr<pcre2_match_context, Free> context_;
};

#else

class Regex {
 public:
  static Result<Regex> compile(const std::string&) {
    return error(ErrorCode::kUnsupported, "this build of Cameo has no regular expressions; build it with PCRE2 (libpcre2-8)");
  }
  Result<bool> matches(const std::string&) const { return false; }
};

#endif

Status infer(InferContext& c) {
  const auto& pattern = c.attrs<RegexFullMatchAttrs>().pattern;
  if (!pattern) return error(ErrorCode::kInvalidModel, "lacks the attribute 'pattern'");
  CAMEO_TRY(Regex::compile(*pattern));
  ir::Type type = c.input(0);
  type.kind = ir::Type::Kind::kTensor;
  type.dtype = DType::kBool;
  c.set_output(0, std::move(type));
  return {};
}

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const Regex regex, Regex::compile(*c.attrs<RegexFullMatchAttrs>().pattern));
  bool* to = c.output(0).data<bool>();
  for (const std::string& text : c.input(0).span<std::string>()) {
    CAMEO_TRY(c.check_cancelled());
    CAMEO_ASSIGN(*to++, regex.matches(text));
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(RegexFullMatch) = {
    .name = "RegexFullMatch",
    .min_version = 20,
    .input_types = {kStringType},
    .make_attrs = &ir::make_attrs<RegexFullMatchAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
