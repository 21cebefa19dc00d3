#include "cameo/tokenizer.h"

#include <algorithm>
#include <mutex>

#include "base/file.h"
#include "base/thread_pool.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/decoder.h"
#include "tokenizer/encoding.h"
#include "tokenizer/model.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/settings.h"
#include "tokenizer/unicode.h"

namespace cameo {
namespace {

using namespace tokenizer;

constexpr size_t kMaxFileBytes = size_t{1} << 30;
constexpr size_t kMaxTextBytes = size_t{1} << 28;

// Builds one optional stage with a parse function.
template <class Stage, class Parse>
Status parse_stage(const Fields& file, std::string_view key, std::unique_ptr<Stage>& stage, const Parse& parse) {
  if (!file.has(key)) return {};
  CAMEO_ASSIGN(stage, parse(*file.find(key), std::string(key), 0));
  return {};
}

// Turns offsets in bytes of a text into offsets in its characters.
class CharacterOffsets {
 public:
  explicit CharacterOffsets(std::string_view text) : text_size_(text.size()) {
    const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (std::ranges::all_of(text, ascii)) return;
    of_byte_.reserve(text.size());
    uint32_t character = 0;
    for (size_t at = 0; at < text.size(); ++character) {
      const uint32_t bytes = decode_at(text, at).bytes;
      of_byte_.insert(of_byte_.end(), bytes, character);
      at += bytes;
    }
  }

  // Places past the text are what Hugging Face's tokenizers makes of them.
  Encoding::Offsets convert(size_t begin, size_t end) const {
    if (begin >= text_size_) return {begin, end};
    const auto character = [&](size_t byte) -> size_t { return of_byte_.empty() ? byte : of_byte_[byte]; };
    if (end < text_size_) return {character(begin), character(end)};
    const size_t last = end <= text_size_ ? character(end - 1) : character(begin) + 1;
    return {character(begin), last + 1};
  }

 private:
  size_t text_size_;
  std::vector<uint32_t> of_byte_;  // empty for ASCII
};

}  // namespace

class Tokenizer::Impl {
 public:
  Status read(const Fields& file) {
    if (file.has("version")) {
      CAMEO_ASSIGN(const std::string version, file.string("version"));
      if (version != "1.0") return error(ErrorCode::kUnsupported, "version is '{}'; only '1.0' is known", version.substr(0, 100));
    }
    if (!file.has("model")) return invalid("model", "is missing; this is not a tokenizer.json");
    CAMEO_ASSIGN(model_, parse_model(*file.find("model"), "model"));
    CAMEO_TRY(parse_stage(file, "normalizer", normalizer_, parse_normalizer));
    CAMEO_TRY(parse_stage(file, "pre_tokenizer", pre_tokenizer_, parse_pre_tokenizer));
    CAMEO_TRY(parse_stage(file, "post_processor", post_processor_, parse_post_processor));
    CAMEO_TRY(parse_stage(file, "decoder", decoder_, parse_decoder));
    const Json* added = file.has("added_tokens") ? file.find("added_tokens") : nullptr;
    CAMEO_ASSIGN(added_, AddedTokens::parse(added, model_->vocabulary(), normalizer_.get(), warnings_));
    size_ = model_->vocabulary().size();
    id_end_ = model_->vocabulary().id_end();
    for (const AddedToken& token : added_.tokens()) {
      if (!model_->vocabulary().id(token.content)) ++size_;
      id_end_ = std::max(id_end_, token.id + 1);
    }
    return {};
  }

  // Encodes one text or a pair and truncates it; padding is the caller's.
  Result<Encoding> encode(const TextInput& input, const EncodeOptions& wanted, const std::optional<Truncation>& truncation) const {
    EncodeOptions options = wanted;
    if (options.offsets != OffsetUnit::kNone && post_processor_ && post_processor_->trims_offsets()) options.tokens = true;
    std::vector<Encoding> parts(input.pair ? 2 : 1);
    CAMEO_TRY(encode_text(input.text, options, parts[0]));
    if (input.pair) {
      if (auto status = encode_text(*input.pair, options, parts[1]); !status) return std::move(status).error().in("the second text");
      std::ranges::fill(parts[1].type_ids, 1);
    }
    if (truncation) {
      CAMEO_ASSIGN(const size_t length, text_length(*truncation, input.pair.has_value(), options.add_special_tokens));
      CAMEO_TRY(truncate(parts, length, *truncation, options.overflow));
    }
    if (post_processor_) CAMEO_TRY(post_processor_->process(parts, options));
    Encoding result = parts.empty() ? Encoding() : std::move(parts[0]);
    for (size_t i = 1; i < parts.size(); ++i) CAMEO_TRY(append(result, parts[i]));
    if (options.tokens && !wanted.tokens) {
      result.tokens.clear();
      for (Encoding& more : result.overflowing) more.tokens.clear();
    }
    return result;
  }

