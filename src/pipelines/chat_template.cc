#include "pipelines/chat_template.h"

#include "base/error.h"
#include "tokenizer/unicode.h"

namespace cameo {

Result<ChatTemplate> ChatTemplate::parse(const std::string& source, std::map<std::string, std::string> special_tokens) {
  CAMEO_ASSIGN(jinja::Template parsed, jinja::Template::parse(source));
  return ChatTemplate(std::move(parsed), std::move(special_tokens));
}

Result<std::string> ChatTemplate::render(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
  std::unordered_map<std::string, jinja::Value> variables;
  for (const auto& [name, token] : special_tokens_) variables[name] = jinja::Value(token);
  std::vector<jinja::Value> list;
  for (size_t i = 0; i < messages.size(); ++i) {
    auto message = std::make_shared<jinja::Dict>();
    for (const std::string* text : {&messages[i].role, &messages[i].content})
      if (const size_t bad = tokenizer::find_invalid_utf8(*text); bad != std::string_view::npos)
        return error(ErrorCode::kInvalidInput, "message {} is not UTF-8 at byte {}", i + 1, bad);
    CAMEO_TRY(message->set("role", jinja::Value(messages[i].role)));
    CAMEO_TRY(message->set("content", jinja::Value(messages[i].content)));
    list.emplace_back(std::shared_ptr<const jinja::Dict>(std::move(message)));
  }
  variables["messages"] = jinja::Value::list(std::move(list));
  variables["add_generation_prompt"] = jinja::Value(add_generation_prompt);
  // As transformers passes them where there are none.
  variables["tools"] = variables["documents"] = jinja::Value();
  return template_.render(variables);
}

}  // namespace cameo
