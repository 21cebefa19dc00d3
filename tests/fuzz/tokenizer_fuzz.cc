// Fuzzes the tokenizer: files, regular expressions and text. Nothing may crash, hang or run out of memory.
//
// The first byte says what the rest is: 'J' a tokenizer.json, a zero byte and a text; 'R' a regular expression, a zero
// byte and a text; anything else a text for a tokenizer that has most stages.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tokenizer/regex.h"
#include "cameo/tokenizer.h"
#include "tokenizer/unicode.h"

namespace {

constexpr std::string_view kEveryStage = R"({
  "added_tokens": [
    {"id": 0, "content": "<s>", "single_word": false, "lstrip": true, "rstrip": true, "normalized": false, "special": true},
    {"id": 1, "content": "ab", "single_word": true, "lstrip": false, "rstrip": true, "normalized": true, "special": false},
    {"id": 2, "content": "\n", "single_word": false, "lstrip": true, "rstrip": false, "normalized": false, "special": false}],
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "Lowercase"}, {"type": "NFC"}, {"type": "Strip", "strip_left": true, "strip_right": true},
    {"type": "Replace", "pattern": {"Regex": "[\\p{M}&&[^\\u0301]]+|x*y"}, "content": "é"}, {"type": "Prepend", "prepend": "▁"}]},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": false}, {"type": "Punctuation", "behavior": "MergedWithNext"},
    {"type": "Split", "pattern": {"Regex": "\\s+(?!\\S)|\\p{L}+?(?=e)|\\s+"}, "behavior": "Contiguous", "invert": true}, {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}]},
  "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 1}}], "pair": [],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
  "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "ByteLevel"}, {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]},
  "model": {"type": "BPE", "unk_token": "u", "fuse_unk": true, "byte_fallback": true, "ignore_merges": true,
    "vocab": {"a": 0, "b": 1, "ab": 2, "e": 3, "u": 4, "Ġ": 5, "Ġa": 6, "Ã": 7, "©": 8, "Ã©": 9, "aa": 10, "aaaa": 11, "<0xE2>": 12, "<0xC4>": 13, "<0x96>": 14},
    "merges": ["a a", "aa aa", "Ġ a", "a b", "Ã ©"]}})";

void use(const cameo::Tokenizer& tokenizer, std::string_view text) {
  const auto raw = tokenizer.encode(text);
  if (raw.ok() && cameo::tokenizer::find_invalid_utf8(text) != std::string_view::npos) std::abort();
  const auto encoding = tokenizer.encode(cameo::tokenizer::to_valid_utf8(text));
  if (!encoding) return;
  if (encoding->ids.size() != encoding->type_ids.size() || encoding->ids.size() != encoding->special_tokens_mask.size()) std::abort();
  for (const bool skip : {false, true}) {
    const auto decoded = tokenizer.decode(encoding->ids, skip);
    if (decoded.ok() && cameo::tokenizer::find_invalid_utf8(*decoded) != std::string_view::npos) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const cameo::Tokenizer every_stage = cameo::Tokenizer::from_json(kEveryStage).value();
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t zero = input.find('\0');
  const std::string_view first = input.substr(0, zero);
  const std::string_view second = zero == std::string_view::npos ? std::string_view() : input.substr(zero + 1);
  if (data[0] == 'J') {
    const auto tokenizer = cameo::Tokenizer::from_json(first);
    if (tokenizer) use(*tokenizer, second);
  } else if (data[0] == 'R') {
    const std::string pattern = cameo::tokenizer::to_valid_utf8(first);
    const auto regex = cameo::tokenizer::Regex::parse(pattern);
    if (!regex) return 0;
    const std::string text = cameo::tokenizer::to_valid_utf8(second);
    uint64_t steps = 1'000'000;
    const auto found = regex->find_all(text, steps);
    if (!found) return 0;
    size_t at = 0;
    for (const cameo::tokenizer::Span& span : *found) {
      if (span.begin < at || span.end < span.begin || span.end > text.size()) std::abort();
      at = span.end;
    }
  } else {
    use(every_stage, input);
  }
  return 0;
}
