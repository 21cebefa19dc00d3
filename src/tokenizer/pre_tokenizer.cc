#include "tokenizer/pre_tokenizer.h"

#include <algorithm>

#include "tokenizer/byte_level.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace cameo::tokenizer {
namespace {

constexpr std::string_view kKnown =
    "BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, Punctuation, Sequence, Split, UnicodeScripts, "
    "Whitespace, WhitespaceSplit";

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
      if (end > begin) out.push_back(piece.part(begin, end));
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
    PieceList::Stored& stored = list.storage.emplace_back();
    std::string& out = stored.text;
    out.reserve(bytes + 2);
    if (list.tracked) stored.origins.reserve(bytes + 2);
    std::vector<Piece> pieces;
    pieces.reserve(std::max(list.pieces.size(), bytes / 8));
    std::string prefixed;
    std::vector<Origin> prefixed_origins;
    for (const Piece& piece : list.pieces) {
      if (piece.added_token) {
        pieces.push_back(piece);
        continue;
      }
      Piece whole = piece;
      if (add_prefix_space_ && !piece.text.starts_with(' ')) {
        prefixed.assign(1, ' ').append(piece.text);
        whole.text = prefixed;
        if (list.tracked) whole.origins = with_prefix(piece, prefixed_origins);
      }
      for (size_t at = 0; at < whole.text.size();) {
        const size_t end = use_regex_ ? gpt2_word_end(whole.text, at) : whole.text.size();
        const size_t start = out.size();
        append_byte_level(out, whole.text.substr(at, end - at));
        const Origin* origins = list.tracked ? stored.origins.data() + start : nullptr;
        if (list.tracked) append_origins(whole, at, end, stored.origins);
        pieces.push_back({std::string_view(out).substr(start), origins, 0, {}});
        at = end;
      }
    }
    list.pieces = std::move(pieces);
    return {};
  }

 private:
  // The origins of the piece after a space, which has that of the piece's first character.
  static const Origin* with_prefix(const Piece& piece, std::vector<Origin>& out) {
    out.clear();
    out.push_back(piece.origin(0, 1));
    for (size_t at = 0; at < piece.text.size(); ++at) out.push_back(piece.origin(at, at + 1));
    return out.data();
  }

  // The origins of the bytes [begin, end) of the piece, for each byte of their form in the alphabet.
  static void append_origins(const Piece& piece, size_t begin, size_t end, std::vector<Origin>& out) {
    for (size_t at = begin; at < end; ++at) {
      const Origin origin = piece.origin(at, at + 1);
      out.insert(out.end(), byte_level_size(piece.text[at]), origin);
    }
  }

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

class BertPreTokenizer : public PreTokenizer {
 public:
  Status pre_tokenize(PieceList& list) const override {
    return split_pieces(list, [](std::string_view text, const auto& emit) -> Status {
      size_t start = 0;
      for (size_t at = 0; at < text.size();) {
        const CodePoint c = decode_at(text, at);
        const size_t next = at + c.bytes;
        const bool space = whitespace().contains(c.value);
        if (space || punctuation().contains(c.value)) {
          emit(start, at);
          if (!space) emit(at, next);
          start = next;
        }
        at = next;
      }
      emit(start, text.size());
      return {};
    });
  }
};

class CharDelimiterSplit : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(std::string delimiter) : delimiter_(std::move(delimiter)) {}
  Status pre_tokenize(PieceList& list) const override {
    return split_pieces(list, [&](std::string_view text, const auto& emit) -> Status {
      size_t start = 0;
      for (size_t at = 0; (at = text.find(delimiter_, start)) != std::string_view::npos; start = at + delimiter_.size()) emit(start, at);
      emit(start, text.size());
      return {};
    });
  }

 private:
  std::string delimiter_;
};

// Pieces of a number of code points each, the last one of fewer.
class FixedLength : public PreTokenizer {
 public:
  explicit FixedLength(uint32_t length) : length_(length) {}
  Status pre_tokenize(PieceList& list) const override {
    return split_pieces(list, [&](std::string_view text, const auto& emit) -> Status {
      for (size_t at = 0; at < text.size();) {
        const size_t start = at;
        for (uint32_t i = 0; i < length_ && at < text.size(); ++i) at += decode_at(text, at).bytes;
        emit(start, at);
      }
      return {};
    });
  }

 private:
  uint32_t length_;
};

// A new piece where the script changes. As in Hugging Face's tokenizers, text before the first character that has a script
// is dropped.
class UnicodeScripts : public PreTokenizer {
 public:
  Status pre_tokenize(PieceList& list) const override {
    return split_pieces(list, [](std::string_view text, const auto& emit) -> Status {
      int script = -1;
      size_t start = text.size();
      for (size_t at = 0; at < text.size();) {
        const CodePoint c = decode_at(text, at);
        const int here = script_of(c.value);
        if (here >= 0 && here != script) {
          if (script >= 0) emit(start, at);
          start = at;
          script = here;
        }
        at += c.bytes;
      }
      emit(start, text.size());
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
  bool needs_origins() const override {
    return std::ranges::any_of(stages_, [](const auto& stage) { return stage->needs_origins(); });
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> stages_;
};

}  // namespace

Result<std::unique_ptr<PreTokenizer>> parse_pre_tokenizer(const Json& json, std::string where, int depth) {
  if (depth > kMaxStageDepth) return error(ErrorCode::kUnsupported, "{} is nested more than {} deep", where, kMaxStageDepth);
  CAMEO_ASSIGN(const Fields fields, Fields::of(json, std::move(where)));
  CAMEO_ASSIGN(const std::string type, fields.type());
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "CharDelimiterSplit") {
    CAMEO_ASSIGN(std::string delimiter, fields.character("delimiter"));
    return std::make_unique<CharDelimiterSplit>(std::move(delimiter));
  }
  if (type == "FixedLength") {
    CAMEO_ASSIGN(const uint32_t length, fields.uint32_or("length", 5));
    if (length == 0) return invalid(fields.path("length"), "must be 1 or more");
    return std::make_unique<FixedLength>(length);
  }
  if (type == "Metaspace") return parse_metaspace(fields);
  if (type == "UnicodeScripts") return std::make_unique<UnicodeScripts>();
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
