// Byte-pair encoding: a piece's characters, or bytes where a character is not in the vocabulary, are joined pair by pair,
// the pair that comes first in the list of merges first, and of equal ones the leftmost.
//
// Three ways, by the piece's length:
//   - a cache of short pieces, since most words are seen again;
//   - up to 24 symbols: look for the best pair by going over all of them, which needs no further memory;
//   - more: a heap of candidate pairs over a linked list, O(n log n), so that a megabyte of one letter is no trouble.
#include <algorithm>
#include <array>
#include <bit>

#include "tokenizer/model.h"
#include "tokenizer/unicode.h"
#include "tokenizer/word_cache.h"

namespace cameo::tokenizer {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

struct Merge {
  uint32_t rank = kNone;
  uint32_t id = 0;
};

// From a pair of ids to its place among the merges and the id they make: open addressing.
class MergeTable {
 public:
  void reserve(size_t count) { slots_.assign(std::bit_ceil(std::max<size_t>(count, 1) * 2), Slot{}); }

  // The last of several merges of the same pair counts, as in Hugging Face's tokenizers.
  void insert(uint32_t left, uint32_t right, Merge merge) {
    const uint64_t key = uint64_t{left} << 32 | right;
    Slot& slot = slots_[index_of(key)];
    slot = {key, merge};
  }

  Merge find(uint32_t left, uint32_t right) const { return slots_[index_of(uint64_t{left} << 32 | right)].merge; }

 private:
  struct Slot {
    uint64_t key = UINT64_MAX;
    Merge merge;
  };

  // The slot of the key, or the empty one where it belongs.
  size_t index_of(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    uint64_t h = key * 0x9e3779b97f4a7c15u;
    size_t at = (h ^ (h >> 32)) & mask;
    while (slots_[at].key != key && slots_[at].key != UINT64_MAX) at = (at + 1) & mask;
    return at;
  }

  std::vector<Slot> slots_;
};

// A character or merged characters, and the bytes of the piece that they stand for.
struct Unit {
  uint32_t id;
  uint32_t bytes;
};

// A part of the piece; `next` and `previous` are places in the list of symbols.
struct Symbol {
  uint32_t id;
  uint32_t bytes;
  uint32_t previous;
  uint32_t next;
  bool removed;
};

struct Candidate {
  uint32_t rank;
  uint32_t at;
  uint32_t id;
  bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
};

struct BpeState : ModelState {
  WordCache cache;
  std::vector<Unit> initial;
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

class Bpe : public Model {
 public:
  static Result<std::unique_ptr<Model>> parse(const Fields& fields);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::unique_ptr<ModelState> make_state() const override { return std::make_unique<BpeState>(); }

  Status tokenize(std::string_view piece, ModelState& model_state, std::vector<ModelToken>& tokens) const override {
    auto& state = static_cast<BpeState&>(model_state);
    const uint64_t hash = hash_bytes(piece);
    if (state.cache.find(piece, hash, tokens)) return {};
    const size_t start = tokens.size();
    const auto whole = ignore_merges_ ? vocabulary_.id(piece) : std::nullopt;
    if (whole) {
      tokens.push_back({*whole, 0, static_cast<uint32_t>(piece.size())});
    } else {
      CAMEO_TRY(split_to_symbols(piece, state.initial));
      merge(state, tokens);
    }
    state.cache.insert(piece, hash, tokens.data() + start, tokens.size() - start);
    return {};
  }

 private:
  Status read_merges(const Fields& fields);

  Status split_to_symbols(std::string_view piece, std::vector<Unit>& out) const;
  void merge(BpeState& state, std::vector<ModelToken>& tokens) const;
  void merge_short(std::vector<Unit>& symbols) const;
  void merge_long(BpeState& state, std::vector<ModelToken>& tokens) const;

  uint32_t character_id(std::string_view text, uint32_t code_point) const {
    if (code_point < plain_ids_.size()) return plain_ids_[code_point];
    return vocabulary_.id(text).value_or(kNone);
  }

