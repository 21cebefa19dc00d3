#include "tokenizer/aligned_text.h"

namespace cameo::tokenizer {
namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

Origin origin_of(std::string_view text, const Origin* origins, uint32_t start, size_t begin, size_t end) {
  if (origins != nullptr) return {origins[begin].begin, origins[end - 1].end};
  while (begin > 0 && continues(text[begin])) --begin;
  while (end < text.size() && continues(text[end])) ++end;
  return {start + static_cast<uint32_t>(begin), start + static_cast<uint32_t>(end)};
}

void AlignedText::transform(const std::vector<Change>& changes, size_t skipped) {
  TextRewriter out(*this);
  size_t at = 0;
  const auto advance = [&](int64_t count) {
    for (; count > 0 && at < text_.size(); --count) at += decode_at(text_, at).bytes;
  };
  advance(static_cast<int64_t>(skipped));
  for (const Change& c : changes) {
    if (c.change > 0 || at >= text_.size()) {
      std::string inserted;
      append_utf8(inserted, c.code_point);
      out.put_after(inserted, at);
    } else {
      out.put(c.code_point, at);
      advance(1 - int64_t{c.change});
    }
  }
  out.finish();
}

// Writes the origins of what is there so far, which is the old text up to here.
void TextRewriter::leave_plain() {
  plain_ = false;
  if (!old_.tracked_) return;
  origins_.reserve(old_.text_.size() + 16);
  for (size_t at = 0; at < new_.size();) {
    const uint32_t bytes = decode_at(new_, at).bytes;
    const auto begin = old_.start_ + static_cast<uint32_t>(at);
    origins_.insert(origins_.end(), bytes, {begin, begin + bytes});
    at += bytes;
  }
}

// Gives new bytes the origin of the bytes [begin, end) of the old text.
void TextRewriter::append_origin(size_t bytes, size_t begin, size_t end) {
  if (!old_.tracked_) return;
  const Origin* origins = old_.origins_.empty() ? nullptr : old_.origins_.data();
  origins_.insert(origins_.end(), bytes,
                  end == 0 ? Origin{old_.start_, old_.start_} : origin_of(old_.text_, origins, old_.start_, begin, end));
}

void TextRewriter::keep(size_t begin, size_t end) {
  if (begin == end) return;
  if (plain_ && new_.size() != begin) leave_plain();
  if (!plain_ && old_.tracked_) {
    if (!old_.origins_.empty()) {
      origins_.insert(origins_.end(), old_.origins_.begin() + static_cast<ptrdiff_t>(begin),
                      old_.origins_.begin() + static_cast<ptrdiff_t>(end));
    } else {
      for (size_t at = begin; at < end;) {
        const uint32_t bytes = decode_at(old_.text_, at).bytes;
        const auto first = old_.start_ + static_cast<uint32_t>(at);
        origins_.insert(origins_.end(), bytes, {first, first + bytes});
        at += bytes;
      }
    }
  }
  new_.append(old_.text_, begin, end - begin);
}

void TextRewriter::put_ascii(char c, size_t at) {
  if (plain_ && (new_.size() != at || static_cast<unsigned char>(old_.text_[at]) >= 0x80)) leave_plain();
  if (!plain_) append_origin(1, at, at + 1);
  new_ += c;
}

void TextRewriter::put(uint32_t code_point, size_t at) {
  const size_t before = new_.size();
  append_utf8(new_, code_point);
  const size_t bytes = new_.size() - before;
  if (plain_ && (before != at || bytes != decode_at(old_.text_, at).bytes)) {
    std::string last = new_.substr(before);
    new_.resize(before);
    leave_plain();
    new_ += last;
  }
  if (!plain_) append_origin(bytes, at, at + 1);
}

void TextRewriter::put_after(std::string_view text, size_t end) {
  if (text.empty()) return;
  if (plain_) leave_plain();
  append_origin(text.size(), end == 0 ? 0 : end - 1, end);
  new_ += text;
}

void TextRewriter::finish() {
  old_.text_ = std::move(new_);
  old_.origins_ = std::move(origins_);
}

}  // namespace cameo::tokenizer
