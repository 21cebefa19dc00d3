#include "tokenizer/pre_tokenizer.h"

#include "tokenizer/byte_level.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace cameo::tokenizer {
namespace {

constexpr std::string_view kKnown = "ByteLevel, Digits, Punctuation, Sequence, Split, Whitespace, WhitespaceSplit";

// Replaces each piece of text by the parts that split_text(text, emit) emits; empty ones are dropped.
template <class SplitText>
Status split_pieces(PieceList& list, const SplitText& split_text) {
  std::vector<Piece> out;
  out.reserve(list.pieces.size());
  for (const Piece& piece : list.pieces) {
    if (piece.added_token) {
      out.push_back(piece);
      continue;
    }
    const auto emit = [&](size_t begin, size_t end) {
      if (end > begin) out.push_back({piece.text.substr(begin, end - begin), std::nullopt});
    };
    CAMEO_TRY(split_text(piece.text, emit));
  }
  list.pieces = std::move(out);
  return {};
}

// Splits each piece at its matches.
template <class FindMatches>
Status split_matches(PieceList& list, SplitBehavior behavior, bool invert, const FindMatches& find_matches) {
  return split_pieces(list, [&](std::string_view text, const auto& emit) -> Status {
    CAMEO_ASSIGN(const std::vector<Span> matches, find_matches(text));
    for (const Span& part : split_at(text.size(), matches, behavior, invert)) emit(part.begin, part.end);
    return {};
  });
}

// Each code point of the set is a match.
Status split_at_set(PieceList& list, SplitBehavior behavior, const CodePointSet& set) {
  return split_matches(list, behavior, false, [&](std::string_view text) -> Result<std::vector<Span>> {
    std::vector<Span> matches;
    for (size_t at = 0; at < text.size();) {
      const CodePoint c = decode_at(text, at);
      if (set.contains(c.value)) matches.push_back({at, at + c.bytes});
      at += c.bytes;
    }
    return matches;
  });
}

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex) : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}

  Status pre_tokenize(PieceList& list) const override {
    // All the text goes into one string, which must not move once pieces point into it.
    size_t bytes = 0;
    for (const Piece& piece : list.pieces) bytes += piece.added_token ? 0 : 2 * (piece.text.size() + 1);
    if (bytes / 2 > list.limits.max_bytes) {
      return error(ErrorCode::kInvalidInput, "the pre-tokenizer makes the text longer than {} bytes", list.limits.max_bytes);
    }
    std::string& out = list.storage.emplace_back();
    out.reserve(bytes + 2);
    std::vector<Piece> pieces;
    pieces.reserve(std::max(list.pieces.size(), bytes / 8));
    std::string prefixed;
    for (const Piece& piece : list.pieces) {
      if (piece.added_token) {
        pieces.push_back(piece);
        continue;
      }
      std::string_view text = piece.text;
      if (add_prefix_space_ && !text.starts_with(' ')) {
        prefixed.assign(1, ' ').append(text);
        text = prefixed;
      }
      for (size_t at = 0; at < text.size();) {
        const size_t end = use_regex_ ? gpt2_word_end(text, at) : text.size();
        const size_t start = out.size();
        append_byte_level(out, text.substr(at, end - at));
        pieces.push_back({std::string_view(out).substr(start), std::nullopt});
        at = end;
      }
    }
    list.pieces = std::move(pieces);
    return {};
  }

 private:
  bool add_prefix_space_, use_regex_;
};

// Numbers apart from the rest, each digit by itself or not.
class Digits : public PreTokenizer {
 public:
  explicit Digits(bool individual) : behavior_(individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous) {}
  Status pre_tokenize(PieceList& list) const override { return split_at_set(list, behavior_, numeric()); }

 private:
  SplitBehavior behavior_;
};

class Punctuation : public PreTokenizer {
 public:
  explicit Punctuation(SplitBehavior behavior) : behavior_(behavior) {}
  Status pre_tokenize(PieceList& list) const override { return split_at_set(list, behavior_, punctuation()); }

