// The tokenizer that a GGUF file carries.
#pragma once

#include <optional>
#include <string>

#include "gguf/file.h"

namespace cameo::gguf {

// The byte-level BPE (tokenizer.ggml.model "gpt2") or SentencePiece's ("llama") of the file as a tokenizer.json. Errors: kInvalidModel for
// lists that do not fit together; kUnsupported for another kind, or a way of splitting text (tokenizer.ggml.pre) that is not known.
Result<std::string> tokenizer_json(const File& file);

// A value of the metadata; nothing where it is missing or of another kind.
std::optional<std::string> meta_text(const File& file, const std::string& key);
std::optional<uint64_t> meta_count(const File& file, const std::string& key);
// The text of the token whose number the entry gives ("tokenizer.ggml.eos_token_id").
std::optional<std::string> meta_token(const File& file, const std::string& key);

}  // namespace cameo::gguf
