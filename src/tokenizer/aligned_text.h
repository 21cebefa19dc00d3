// A text that normalizers change, which remembers where in the original text each of its bytes comes from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/unicode.h"

namespace cameo::tokenizer {

// The bytes [begin, end) of the original text.
struct Origin {
  uint32_t begin;
  uint32_t end;
};

// The origin of the bytes [begin, end) of a text of which every byte has an origin. `origins` is null where the text is a
// part of the original from byte `start` on; code points count as a whole.
Origin origin_of(std::string_view text, const Origin* origins, uint32_t start, size_t begin, size_t end);

// One code point of a changed text. change <= 0: it stands for the next code point of the text before the change, and
// -change further ones are removed. change > 0: it is inserted, with the origin of what is before it.
struct Change {
  uint32_t code_point;
  int32_t change;
};

class AlignedText {
 public:
  // A part of the original text, which starts at its byte `start`. Without `tracked` origins are not kept.
  AlignedText(std::string_view part, uint32_t start, bool tracked) : text_(part), start_(start), tracked_(tracked) {}

  const std::string& text() const { return text_; }
  uint32_t start() const { return start_; }
  // One for each byte, or none while every byte still stands for itself, or where origins are not tracked.
  const std::vector<Origin>& origins() const { return origins_; }

  std::string take_text() { return std::move(text_); }
  std::vector<Origin> take_origins() { return std::move(origins_); }

  // Replaces the text, without its first `skipped` code points, by the changes.
  void transform(const std::vector<Change>& changes, size_t skipped = 0);

 private:
  friend class TextRewriter;

  std::string text_;
  std::vector<Origin> origins_;
  uint32_t start_;
  bool tracked_;
};

// Writes the new text of an AlignedText from left to right.
class TextRewriter {
 public:
  explicit TextRewriter(AlignedText& text) : old_(text), plain_(text.origins_.empty()) { new_.reserve(text.text_.size()); }

  size_t size() const { return new_.size(); }
  // Takes over the bytes [begin, end) of the old text, which are whole code points.
  void keep(size_t begin, size_t end);
  // A byte below 0x80, or a code point, in place of the code point at `at` of the old text, or inserted with its origin.
  void put_ascii(char c, size_t at);
  void put(uint32_t code_point, size_t at);
  // Text with the origin of the old text's code point that ends at `end`; at the start of the text an origin of no bytes.
  void put_after(std::string_view text, size_t end);
  // Gives the AlignedText its new text.
  void finish();

 private:
  void append_origin(size_t bytes, size_t begin, size_t end);
  void leave_plain();

  AlignedText& old_;
  std::string new_;
  std::vector<Origin> origins_;
  bool plain_;  // so far every byte stands for itself
};

}  // namespace cameo::tokenizer
