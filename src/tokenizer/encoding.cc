#include "tokenizer/encoding.h"

#include <algorithm>

#include "base/error.h"

namespace cameo::tokenizer {
namespace {

constexpr size_t kMaxTokens = size_t{1} << 24;  // of all overflowing parts together, or of padding

// Calls visit(member of a, member of b) for each vector of tokens' properties.
template <class Visit>
void for_each_vector(Encoding& a, const Encoding& b, const Visit& visit) {
  visit(a.ids, b.ids);
  visit(a.type_ids, b.type_ids);
  visit(a.special_tokens_mask, b.special_tokens_mask);
  visit(a.attention_mask, b.attention_mask);
  visit(a.offsets, b.offsets);
  visit(a.words, b.words);
  visit(a.tokens, b.tokens);
}

void append_tokens(Encoding& encoding, const Encoding& more) {
  for_each_vector(encoding, more, [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); });
}

Encoding part(const Encoding& encoding, size_t begin, size_t end) {
  Encoding out;
  for_each_vector(out, encoding, [&](auto& to, const auto& from) {
    if (!from.empty()) to.assign(from.begin() + static_cast<ptrdiff_t>(begin), from.begin() + static_cast<ptrdiff_t>(end));
  });
  return out;
}

Error too_many(size_t tokens) {
  return error(ErrorCode::kInvalidInput, "the text overflows into {} tokens in all parts; at most {} are supported", tokens, kMaxTokens);
}

}  // namespace

Status append(Encoding& encoding, const Encoding& more) {
  std::vector<Encoding> overflowing;
  const size_t mine = encoding.overflowing.size(), others = more.overflowing.size();
  if (mine > 0 || others > 0) {
    const size_t parts = (mine + 1) * (others + 1) - 1;
    const size_t tokens = encoding.ids.size() + more.ids.size() + 1;  // the first parts are the longest
    if (parts > kMaxTokens / tokens) return too_many(parts * tokens);
    overflowing.reserve(parts);
  }
  const auto join = [&](const Encoding& first, const Encoding& second) {
    Encoding& both = overflowing.emplace_back(part(first, 0, first.ids.size()));
    append_tokens(both, second);
  };
  for (const Encoding& part_of_mine : encoding.overflowing) {
    join(part_of_mine, more);
    for (const Encoding& other : more.overflowing) join(part_of_mine, other);
  }
  for (const Encoding& other : more.overflowing) join(encoding, other);
  append_tokens(encoding, more);
  encoding.overflowing = std::move(overflowing);
  return {};
}

Status truncate(Encoding& encoding, size_t length, const Truncation& truncation, bool overflow) {
  const size_t size = encoding.ids.size();
  if (length >= size) return {};
  const bool left = truncation.side == Side::kLeft;
  if (!overflow) {
    encoding = left ? part(encoding, size - length, size) : part(encoding, 0, length);
    return {};
  }
  if (length == 0) {
    Encoding empty;
    empty.overflowing.push_back(std::move(encoding));
    encoding = std::move(empty);
    return {};
  }
  if (truncation.stride >= length) {
    return error(ErrorCode::kInvalidInput, "the text is truncated to {} tokens, which must be more than the stride of {}", length,
                 truncation.stride);
  }
  const size_t step = length - truncation.stride;
  const size_t parts = (size - length + step - 1) / step + 1;
  if (parts > kMaxTokens / (length + 1)) return too_many(parts * length);
  Encoding first;
  for (size_t i = 0; i < parts; ++i) {
    const size_t cut = i * step;
    const size_t begin = left ? size - cut - std::min(length, size - cut) : cut;
    const size_t end = left ? size - cut : std::min(cut + length, size);
    if (i == 0) {
      first = part(encoding, begin, end);
    } else {
      first.overflowing.push_back(part(encoding, begin, end));
    }
  }
  encoding = std::move(first);
  return {};
}

Status truncate(std::vector<Encoding>& texts, size_t length, const Truncation& truncation, bool overflow) {
  size_t total = 0;
  for (const Encoding& text : texts) total += text.ids.size();
  if (length == 0) {
    for (Encoding& text : texts) CAMEO_TRY(truncate(text, 0, truncation, overflow));
    return {};
  }
  if (total <= length) return {};
  if (truncation.strategy != Truncation::Strategy::kLongestFirst) {
    const size_t which = truncation.strategy == Truncation::Strategy::kOnlyFirst ? 0 : 1;
    if (which >= texts.size()) return error(ErrorCode::kInvalidInput, "truncation cuts the second text only, and there is no second text");
    const size_t size = texts[which].ids.size();
    if (size <= total - length) {
      return error(ErrorCode::kInvalidInput, "{} tokens must be cut off the {} text to leave {}, and it has {}", total - length,
                   which == 0 ? "first" : "second", length, size);
    }
    return truncate(texts[which], size - (total - length), truncation, overflow);
  }
  if (texts.size() == 1) return truncate(texts[0], length, truncation, overflow);
  const size_t sizes[] = {texts[0].ids.size(), texts[1].ids.size()};
  const size_t shorter = sizes[0] > sizes[1] ? 1 : 0;
  size_t kept[2];
  kept[shorter] = sizes[shorter];
  kept[1 - shorter] = sizes[shorter] > length ? sizes[shorter] : std::max(sizes[shorter], length - sizes[shorter]);
  if (kept[0] + kept[1] > length) {
    kept[shorter] = length / 2;
    kept[1 - shorter] = length / 2 + length % 2;
  }
  for (size_t i = 0; i < 2; ++i) CAMEO_TRY(truncate(texts[i], kept[i], truncation, overflow));
  return {};
}

size_t padded_length(size_t longest, const Padding& padding) {
  const size_t length = padding.length.value_or(longest);
  const size_t rest = padding.multiple_of > 0 ? length % padding.multiple_of : 0;
  return rest == 0 ? length : length + (padding.multiple_of - rest);
}

Status pad(Encoding& encoding, size_t length, const Padding& padding, const EncodeOptions& options) {
  if (length > kMaxTokens)
    return error(ErrorCode::kInvalidInput, "padding to {} tokens is not supported; at most {} are", length, kMaxTokens);
  for (Encoding& more : encoding.overflowing) CAMEO_TRY(pad(more, length, padding, options));
  const size_t size = encoding.ids.size();
  if (size >= length) return {};
  const auto fill = [&](auto& values, const auto& value) {
    values.insert(padding.side == Side::kLeft ? values.begin() : values.end(), length - size, value);
  };
  fill(encoding.ids, padding.id);
  fill(encoding.type_ids, padding.type_id);
  fill(encoding.special_tokens_mask, uint8_t{1});
  fill(encoding.attention_mask, uint8_t{0});
  if (options.offsets != OffsetUnit::kNone) {
    fill(encoding.offsets, Encoding::Offsets{});
    fill(encoding.words, Encoding::kNoWord);
  }
  if (options.tokens) fill(encoding.tokens, padding.token);
  return {};
}

}  // namespace cameo::tokenizer
