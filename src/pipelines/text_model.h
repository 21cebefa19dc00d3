// What a TextModel holds.
#pragma once

#include <optional>
#include <string>

#include "cameo/generate.h"
#include "pipelines/chat_template.h"
#include "pipelines/model_folder.h"

namespace cameo {

struct TextModel::Impl {
  ModelFolder folder;
  Engine engine;
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat;  // none: no template, or one that cannot be read
  std::optional<Error> chat_error;   // why it cannot be read
  std::string why_not_cached;        // what the builder said; empty where it was not asked or made a cache
};

}  // namespace cameo