  // Encodes texts on several threads; the error is that of the first text that has one.
  Result<std::vector<Encoding>> encode_batch(std::span<const TextInput> texts, const EncodeOptions& options,
                                             const std::optional<Truncation>& truncation, int threads) const {
    std::vector<std::optional<Result<Encoding>>> results(texts.size());
    const auto encode_one = [&](int64_t i, int) {
      results[static_cast<size_t>(i)] = encode(texts[static_cast<size_t>(i)], options, truncation);
    };
    if (threads == 1 || texts.size() < 2) {
      for (size_t i = 0; i < texts.size(); ++i) encode_one(static_cast<int64_t>(i), 0);
    } else {
      const std::lock_guard lock(pool_mutex_);
      if (!pool_ || pool_threads_ != threads) {
        pool_ = std::make_unique<ThreadPool>(threads);
        pool_threads_ = threads;
      }
      pool_->parallel_for(static_cast<int64_t>(texts.size()), encode_one);
    }
    std::vector<Encoding> encodings;
    encodings.reserve(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      if (!*results[i]) return std::move(*results[i]).error().in(fmt::format("text {}", i));
      encodings.push_back(std::move(*results[i]).value());
    }
    return encodings;
  }

  Result<std::string> decode(std::span<const uint32_t> ids, bool skip_special_tokens) const {
    std::vector<std::string> tokens;
    tokens.reserve(ids.size());
    size_t bytes = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto token = text_of(ids[i]);
      if (!token) {
        return error(ErrorCode::kInvalidInput, "id {} (place {}) has no token; the vocabulary has {} tokens, with ids below {}", ids[i], i,
                     size_, id_end_);
      }
      if (skip_special_tokens && added_.is_special(*token)) continue;
      bytes += token->size();
      tokens.emplace_back(*token);
    }
    const bool spaced = !decoder_;
    Limits limits = Limits::for_text(bytes);
    if (decoder_) CAMEO_TRY(decoder_->decode(tokens, limits));
    std::string text;
    for (const std::string& token : tokens) {
      if (spaced && &token != &tokens.front()) text += ' ';
      text += token;
    }
    return text;
  }

  // How many tokens truncation leaves to the text; an error where that is less than none.
  Result<size_t> text_length(const Truncation& truncation, bool pair, bool add_special_tokens) const {
    const size_t added = add_special_tokens && post_processor_ ? post_processor_->added_tokens(pair) : 0;
    if (truncation.max_length < added) {
      return error(ErrorCode::kInvalidArgument, "truncation to {} tokens leaves no room for {} special tokens", truncation.max_length,
                   added);
    }
    return truncation.max_length - added;
  }

  // The token that decoding sees: of an added token its normalized form.
  std::optional<std::string_view> text_of(uint32_t id) const {
    if (const AddedToken* token = added_.find(id)) return token->normalized_content;
    return model_->vocabulary().token(id);
  }

  std::optional<uint32_t> id_of(std::string_view token) const {
    if (const AddedToken* added = added_.find(token)) return added->id;
    return model_->vocabulary().id(token);
  }

