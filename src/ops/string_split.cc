// StringSplit (ai.onnx 20): cuts every string at a delimiter, at most maxsplit times, as Python's str.split does. Without a
// delimiter (or with an empty one) runs of white space are what separates, and those at the ends are dropped.
// Outputs: the pieces, along a new last axis that is filled up with empty strings, and their number for each string.
#include <algorithm>
#include <limits>
#include <string_view>

#include "ops/op.h"

namespace cameo::ops {
namespace {

struct StringSplitAttrs : ir::AttrsOf<StringSplitAttrs> {
  std::optional<int64_t> maxsplit;
  std::string delimiter;
  void visit(ir::AttrVisitor& v) override {
    v("maxsplit", maxsplit);
    v("delimiter", delimiter);
  }
};

// How many bytes the white space character at the start of `text` takes in UTF-8; 0 when there is none.
size_t space_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(0);
  if (first < 0x80) return (first >= 0x09 && first <= 0x0d) || (first >= 0x1c && first <= 0x20);
  if (first == 0xc2) return byte(1) == 0x85 || byte(1) == 0xa0 ? 2 : 0;  // U+0085, U+00A0
  const unsigned code = (first & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
  if (first < 0xe1 || first > 0xe3 || (byte(1) & 0xc0) != 0x80 || (byte(2) & 0xc0) != 0x80) return 0;
  const bool space = code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f ||
                     code == 0x205f || code == 0x3000;
  return space ? 3 : 0;
}

size_t skip_spaces(std::string_view text, size_t at) {
  while (at < text.size()) {
    const size_t n = space_length(text.substr(at));
    if (n == 0) break;
    at += n;
  }
  return at;
}

// Calls fn(piece) for each piece.
template <class Fn>
void split(std::string_view text, std::string_view delimiter, int64_t most, Fn fn) {
  if (!delimiter.empty()) {
    for (int64_t n = 0; n < most; ++n) {
      const size_t at = text.find(delimiter);
      if (at == text.npos) break;
      fn(text.substr(0, at));
      text.remove_prefix(at + delimiter.size());
    }
    fn(text);
    return;
  }
  size_t at = skip_spaces(text, 0);
  for (int64_t n = 0; at < text.size(); ++n) {
    if (n == most) return fn(text.substr(at));
    size_t end = at;
    while (end < text.size() && space_length(text.substr(end)) == 0) ++end;
    fn(text.substr(at, end - at));
    at = skip_spaces(text, end);
  }
}

Status infer(InferContext& c) {
  ir::Type pieces = ir::Type::tensor(DType::kString), counts = ir::Type::tensor(DType::kInt64);
  if (c.shape(0)) {
    pieces.shape = counts.shape = *c.shape(0);
    pieces.shape->push_back(ir::Dim::unknown());
  }
  c.set_output(0, std::move(pieces));
  c.set_output(1, std::move(counts));
  return {};
}

Status reference(KernelContext& c) {
  const auto& a = c.attrs<StringSplitAttrs>();
  const int64_t most = a.maxsplit && *a.maxsplit >= 0 ? *a.maxsplit : std::numeric_limits<int64_t>::max();
  const auto texts = c.input(0).span<std::string>();
  const std::span<int64_t> counts = c.scratch<int64_t>(c.input(0).num_elements());
  int64_t widest = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    counts[i] = 0;
    split(texts[i], a.delimiter, most, [&](std::string_view) { ++counts[i]; });
    widest = std::max(widest, counts[i]);
  }
  if (c.has_output(0)) {
    Dims dims = c.input(0).dims();
    dims.push_back(widest);
    CAMEO_TRY(c.allocate_output(0, DType::kString, dims));
    auto* to = c.output(0).data<std::string>();
    for (size_t i = 0; i < texts.size(); ++i, to += widest) {
      std::string* next = to;
      split(texts[i], a.delimiter, most, [&](std::string_view piece) { *next++ = piece; });
      for (; next < to + widest; ++next) next->clear();
    }
  }
  if (c.has_output(1)) std::copy(counts.begin(), counts.end(), c.output(1).data<int64_t>());
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(StringSplit) = {
    .name = "StringSplit",
    .min_version = 20,
    .max_outputs = 2,
    .input_types = {kStringType},
    .make_attrs = &ir::make_attrs<StringSplitAttrs>,
    .infer = &infer,
    .reference = &reference,
    .flags = kDataDependent,
};

}  // namespace cameo::ops
