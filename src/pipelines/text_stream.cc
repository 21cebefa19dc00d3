#include "pipelines/text_stream.h"

#include <algorithm>

#include "base/error.h"

namespace cameo {
namespace {

constexpr size_t kContext = 8;  // tokens kept before the ones that are still open
constexpr size_t kWindow = 32;  // tokens after which the window is shortened
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// The length of the text without the U+FFFD at its end that may yet become a character; its bytes are three at most.
size_t certain_length(std::string_view text) {
  size_t end = text.size();
  for (int i = 0; i < 3 && text.substr(0, end).ends_with(kReplacement); ++i) end -= kReplacement.size();
  return end;
}

}  // namespace

Result<TextStream> TextStream::create(const Tokenizer& tokenizer, std::span<const uint32_t> prompt) {
  TextStream stream(tokenizer);
  const auto tail = prompt.last(std::min(prompt.size(), kContext));
  for (const uint32_t id : tail)
    if (tokenizer.id_to_token(id)) stream.window_.push_back(id);
  CAMEO_ASSIGN(const std::string text, tokenizer.decode(stream.window_));
  stream.given_ = text.size();
  return stream;
}

Result<std::string> TextStream::push(uint32_t token) {
  if (!tokenizer_.id_to_token(token)) return std::string();
  window_.push_back(token);
  CAMEO_ASSIGN(const std::string text, tokenizer_.decode(window_));
  const size_t end = certain_length(text);
  // A decoder that changed text already given out must not make half a character of what follows.
  while (given_ < end && (static_cast<unsigned char>(text[given_]) & 0xc0) == 0x80) ++given_;
  std::string piece;
  if (end > given_) {
    piece = text.substr(given_, end - given_);
    given_ = end;
  }
  if (window_.size() > kWindow) {
    const std::vector<uint32_t> rest(window_.end() - kContext, window_.end());
    CAMEO_ASSIGN(const std::string shorter, tokenizer_.decode(rest));
    const std::string_view open = std::string_view(text).substr(std::min(given_, text.size()));
    if (shorter.ends_with(open)) {
      window_ = rest;
      given_ = shorter.size() - open.size();
    }
  }
  return piece;
}

Result<std::string> TextStream::finish() {
  CAMEO_ASSIGN(const std::string text, tokenizer_.decode(window_));
  std::string piece = text.size() > given_ ? text.substr(given_) : std::string();
  given_ = text.size();
  return piece;
}

}  // namespace cameo