  Vocabulary vocabulary_;
  MergeTable merges_;
  std::string unknown_name_;
  uint32_t unknown_ = kNone;  // kNone also where the name is not in the vocabulary, which only matters once it is needed
  bool has_unknown_ = false;
  std::string subword_prefix_;
  std::string word_suffix_;
  bool fuse_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
  bool empty_merges_ = false;                // some merge adds nothing to its left part
  std::array<uint32_t, 0x180> plain_ids_{};  // of the first code points, kNone where there is none
  std::array<uint32_t, 256> byte_ids_{};     // of <0x00> to <0xFF>
};

Result<std::unique_ptr<Model>> Bpe::parse(const Fields& fields) {
  auto bpe = std::make_unique<Bpe>();
  CAMEO_ASSIGN(const Json* vocab, fields.object("vocab"));
  CAMEO_ASSIGN(bpe->vocabulary_, Vocabulary::parse(*vocab, fields.path("vocab")));
  if (fields.has("dropout")) {
    const Json* dropout = fields.find("dropout");
    if (!dropout->is_number() || !(dropout->get<double>() >= 0 && dropout->get<double>() <= 1)) {
      return invalid(fields.path("dropout"), "must be a number from 0 to 1");
    }
    if (dropout->get<double>() != 0) {
      return error(ErrorCode::kUnsupported, "{} is {}; random tokenization is not supported, set it to null", fields.path("dropout"),
                   dropout->get<double>());
    }
  }
  CAMEO_ASSIGN(bpe->subword_prefix_, fields.string_or("continuing_subword_prefix", ""));
  CAMEO_ASSIGN(bpe->word_suffix_, fields.string_or("end_of_word_suffix", ""));
  CAMEO_ASSIGN(bpe->fuse_unknown_, fields.boolean_or("fuse_unk", false));
  CAMEO_ASSIGN(bpe->byte_fallback_, fields.boolean_or("byte_fallback", false));
  CAMEO_ASSIGN(bpe->ignore_merges_, fields.boolean_or("ignore_merges", false));
  if (fields.has("unk_token")) {
    CAMEO_ASSIGN(bpe->unknown_name_, fields.string("unk_token"));
    bpe->has_unknown_ = true;
    bpe->unknown_ = bpe->vocabulary_.id(bpe->unknown_name_).value_or(kNone);
  }
  CAMEO_TRY(bpe->read_merges(fields));
  for (uint32_t c = 0; c < bpe->plain_ids_.size(); ++c) {
    std::string text;
    append_utf8(text, c);
    bpe->plain_ids_[c] = bpe->vocabulary_.id(text).value_or(kNone);
  }
  for (uint32_t b = 0; b < 256; ++b) bpe->byte_ids_[b] = bpe->vocabulary_.id(fmt::format("<0x{:02X}>", b)).value_or(kNone);
  return bpe;
}

Status Bpe::read_merges(const Fields& fields) {
  CAMEO_ASSIGN(const Json* list, fields.array("merges"));
  const std::string path = fields.path("merges");
  merges_.reserve(list->size());
  std::string joined;
  uint32_t rank = 0;
  const bool strings = !list->empty() && list->front().is_string();
  for (size_t i = 0; i < list->size(); ++i) {
    const Json& item = (*list)[i];
    const auto where = [&] { return fmt::format("{}[{}]", path, i); };
    std::string_view left, right;
    if (strings && item.is_string()) {
      const std::string_view line = item.get_ref<const std::string&>();
      if (line.starts_with("#version")) continue;
      const size_t space = line.find(' ');
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
        return error(ErrorCode::kInvalidModel, "{} is '{}'; it must be two tokens with one space between", where(), line.substr(0, 100));
      }
      left = line.substr(0, space);
      right = line.substr(space + 1);
    } else if (!strings && item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
      left = item[0].get_ref<const std::string&>();
      right = item[1].get_ref<const std::string&>();
    } else {
      return invalid(where(), "must be two tokens, [\"a\", \"b\"] in all merges or \"a b\" in all merges");
    }
    const auto left_id = vocabulary_.id(left), right_id = vocabulary_.id(right);
    if (!left_id || !right_id) {
      return error(ErrorCode::kInvalidModel, "{} has '{}', which is not in the vocabulary", where(),
                   (left_id ? right : left).substr(0, 100));
    }
    if (right.size() < subword_prefix_.size()) {
      return error(ErrorCode::kInvalidModel, "{} joins '{}', which is shorter than continuing_subword_prefix, '{}'", where(), right,
                   subword_prefix_.substr(0, 100));
    }
    joined.assign(left).append(right.substr(subword_prefix_.size()));
    const auto id = vocabulary_.id(joined);
    if (!id) {
      return error(ErrorCode::kInvalidModel, "{} makes '{}', which is not in the vocabulary", where(), joined.substr(0, 100));
    }
    if (left.empty() || right.size() == subword_prefix_.size()) empty_merges_ = true;
    merges_.insert(*left_id, *right_id, {rank++, *id});
  }
  return {};
}

Status Bpe::split_to_symbols(std::string_view piece, std::vector<Unit>& out) const {
  out.clear();
  const bool affixes = !subword_prefix_.empty() || !word_suffix_.empty();
  uint32_t unknown_bytes = 0;  // of an unknown that is written once it is known that the next one does not join it
  const auto write_unknown = [&] {
    if (unknown_bytes > 0) out.push_back({unknown_, unknown_bytes});
    unknown_bytes = 0;
  };
  std::string with_affixes;
  for (size_t at = 0; at < piece.size();) {
    const CodePoint c = decode_at(piece, at);
    std::string_view text = piece.substr(at, c.bytes);
    const bool first = at == 0;
    at += c.bytes;
    uint32_t id = kNone;
    if (affixes) {
      with_affixes.clear();
      if (!first) with_affixes += subword_prefix_;
      with_affixes += text;
      if (at == piece.size()) with_affixes += word_suffix_;
      text = with_affixes;
      id = vocabulary_.id(text).value_or(kNone);
    } else {
      id = character_id(text, c.value);
    }
    if (id != kNone) {
      write_unknown();
      out.push_back({id, c.bytes});
      continue;
    }
    const auto byte_id = [this](char b) { return byte_ids_[static_cast<unsigned char>(b)]; };
    if (byte_fallback_ && std::ranges::none_of(text, [&](char b) { return byte_id(b) == kNone; })) {
      // An unknown before these bytes comes after them, as in Hugging Face's tokenizers.
      for (const char b : text) out.push_back({byte_id(b), 1});
      continue;
    }
    if (has_unknown_) {
      if (unknown_ == kNone) {
        return error(ErrorCode::kInvalidModel, "model.unk_token is '{}', which is not in the vocabulary, and '{}' needs it",
                     unknown_name_.substr(0, 100), text);
      }
      if (!fuse_unknown_) write_unknown();
      unknown_bytes += c.bytes;
    }
  }
  write_unknown();
  return {};
}

void Bpe::merge(BpeState& state, std::vector<ModelToken>& tokens) const {
  constexpr size_t kShort = 24;
  if (state.initial.size() > kShort || empty_merges_) {
    merge_long(state, tokens);
    return;
  }
  merge_short(state.initial);
  uint32_t at = 0;
  for (const Unit& unit : state.initial) {
    tokens.push_back({unit.id, at, at + unit.bytes});
    at += unit.bytes;
  }
}

void Bpe::merge_short(std::vector<Unit>& symbols) const {
  std::array<Merge, 24> pairs;  // pairs[i] joins symbols i and i + 1
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) pairs[i] = merges_.find(symbols[i].id, symbols[i + 1].id);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNone) break;
    symbols[best] = {pairs[best].id, symbols[best].bytes + symbols[best + 1].bytes};
    for (size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      pairs[i - 1] = pairs[i];
    }
    --count;
    if (best > 0) pairs[best - 1] = merges_.find(symbols[best - 1].id, symbols[best].id);
    if (best + 1 < count) pairs[best] = merges_.find(symbols[best].id, symbols[best + 1].id);
  }
  symbols.resize(count);
}

