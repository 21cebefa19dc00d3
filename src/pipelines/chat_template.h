// A model's chat template, run as transformers runs it.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "cameo/generate.h"
#include "jinja/template.h"

namespace cameo {

class ChatTemplate {
 public:
  // `special_tokens` are variables of the template: "bos_token" and so on. Errors: kInvalidModel with the line.
  static Result<ChatTemplate> parse(const std::string& source, std::map<std::string, std::string> special_tokens);

  // Errors: kInvalidInput with the template's own words (raise_exception); kInvalidModel where it fails or does not end.
  Result<std::string> render(std::span<const ChatMessage> messages, bool add_generation_prompt) const;

 private:
  ChatTemplate(jinja::Template parsed, std::map<std::string, std::string> special_tokens)
      : template_(std::move(parsed)), special_tokens_(std::move(special_tokens)) {}

  jinja::Template template_;
  std::map<std::string, std::string> special_tokens_;
};

}  // namespace cameo