  const AddedTokens& added() const { return added_; }
  size_t size() const { return size_; }
  uint32_t id_end() const { return id_end_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  // Each call of encode borrows buffers and a cache, so that they are of use to the next call and no two threads share them.
  struct Workspace {
    std::unique_ptr<ModelState> state;
    std::vector<ModelToken> tokens;
  };

  Status encode_text(std::string_view text, const EncodeOptions& options, Encoding& out) const {
    if (text.size() > kMaxTextBytes) {
      return error(ErrorCode::kInvalidInput, "the text has {} bytes; at most {} can be encoded at once", text.size(), kMaxTextBytes);
    }
    if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
      return error(ErrorCode::kInvalidInput, "the text is not UTF-8: byte {} (0x{:02x})", bad, static_cast<unsigned char>(text[bad]));
    }
    PieceList list;
    list.limits = Limits::for_text(text.size());
    list.tracked = options.offsets != OffsetUnit::kNone || (pre_tokenizer_ && pre_tokenizer_->needs_origins());
    CAMEO_TRY(added_.extract(text, normalizer_.get(), list));
    if (pre_tokenizer_) CAMEO_TRY(pre_tokenizer_->pre_tokenize(list));
    Workspace workspace = take_workspace();
    const Status status = tokenize(text, list, options, workspace, out);
    give_back(std::move(workspace));
    return status;
  }

  Status tokenize(std::string_view text, const PieceList& list, const EncodeOptions& options, Workspace& workspace, Encoding& out) const {
    const std::optional<CharacterOffsets> characters =
        options.offsets == OffsetUnit::kCharacters ? std::optional<CharacterOffsets>(text) : std::nullopt;
    const std::optional<uint32_t> verbatim = model_->verbatim_id();
    out.ids.reserve(list.pieces.size() + list.pieces.size() / 4);
    for (size_t i = 0; i < list.pieces.size(); ++i) {
      const Piece& piece = list.pieces[i];
      std::vector<ModelToken>& tokens = workspace.tokens;
      tokens.clear();
      if (piece.added_token) {
        tokens.push_back({*piece.added_token, 0, static_cast<uint32_t>(piece.text.size())});
      } else {
        CAMEO_TRY(model_->tokenize(piece.text, *workspace.state, tokens));
      }
      for (const ModelToken& token : tokens) out.ids.push_back(token.id);
      if (options.tokens) {
        for (const ModelToken& token : tokens) {
          const bool as_is = piece.added_token || token.id == verbatim;
          out.tokens.emplace_back(as_is ? piece.text.substr(token.begin, token.end - token.begin) : *model_->vocabulary().token(token.id));
        }
      }
      if (options.offsets != OffsetUnit::kNone) {
        for (const ModelToken& token : tokens) {
          const bool inside = token.begin < token.end && token.end <= piece.text.size();
          const Origin origin = inside ? piece.origin(token.begin, token.end) : Origin{token.begin, token.end};
          out.offsets.push_back(characters ? characters->convert(origin.begin, origin.end) : Encoding::Offsets{origin.begin, origin.end});
        }
        out.words.insert(out.words.end(), tokens.size(), static_cast<uint32_t>(i));
      }
    }
    out.type_ids.assign(out.ids.size(), 0);
    out.special_tokens_mask.assign(out.ids.size(), 0);
    out.attention_mask.assign(out.ids.size(), 1);
    return {};
  }

  Workspace take_workspace() const {
    {
      const std::lock_guard lock(mutex_);
      if (!workspaces_.empty()) {
        Workspace workspace = std::move(workspaces_.back());
        workspaces_.pop_back();
        return workspace;
      }
    }
    return {model_->make_state(), {}};
  }

  void give_back(Workspace workspace) const {
    constexpr size_t kKept = 64;
    constexpr size_t kKeptTokens = 1 << 16;
    if (workspace.tokens.capacity() > kKeptTokens) workspace.tokens = {};
    const std::lock_guard lock(mutex_);
    if (workspaces_.size() < kKept) workspaces_.push_back(std::move(workspace));
  }

  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<PostProcessor> post_processor_;
  std::unique_ptr<Decoder> decoder_;
  AddedTokens added_;
  std::vector<std::string> warnings_;
  size_t size_ = 0;
  uint32_t id_end_ = 0;

  mutable std::mutex mutex_;
  mutable std::vector<Workspace> workspaces_;
  mutable std::mutex pool_mutex_;  // one batch at a time has the threads
  mutable std::unique_ptr<ThreadPool> pool_;
  mutable int pool_threads_ = 0;
};

Result<Tokenizer> Tokenizer::load(const std::string& path) {
  CAMEO_ASSIGN(const MappedFile file, map_file(path));
  if (file.bytes.size() > kMaxFileBytes) {
    return error(ErrorCode::kUnsupported, "{}: {} bytes; at most {} are supported", path, file.bytes.size(), kMaxFileBytes);
  }
  auto tokenizer = from_json({reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size()});
  if (!tokenizer) return std::move(tokenizer).error().in(path);
  return tokenizer;
}

