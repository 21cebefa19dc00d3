#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <mutex>

#include "base/file.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/decoder.h"
#include "tokenizer/model.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pre_tokenizer.h"
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

}  // namespace

class Tokenizer::Impl {
 public:
  Status read(const Fields& file) {
    if (file.has("version")) {
      CAMEO_ASSIGN(const std::string version, file.string("version"));
      if (version != "1.0") return error(ErrorCode::kUnsupported, "version is '{}'; only '1.0' is known", version.substr(0, 100));
    }
    for (const char* key : {"truncation", "padding"}) {
      if (file.has(key)) return error(ErrorCode::kUnsupported, "{} is set, which is not supported; set it to null", key);
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

  Result<Encoding> encode(std::string_view text, EncodeOptions options) const {
    if (text.size() > kMaxTextBytes) {
      return error(ErrorCode::kInvalidInput, "the text has {} bytes; at most {} can be encoded at once", text.size(), kMaxTextBytes);
    }
    if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
      return error(ErrorCode::kInvalidInput, "the text is not UTF-8: byte {} (0x{:02x})", bad, static_cast<unsigned char>(text[bad]));
    }
    PieceList list;
    list.limits = Limits::for_text(text.size());
    CAMEO_TRY(added_.extract(text, normalizer_.get(), list));
    if (pre_tokenizer_) CAMEO_TRY(pre_tokenizer_->pre_tokenize(list));
    Encoding encoding;
    encoding.ids.reserve(list.pieces.size());
    std::unique_ptr<ModelState> state = take_state();
    for (const Piece& piece : list.pieces) {
      if (piece.added_token) {
        encoding.ids.push_back(*piece.added_token);
      } else {
        CAMEO_TRY(model_->tokenize(piece.text, *state, encoding.ids));
      }
    }
    give_back(std::move(state));
    encoding.type_ids.assign(encoding.ids.size(), 0);
    encoding.special_tokens_mask.assign(encoding.ids.size(), 0);
    if (post_processor_) CAMEO_TRY(post_processor_->process(encoding, options.add_special_tokens));
    return encoding;
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
  // Each call of encode borrows a state, so that its cache is of use to the next call and no two threads share one.
  std::unique_ptr<ModelState> take_state() const {
    {
      const std::lock_guard lock(mutex_);
      if (!states_.empty()) {
        auto state = std::move(states_.back());
        states_.pop_back();
        return state;
      }
    }
    return model_->make_state();
  }

  void give_back(std::unique_ptr<ModelState> state) const {
    constexpr size_t kKept = 64;
    const std::lock_guard lock(mutex_);
    if (states_.size() < kKept) states_.push_back(std::move(state));
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
  mutable std::vector<std::unique_ptr<ModelState>> states_;
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
  return Tokenizer(std::move(impl));
}

Result<Encoding> Tokenizer::encode(std::string_view text, EncodeOptions options) const { return impl_->encode(text, options); }

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

const std::vector<std::string>& Tokenizer::warnings() const { return impl_->warnings(); }

}  // namespace cameo
