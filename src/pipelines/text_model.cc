#include "pipelines/text_model.h"

#include "base/error.h"

namespace cameo {

Result<TextModel> TextModel::load(const std::string& path, const TextModelOptions& options) {
  Logger& logger = options.logger ? *options.logger : default_logger();
  CAMEO_ASSIGN(ModelFolder folder, read_model_folder(path));
  // The tokenizer first: a missing one is noticed before a plan is built.
  CAMEO_ASSIGN(Tokenizer tokenizer, load_tokenizer(folder, options.tokenizer));
  CAMEO_TRY(tokenizer.set_truncation(std::nullopt));
  CAMEO_TRY(tokenizer.set_padding(std::nullopt));
  if (folder.end_tokens.empty() && !folder.end_token.empty())
    if (const auto id = tokenizer.token_to_id(folder.end_token)) folder.end_tokens.push_back(*id);
  if (!options.plan.empty()) folder.model = options.plan;

  std::optional<ChatTemplate> chat;
  std::optional<Error> chat_error;
  if (!folder.chat_template.empty()) {
    auto parsed = ChatTemplate::parse(folder.chat_template, folder.special_tokens);
    if (parsed.ok())
      chat = std::move(parsed).value();
    else
      chat_error = std::move(parsed).error().in(folder.chat_template_file);
  }
  std::string why_not_cached;
  BuildOptions build = options.build;
  build.kv_cache = options.kv_cache;
  CAMEO_ASSIGN(const Plan plan, load_or_build(folder, build, logger, &why_not_cached));
  CAMEO_ASSIGN(Engine engine, Engine::load(plan, {.logger = options.logger}));
  return TextModel(std::make_shared<const Impl>(
      Impl{std::move(folder), std::move(engine), std::move(tokenizer), std::move(chat), std::move(chat_error), std::move(why_not_cached)}));
}

const Engine& TextModel::engine() const { return impl_->engine; }
const Tokenizer& TextModel::tokenizer() const { return impl_->tokenizer; }
const GenerateOptions& TextModel::defaults() const { return impl_->folder.defaults; }
std::span<const uint32_t> TextModel::end_tokens() const { return impl_->folder.end_tokens; }
size_t TextModel::max_positions() const { return impl_->folder.max_positions; }
bool TextModel::has_chat_template() const { return impl_->chat.has_value() || impl_->chat_error.has_value(); }

Result<std::string> TextModel::chat_prompt(std::span<const ChatMessage> messages) const {
  if (impl_->chat_error) return *impl_->chat_error;
  if (!impl_->chat)
    return error(ErrorCode::kUnsupported,
                 "the model has no chat template; it would be in chat_template.jinja, tokenizer_config.json or config.json");
  auto text = impl_->chat->render(messages, /*add_generation_prompt=*/true);
  if (!text.ok()) return std::move(text).error().in(impl_->folder.chat_template_file);
  return text;
}

Result<std::vector<uint32_t>> TextModel::encode_chat(std::span<const ChatMessage> messages) const {
  CAMEO_ASSIGN(const std::string prompt, chat_prompt(messages));
  // The template writes the special tokens itself.
  CAMEO_ASSIGN(Encoding encoding, impl_->tokenizer.encode(prompt, {.add_special_tokens = false}));
  return std::move(encoding.ids);
}

}  // namespace cameo