void Bpe::merge_long(BpeState& state, std::vector<ModelToken>& tokens) const {
  std::vector<Symbol>& symbols = state.symbols;
  std::vector<Candidate>& heap = state.heap;
  const auto count = static_cast<uint32_t>(state.initial.size());
  symbols.resize(count);
  heap.clear();
  for (uint32_t i = 0; i < count; ++i) {
    const Unit& unit = state.initial[i];
    symbols[i] = {unit.id, unit.bytes, i == 0 ? kNone : i - 1, i + 1 < count ? i + 1 : kNone, false};
  }
  const auto candidate = [&](uint32_t at, bool& found) {
    const Merge merge = merges_.find(symbols[at].id, symbols[symbols[at].next].id);
    found = merge.rank != kNone;
    return Candidate{merge.rank, at, merge.id};
  };
  for (uint32_t i = 0; i + 1 < count; ++i) {
    bool found = false;
    const Candidate c = candidate(i, found);
    if (found) heap.push_back(c);
  }
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate top = heap.back();
    heap.pop_back();
    Symbol& left = symbols[top.at];
    if (left.removed || left.next == kNone) continue;
    // The pair may have changed since it was pushed.
    Symbol& right = symbols[left.next];
    const Merge now = merges_.find(left.id, right.id);
    if (now.rank == kNone || now.id != top.id) continue;
    left.id = top.id;
    left.bytes += right.bytes;
    left.next = right.next;
    right.removed = true;
    if (left.next != kNone) symbols[left.next].previous = top.at;
    const auto push = [&](uint32_t at) {
      bool found = false;
      const Candidate c = candidate(at, found);
      if (!found) return;
      heap.push_back(c);
      std::push_heap(heap.begin(), heap.end());
    };
    if (left.previous != kNone) push(left.previous);
    if (left.next != kNone) push(top.at);
  }
  uint32_t at = 0;
  for (const Symbol& symbol : symbols) {
    if (symbol.removed) continue;
    tokens.push_back({symbol.id, at, at + symbol.bytes});
    at += symbol.bytes;
  }
  // A very long piece is rare: do not keep its memory.
  if (symbols.capacity() > 1 << 16) {
    symbols = {};
    heap = {};
    state.initial = {};
  }
}

}  // namespace

Result<std::unique_ptr<Model>> parse_bpe(const Fields& fields) { return Bpe::parse(fields); }

}  // namespace cameo::tokenizer
