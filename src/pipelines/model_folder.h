// What the files beside a model say: where the model is, how text ends, how to sample, the chat template.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cameo/generate.h"

namespace cameo {

struct ModelFolder {
  std::string path;                   // as it was given
  std::string model;                  // model.onnx, a plan, a GGUF file, or the folder itself
  std::string tokenizer;              // tokenizer.json
  std::string tokenizer_json;         // its content, where there is no such file and the model (GGUF) brings it
  std::optional<Error> no_tokenizer;  // why it brings none that can be used
  GenerateOptions defaults;
  std::vector<uint32_t> end_tokens;
  std::string end_token;  // its text, where no file gives its id
  size_t max_positions = 0;
  std::string chat_template;                          // empty: none
  std::string chat_template_file;                     // where it was
  std::map<std::string, std::string> special_tokens;  // "bos_token" -> "<s>"
};

// `path` is a folder, or a model in one. Files that are not there are left out, but the model and tokenizer.json have to be.
// Errors: kIo for missing files, kInvalidModel, naming file and field, for damaged ones.
Result<ModelFolder> read_model_folder(const std::string& path);

// The tokenizer of the file given, or, where that is empty, the folder's.
Result<Tokenizer> load_tokenizer(const ModelFolder& folder, const std::string& given);

// The folder's plan, or one that is built of its model; then `why_not_cached`, if any, says why it keeps no keys and values.
Result<Plan> load_or_build(const ModelFolder& folder, const BuildOptions& options, Logger& logger, std::string* why_not_cached);

}  // namespace cameo
