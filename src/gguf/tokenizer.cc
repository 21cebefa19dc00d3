#include "gguf/tokenizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/error.h"

namespace cameo::gguf {
namespace {

using Json = nlohmann::json;

constexpr uint32_t kInt32Type = 5, kFloat32Type = 6;
enum Kind : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

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

// Elements of an array that has one number for each token.
template <class T>
Result<std::vector<T>> numbers_of(const File& file, const std::string& key, uint32_t type, size_t count) {
  const auto* found = find<NumberArray>(file, key);
  if (found == nullptr) return std::vector<T>();
  if (found->type != type || found->count != count)
    return error(ErrorCode::kInvalidModel, "the file's tokenizer has not one number for each token ({})", key);
  std::vector<T> numbers(count);
  std::memcpy(numbers.data(), found->bytes.data(), count * sizeof(T));
  return numbers;
}

// SentencePiece joins the two neighbours that make the token of the highest score. Ranked merges do the same: every way to make a
// token of two, tokens in the order of their scores.
Result<Json> merges_of_scores(std::span<const std::string_view> tokens, std::span<const int32_t> kinds, std::span<const float> scores) {
  constexpr size_t kMostBytes = 256;  // of a token that merges make; the longest known have 48
  std::unordered_set<std::string_view> known;
  std::vector<size_t> order;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (kinds[i] != kNormal || tokens[i].size() > kMostBytes) continue;
    if (std::isnan(scores[i])) return error(ErrorCode::kInvalidModel, "the score of token {} is not a number", i);
    known.insert(tokens[i]);
    order.push_back(i);
  }
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  Json merges = Json::array();
  for (const size_t i : order)
    for (size_t cut = tokens[i].size(); cut-- > 1;) {
      if ((static_cast<uint8_t>(tokens[i][cut]) & 0xc0) == 0x80) continue;  // inside a character
      const std::string_view left = tokens[i].substr(0, cut), right = tokens[i].substr(cut);
      if (known.contains(left) && known.contains(right)) merges.push_back({std::string(left), std::string(right)});
    }
  return merges;
}

// The special tokens that begin and end a text.
Json post_processor(const File& file, bool begins, bool ends) {
  Json single = Json::array(), pair = Json::array(), special = Json::object();
  const auto add = [&](bool wanted, const char* name) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
    const auto* said = find<bool>(file, fmt::format("tokenizer.ggml.add_{}_token", name));
    const auto token = meta_token(file, key);
    if (!(said ? *said : wanted) || !token) return;
    single.push_back({{"SpecialToken", {{"id", *token}, {"type_id", 0}}}});
    special[*token] = {{"id", *token}, {"ids", Json::array({*meta_count(file, key)})}, {"tokens", Json::array({*token})}};
  };
  const auto text = [](const char* which) { return Json{{"Sequence", {{"id", which}, {"type_id", 0}}}}; };
  add(begins, "bos");
  pair = single;
  single.push_back(text("A"));
  pair.push_back(text("A"));
  pair.push_back(text("B"));
  const size_t before = single.size();
  add(ends, "eos");
  if (single.size() > before) pair.push_back(single.back());
  if (special.empty()) return nullptr;
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

// Byte-level BPE (GPT-2's).
Result<Json> byte_level(const File& file, Json vocabulary) {
  const std::string pre = meta_text(file, "tokenizer.ggml.pre").value_or("default");
  const Json splitter = pre_tokenizer(pre);
  if (splitter.is_null())
    return error(ErrorCode::kUnsupported,
                 "the file's tokenizer splits text as '{}'; known are default, gpt-2, llama-bpe, qwen2 and smollm. Put a tokenizer.json "
                 "beside the file",
                 pre.substr(0, 60));
  const auto* merges = find<StringArray>(file, "tokenizer.ggml.merges");
  if (merges == nullptr) return error(ErrorCode::kInvalidModel, "the file's tokenizer has no merges");
  Json pairs = Json::array();
  for (std::string_view merge : merges->values) pairs.push_back(std::string(merge));
  return Json{
      {"normalizer", nullptr},
      {"pre_tokenizer", splitter},
      {"post_processor", post_processor(file, false, false)},
      {"decoder", {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
      {"model", {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(pairs)}, {"ignore_merges", pre == "llama-bpe"}}}};
}

// SentencePiece's BPE, as Llama 2 and Mistral have it: spaces become ▁, and what is no token becomes bytes.
Result<Json> sentence_piece(const File& file, Json vocabulary, std::span<const std::string_view> tokens, std::span<const int32_t> kinds) {
  CAMEO_ASSIGN(const std::vector<float> scores, numbers_of<float>(file, "tokenizer.ggml.scores", kFloat32Type, tokens.size()));
  if (scores.empty() || kinds.empty()) return error(ErrorCode::kInvalidModel, "the file's tokenizer has no scores or no token types");
  CAMEO_ASSIGN(Json merges, merges_of_scores(tokens, kinds, scores));
  const auto unknown = std::ranges::find(kinds, static_cast<int32_t>(kUnknown));
  Json unknown_token = nullptr;
  if (unknown != kinds.end()) unknown_token = std::string(tokens[static_cast<size_t>(unknown - kinds.begin())]);
  const auto* prefix = find<bool>(file, "tokenizer.ggml.add_space_prefix");
  const bool begins_with_space = prefix == nullptr || *prefix;
  const auto replace = [](const char* from, const char* to) {
    return Json{{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
  };
  Json normalizers = Json::array(), decoders = Json::array({replace("▁", " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (begins_with_space) {
    normalizers.push_back({{"type", "Prepend"}, {"prepend", "▁"}});
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  normalizers.push_back(replace(" ", "▁"));
  return Json{{"normalizer", {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}}},
              {"pre_tokenizer", nullptr},
              {"post_processor", post_processor(file, true, false)},
              {"decoder", {{"type", "Sequence"}, {"decoders", std::move(decoders)}}},
              {"model",
               {{"type", "BPE"},
                {"vocab", std::move(vocabulary)},
                {"merges", std::move(merges)},
                {"unk_token", std::move(unknown_token)},
                {"fuse_unk", true},
                {"byte_fallback", true}}}};
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
  if (kind != "gpt2" && kind != "llama")
    return error(ErrorCode::kUnsupported,
                 "the file's tokenizer is of kind '{}'; known are gpt2 and llama. Put a tokenizer.json beside the file",
                 kind.substr(0, 60));
  const auto* tokens = find<StringArray>(file, "tokenizer.ggml.tokens");
  if (tokens == nullptr) return error(ErrorCode::kInvalidModel, "the file's tokenizer has no tokens");
  const size_t count = tokens->values.size();
  if (count > UINT32_MAX) return error(ErrorCode::kInvalidModel, "the file's tokenizer has {} tokens", count);
  CAMEO_ASSIGN(const std::vector<int32_t> kinds, numbers_of<int32_t>(file, "tokenizer.ggml.token_type", kInt32Type, count));
  Json vocabulary = Json::object(), added = Json::array();
  for (size_t i = 0; i < count; ++i) {
    const int32_t token_kind = kinds.empty() ? kNormal : kinds[i];
    const std::string text(tokens->values[i]);
    vocabulary[text] = i;
    if (token_kind == kControl || token_kind == kUserDefined || (token_kind == kUnknown && kind == "llama"))
      added.push_back({{"id", i},
                       {"content", text},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", token_kind != kUserDefined}});
  }
  CAMEO_ASSIGN(Json json, kind == "gpt2" ? byte_level(file, std::move(vocabulary))
                                         : sentence_piece(file, std::move(vocabulary), tokens->values, kinds));
  json["version"] = "1.0";
  json["truncation"] = json["padding"] = nullptr;
  json["added_tokens"] = std::move(added);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace cameo::gguf
