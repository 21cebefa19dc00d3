// StringNormalizer (ai.onnx 10): removes the elements that are stop words and changes the case of the others. The input is [C] or
// [1, C]; when nothing is left the output is one empty string. Letters outside of ASCII change case as `locale` has it, in the
// C.UTF-8 locale when it names none that the system knows.
#include <locale.h>
#include <wctype.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "ops/op.h"

namespace cameo::ops {
namespace {

struct StringNormalizerAttrs : ir::AttrsOf<StringNormalizerAttrs> {
  std::string case_change_action = "NONE";
  int64_t is_case_sensitive = 0;
  std::string locale;
  std::vector<std::string> stopwords;
  void visit(ir::AttrVisitor& v) override {
    v("case_change_action", case_change_action);
    v("is_case_sensitive", is_case_sensitive);
    v("locale", locale);
    v("stopwords", stopwords);
  }
};

// A locale of the system, for the case of letters.
class Locale {
 public:
  explicit Locale(const std::string& name) {
    for (const std::string& wanted : {name + ".UTF-8", name, std::string("C.UTF-8")})
      if (!locale_ && !wanted.starts_with('.') && !wanted.empty()) locale_ = newlocale(LC_CTYPE_MASK, wanted.c_str(), locale_t{});
  }
  Locale(const Locale&) = delete;
  ~Locale() {
    if (locale_) freelocale(locale_);
  }

  // The text with every letter in upper or lower case; bytes that are no UTF-8 stay.
  std::string changed(std::string_view text, bool upper) const {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
      const auto first = static_cast<unsigned char>(text[i]);
      const size_t length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
      wint_t code = first;
      bool valid = first < 0x80 || (first >= 0xc2 && first <= 0xf4 && i + length <= text.size());
      if (length > 1) code = first & (0x7fu >> length);
      for (size_t k = 1; valid && k < length; ++k) {
        const auto next = static_cast<unsigned char>(text[i + k]);
        valid = (next & 0xc0) == 0x80;
        code = code << 6 | (next & 0x3f);
      }
      if (!valid) {
        out += text[i++];
        continue;
      }
      append(out, convert(code, upper));
      i += length;
    }
    return out;
  }

 private:
  wint_t convert(wint_t code, bool upper) const {
    if (code < 0x80) {
      const bool letter = upper ? code >= 'a' && code <= 'z' : code >= 'A' && code <= 'Z';
      return letter ? code ^ 0x20u : code;
    }
    if (!locale_) return code;
    return upper ? towupper_l(code, locale_) : towlower_l(code, locale_);
  }
  static void append(std::string& out, wint_t code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
      return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    out += static_cast<char>((0xff00u >> (more + 1) & 0xffu) | code >> (6 * more));
    for (int k = more - 1; k >= 0; --k) out += static_cast<char>(0x80 | (code >> (6 * k) & 0x3f));
  }

  locale_t locale_ = {};
};

Status infer(InferContext& c) {
  const std::string& action = c.attrs<StringNormalizerAttrs>().case_change_action;
  if (action != "LOWER" && action != "UPPER" && action != "NONE")
    return error(ErrorCode::kInvalidModel, "case_change_action is '{}'; allowed: 'LOWER', 'UPPER', 'NONE'", action);
  ir::Type type = ir::Type::tensor(DType::kString);
  if (c.shape(0)) {
    const ir::Shape& in = *c.shape(0);
    if (in.empty() || in.size() > 2 || (in.size() == 2 && in[0].is_const() && !in[0].is(1)))
      return error(ErrorCode::kInvalidInput, "the input has shape {}; it must be [C] or [1, C]", ir::to_string(in));
    type.shape = in;
    type.shape->back() = ir::Dim::unknown();
  }
  c.set_output(0, std::move(type));
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<StringNormalizerAttrs>();
  const Locale locale(a.locale);
  const auto key = [&](const std::string& text) { return a.is_case_sensitive ? text : locale.changed(text, false); };
  std::set<std::string> stops;
  for (const std::string& word : a.stopwords) stops.insert(key(word));
  std::vector<std::string> kept;
  for (const std::string& text : c.input(0).span<std::string>()) {
    if (!stops.empty() && stops.count(key(text))) continue;
    kept.push_back(a.case_change_action == "NONE" ? text : locale.changed(text, a.case_change_action == "UPPER"));
  }
  if (kept.empty()) kept.emplace_back();
  Dims dims(c.input(0).rank(), 1);
  dims[dims.rank() - 1] = static_cast<int64_t>(kept.size());
  CAMEO_TRY(c.allocate_output(0, DType::kString, dims));
  std::move(kept.begin(), kept.end(), c.output(0).data<std::string>());
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(StringNormalizer) = {
    .name = "StringNormalizer",
    .min_version = 10,
    .input_types = {kStringType},
    .make_attrs = &ir::make_attrs<StringNormalizerAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kDataDependent,
};

}  // namespace cameo::ops
