#include "gguf/tokenizer.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace cameo::gguf {
namespace {

using Json = nlohmann::json;

constexpr uint32_t kInt32Type = 5;
constexpr int32_t kControl = 3, kUserDefined = 4;

template <class T>
const T* find(const File& file, const std::string& key) {
  const auto it = file.metadata().find(key);
  return it == file.metadata().end() ? nullptr : std::get_if<T>(&it->second);
}

// How text is split before BPE; null where the name is not known.
Json pre_tokenizer(const std::string& name) {
  const auto bytes = [](bool split) {
    return Json{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", split}};
  };
  const auto sequence = [](Json first, Json second) {
    return Json{{"type", "Sequence"}, {"pretokenizers", Json::array({std::move(first), std::move(second)})}};
  };
  const auto by_pattern = [&](const std::string& digits) {
    const std::string pattern =
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + digits + R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    return sequence({{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}}, bytes(false));
  };
  if (name == "gpt-2" || name == "default") return bytes(true);
  if (name == "smollm") return sequence({{"type", "Digits"}, {"individual_digits", true}}, bytes(true));
  if (name == "qwen2") return by_pattern(R"(\p{N})");
  if (name == "llama-bpe") return by_pattern(R"(\p{N}{1,3})");
  return nullptr;
}

}  // namespace

std::optional<std::string> meta_text(const File& file, const std::string& key) {
  const auto* text = find<std::string_view>(file, key);
  return text == nullptr ? std::nullopt : std::optional<std::string>(*text);
}

std::optional<uint64_t> meta_count(const File& file, const std::string& key) {
  const auto* count = find<uint64_t>(file, key);
  return count == nullptr ? std::nullopt : std::optional(*count);
}

std::optional<std::string> meta_token(const File& file, const std::string& key) {
  const auto id = meta_count(file, key);
  const auto* tokens = find<StringArray>(file, "tokenizer.ggml.tokens");
  if (!id || tokens == nullptr || *id >= tokens->values.size()) return std::nullopt;
  return std::string(tokens->values[*id]);
}

Result<std::string> tokenizer_json(const File& file) {
  const std::string kind = meta_text(file, "tokenizer.ggml.model").value_or("");
  if (kind != "gpt2")
    return error(ErrorCode::kUnsupported, "the file's tokenizer is of kind '{}'; known is gpt2. Put a tokenizer.json beside the file",
                 kind.substr(0, 60));
  const std::string pre = meta_text(file, "tokenizer.ggml.pre").value_or("default");
  const Json splitter = pre_tokenizer(pre);
  if (splitter.is_null())
    return error(ErrorCode::kUnsupported,
                 "the file's tokenizer splits text as '{}'; known are default, gpt-2, llama-bpe, qwen2 and smollm. Put a tokenizer.json "
                 "beside the file",
                 pre.substr(0, 60));
  const auto *tokens = find<StringArray>(file, "tokenizer.ggml.tokens"), *merges = find<StringArray>(file, "tokenizer.ggml.merges");
  const auto* kinds = find<NumberArray>(file, "tokenizer.ggml.token_type");
  if (tokens == nullptr || merges == nullptr) return error(ErrorCode::kInvalidModel, "the file's tokenizer has no tokens or no merges");
  if (tokens->values.size() > UINT32_MAX || (kinds != nullptr && (kinds->type != kInt32Type || kinds->count != tokens->values.size())))
    return error(ErrorCode::kInvalidModel, "the file's tokenizer has not one type for each token");

  Json vocabulary = Json::object(), added = Json::array(), pairs = Json::array();
  for (size_t i = 0; i < tokens->values.size(); ++i) {
    int32_t token_kind = 1;
    if (kinds != nullptr) std::memcpy(&token_kind, kinds->bytes.data() + 4 * i, 4);
    const std::string text(tokens->values[i]);
    vocabulary[text] = i;
    if (token_kind == kControl || token_kind == kUserDefined)
      added.push_back({{"id", i},
                       {"content", text},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", token_kind == kControl}});
  }
  for (std::string_view merge : merges->values) pairs.push_back(std::string(merge));
  Json json = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", std::move(added)},
      {"normalizer", nullptr},
      {"pre_tokenizer", splitter},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
      {"model", {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(pairs)}, {"ignore_merges", pre == "llama-bpe"}}}};
  const auto* begins = find<bool>(file, "tokenizer.ggml.add_bos_token");
  const auto first = meta_token(file, "tokenizer.ggml.bos_token_id");
  if (begins != nullptr && *begins && first) {
    const uint64_t id = *meta_count(file, "tokenizer.ggml.bos_token_id");
    const auto special = Json{{"SpecialToken", {{"id", *first}, {"type_id", 0}}}};
    const auto text = [](const char* which) { return Json{{"Sequence", {{"id", which}, {"type_id", 0}}}}; };
    json["post_processor"] = {
        {"type", "TemplateProcessing"},
        {"single", Json::array({special, text("A")})},
        {"pair", Json::array({special, text("A"), text("B")})},
        {"special_tokens", {{*first, {{"id", *first}, {"ids", Json::array({id})}, {"tokens", Json::array({*first})}}}}}};
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace cameo::gguf
