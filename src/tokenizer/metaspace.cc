// SentencePiece's way to keep spaces: each becomes a visible character, which also goes before the text, and words start
// with it.
#include <algorithm>

#include "tokenizer/pre_tokenizer.h"

namespace cameo::tokenizer {
namespace {

class Metaspace : public PreTokenizer {
 public:
  enum class Prepend { kFirst, kNever, kAlways };
  Metaspace(std::string replacement, Prepend prepend, bool split)
      : replacement_(std::move(replacement)), prepend_(prepend), split_(split) {}

  Status pre_tokenize(PieceList& list) const override {
    std::vector<Piece> pieces;
    pieces.reserve(list.pieces.size());
    for (const Piece& piece : list.pieces) {
      if (piece.added_token) {
        pieces.push_back(piece);
        continue;
      }
      PieceList::Stored& stored = list.storage.emplace_back();
      replace(piece, list.tracked, stored);
      if (stored.text.size() > list.limits.max_bytes) {
        return error(ErrorCode::kInvalidInput, "the pre-tokenizer makes the text longer than {} bytes", list.limits.max_bytes);
      }
      const Piece whole = {stored.text, list.tracked ? stored.origins.data() : nullptr, 0, {}};
      if (split_) {
        split(whole, pieces);
      } else {
        pieces.push_back(whole);
      }
    }
    list.pieces = std::move(pieces);
    return {};
  }

  bool needs_origins() const override { return prepend_ == Prepend::kFirst; }

 private:
  // The piece with its spaces replaced and what is to be prepended, which has the origin of the first character.
  void replace(const Piece& piece, bool tracked, PieceList::Stored& out) const {
    const auto spaces = static_cast<size_t>(std::ranges::count(piece.text, ' '));
    const size_t bytes = piece.text.size() + (spaces + 1) * replacement_.size();
    out.text.reserve(bytes);
    if (tracked) out.origins.reserve(bytes);
    const auto put = [&](std::string_view text, size_t at) {
      out.text += text;
      if (tracked) out.origins.insert(out.origins.end(), text.size(), piece.origin(at, at + 1));
    };
    const bool starts = piece.text.starts_with(' ') || piece.text.starts_with(replacement_);
    if (!starts && (prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && piece.origin(0, 1).begin == 0))) put(replacement_, 0);
    for (size_t at = 0; at < piece.text.size(); ++at) put(piece.text[at] == ' ' ? replacement_ : piece.text.substr(at, 1), at);
  }

  // Each replacement character starts a piece.
  void split(const Piece& whole, std::vector<Piece>& pieces) const {
    size_t start = 0;
    while (start < whole.text.size()) {
      const size_t from = whole.text.substr(start).starts_with(replacement_) ? start + replacement_.size() : start;
      const size_t end = std::min(whole.text.find(replacement_, from), whole.text.size());
      pieces.push_back(whole.part(start, end));
      start = end;
    }
  }

  std::string replacement_;
  Prepend prepend_;
  bool split_;
};

}  // namespace

Result<std::unique_ptr<PreTokenizer>> parse_metaspace(const Fields& fields) {
  CAMEO_ASSIGN(std::string replacement, fields.character("replacement"));
  CAMEO_ASSIGN(const bool split, fields.boolean_or("split", true));
  CAMEO_ASSIGN(const std::string scheme, fields.string_or("prepend_scheme", "always"));
  CAMEO_ASSIGN(const bool add_prefix_space, fields.boolean_or("add_prefix_space", true));
  auto prepend = Metaspace::Prepend::kAlways;
  if (scheme == "first") {
    prepend = Metaspace::Prepend::kFirst;
  } else if (scheme == "never") {
    prepend = Metaspace::Prepend::kNever;
  } else if (scheme != "always") {
    return invalid(fields.path("prepend_scheme"), fmt::format("is '{}'; it must be first, never or always", scheme.substr(0, 100)));
  }
  if (!add_prefix_space) {
    if (prepend != Metaspace::Prepend::kNever)
      return invalid(fields.path("add_prefix_space"), "is false, which prepend_scheme contradicts");
  }
  return std::make_unique<Metaspace>(std::move(replacement), prepend, split);
}

}  // namespace cameo::tokenizer