 private:
  SplitBehavior behavior_;
};

class WhitespaceSplit : public PreTokenizer {
 public:
  Status pre_tokenize(PieceList& list) const override { return split_at_set(list, SplitBehavior::kRemoved, whitespace()); }
};

// The matches of \w+|[^\w\s]+ (by the crate regex).
class Whitespace : public PreTokenizer {
 public:
  Status pre_tokenize(PieceList& list) const override {
    return split_pieces(list, [](std::string_view text, const auto& emit) -> Status {
      enum Kind { kWord, kSpace, kOther };
      Kind kind = kSpace;
      size_t start = 0;
      for (size_t at = 0; at < text.size();) {
        const CodePoint c = decode_at(text, at);
        const Kind here = regex_word().contains(c.value) ? kWord : whitespace().contains(c.value) ? kSpace : kOther;
        if (here != kind) {
          if (kind != kSpace) emit(start, at);
          kind = here;
          start = at;
        }
        at += c.bytes;
      }
      if (kind != kSpace) emit(start, text.size());
      return {};
    });
  }
};

class Split : public PreTokenizer {
 public:
  Split(Pattern pattern, SplitBehavior behavior, bool invert) : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  Status pre_tokenize(PieceList& list) const override {
    return split_matches(list, behavior_, invert_, [&](std::string_view text) { return pattern_.find_all(text, list.limits); });
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class Sequence : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PreTokenizer>> stages) : stages_(std::move(stages)) {}
  Status pre_tokenize(PieceList& list) const override {
    for (const auto& stage : stages_) CAMEO_TRY(stage->pre_tokenize(list));
    return {};
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> stages_;
};

}  // namespace

Result<std::unique_ptr<PreTokenizer>> parse_pre_tokenizer(const Json& json, std::string where, int depth) {
  if (depth > kMaxStageDepth) return error(ErrorCode::kUnsupported, "{} is nested more than {} deep", where, kMaxStageDepth);
  CAMEO_ASSIGN(const Fields fields, Fields::of(json, std::move(where)));
  CAMEO_ASSIGN(const std::string type, fields.type());
  if (type == "ByteLevel") {
    CAMEO_ASSIGN(const bool add_prefix_space, fields.boolean("add_prefix_space"));
    CAMEO_ASSIGN(const bool use_regex, fields.boolean_or("use_regex", true));
    return std::make_unique<ByteLevel>(add_prefix_space, use_regex);
  }
  if (type == "Digits") {
    CAMEO_ASSIGN(const bool individual, fields.boolean("individual_digits"));
    return std::make_unique<Digits>(individual);
  }
  if (type == "Punctuation") {
    SplitBehavior behavior = SplitBehavior::kIsolated;
    if (fields.has("behavior")) {
      CAMEO_ASSIGN(behavior, parse_split_behavior(fields, "behavior"));
    }
    return std::make_unique<Punctuation>(behavior);
  }
  if (type == "Split") {
    CAMEO_ASSIGN(Pattern pattern, Pattern::parse(fields, "pattern"));
    CAMEO_ASSIGN(const SplitBehavior behavior, parse_split_behavior(fields, "behavior"));
    CAMEO_ASSIGN(const bool invert, fields.boolean("invert"));
    return std::make_unique<Split>(std::move(pattern), behavior, invert);
  }
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplit>();
  if (type == "Sequence") {
    CAMEO_ASSIGN(const Json* list, fields.array("pretokenizers"));
    std::vector<std::unique_ptr<PreTokenizer>> stages;
    for (const Json& item : *list) {
      CAMEO_ASSIGN(auto stage, parse_pre_tokenizer(item, fmt::format("{}[{}]", fields.path("pretokenizers"), stages.size()), depth + 1));
      stages.push_back(std::move(stage));
    }
    return std::make_unique<Sequence>(std::move(stages));
  }
  return unsupported_type(fields, type, kKnown);
}

}  // namespace cameo::tokenizer