Result<Tokenizer> Tokenizer::from_json(std::string_view text) {
  // The parser reads without recursion; its exceptions are the only way to learn where an error is.
  Json json;
  try {
    json = Json::parse(text.begin(), text.end());
  } catch (const Json::exception& e) {
    return error(ErrorCode::kInvalidModel, "not valid JSON: {}", to_valid_utf8(e.what()));
  }
  if (!json.is_object()) return error(ErrorCode::kInvalidModel, "the file holds {}; a tokenizer.json is an object", json.type_name());
  CAMEO_ASSIGN(const Fields file, Fields::of(json, ""));
  auto impl = std::make_shared<Impl>();
  CAMEO_TRY(impl->read(file));
  Tokenizer tokenizer(std::move(impl));
  CAMEO_ASSIGN(std::optional<Truncation> truncation, parse_truncation(file));
  CAMEO_ASSIGN(tokenizer.padding_, parse_padding(file));
  if (auto status = tokenizer.set_truncation(truncation); !status) return invalid("truncation", "is wrong: " + status.error().message());
  return tokenizer;
}

Result<Encoding> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  CAMEO_ASSIGN(Encoding encoding, impl_->encode(text, options, truncation_));
  if (padding_) CAMEO_TRY(pad(encoding, padded_length(encoding.ids.size(), *padding_), *padding_, options));
  return encoding;
}

Result<Encoding> Tokenizer::encode_pair(std::string_view first, std::string_view second, EncodeOptions options) const {
  CAMEO_ASSIGN(Encoding encoding, impl_->encode({first, second}, options, truncation_));
  if (padding_) CAMEO_TRY(pad(encoding, padded_length(encoding.ids.size(), *padding_), *padding_, options));
  return encoding;
}

Result<std::vector<Encoding>> Tokenizer::encode_batch(std::span<const TextInput> texts, EncodeOptions options, int threads) const {
  if (threads < 0) return error(ErrorCode::kInvalidArgument, "{} threads; it must be 0 or more", threads);
  CAMEO_ASSIGN(std::vector<Encoding> encodings, impl_->encode_batch(texts, options, truncation_, threads));
  if (!padding_ || encodings.empty()) return encodings;
  const size_t longest = std::ranges::max(encodings, {}, [](const Encoding& e) { return e.ids.size(); }).ids.size();
  const size_t length = padded_length(longest, *padding_);
  for (Encoding& encoding : encodings) CAMEO_TRY(pad(encoding, length, *padding_, options));
  return encodings;
}

Result<std::string> Tokenizer::decode(std::span<const uint32_t> ids, bool skip_special_tokens) const {
  return impl_->decode(ids, skip_special_tokens);
}

size_t Tokenizer::vocab_size() const { return impl_->size(); }

uint32_t Tokenizer::id_end() const { return impl_->id_end(); }

std::optional<uint32_t> Tokenizer::token_to_id(std::string_view token) const { return impl_->id_of(token); }

std::optional<std::string> Tokenizer::id_to_token(uint32_t id) const {
  const auto token = impl_->text_of(id);
  return token ? std::optional<std::string>(*token) : std::nullopt;
}

std::vector<uint32_t> Tokenizer::special_ids() const {
  std::vector<uint32_t> ids;
  for (const tokenizer::AddedToken& token : impl_->added().tokens()) {
    if (token.special) ids.push_back(token.id);
  }
  std::ranges::sort(ids);
  return ids;
}

Status Tokenizer::set_truncation(std::optional<Truncation> truncation) {
  if (truncation) {
    CAMEO_ASSIGN(const size_t length, impl_->text_length(*truncation, false, true));
    if (length < truncation->stride) {
      return error(ErrorCode::kInvalidArgument, "truncation leaves {} tokens to the text, which must not be fewer than the stride of {}",
                   length, truncation->stride);
    }
  }
  truncation_ = truncation;
  return {};
}

Status Tokenizer::set_padding(std::optional<Padding> padding) {
  padding_ = std::move(padding);
  return {};
}

const std::vector<std::string>& Tokenizer::warnings() const { return impl_->warnings(); }

}  // namespace cameo
