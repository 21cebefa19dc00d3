// What encode gives besides ids: offsets, words, tokens, masks; truncation, padding, pairs and batches; the models.
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cameo/tokenizer.h"

namespace cameo {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<uint32_t>;
using Strings = std::vector<std::string>;
using Offsets = std::vector<Encoding::Offsets>;

constexpr EncodeOptions kAll = {.offsets = OffsetUnit::kCharacters, .tokens = true, .overflow = true};

Tokenizer make(const Json& file) {
  auto tokenizer = Tokenizer::from_json(file.dump());
  if (!tokenizer) ADD_FAILURE() << tokenizer.error().message();
  return std::move(tokenizer).value();
}

// A BERT-like file whose words are letters.
Json letters() {
  Json file = Json::parse(R"({
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "cls": ["[C]", 1], "sep": ["[S]", 2]},
    "model": {"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
              "vocab": {"?": 0, "[C]": 1, "[S]": 2, "ab": 3, "##c": 4, "##cd": 5, "中": 6, "e": 7}}})");
  for (char c = 'f'; c <= 'z'; ++c) file["model"]["vocab"][std::string(1, c)] = 8 + c - 'f';
  return file;
}

TEST(Encoding, OffsetsThroughNormalization) {
  const Tokenizer tokenizer = make(letters());
  const auto encoding = tokenizer.encode("\t ABC\u0301d é中\u0001ABx", kAll);
  ASSERT_TRUE(encoding.ok()) << encoding.error().message();
  EXPECT_EQ(encoding->tokens, (Strings{"[C]", "ab", "##cd", "e", "中", "?", "[S]"}));
  EXPECT_EQ(encoding->offsets, (Offsets{{0, 0}, {2, 4}, {4, 7}, {8, 9}, {9, 10}, {11, 14}, {0, 0}}));
  EXPECT_EQ(encoding->words, (Ids{Encoding::kNoWord, 0, 0, 1, 2, 3, Encoding::kNoWord}));
  EXPECT_EQ(encoding->special_tokens_mask, (std::vector<uint8_t>{1, 0, 0, 0, 0, 0, 1}));
  const auto bytes = tokenizer.encode("\t ABC\u0301d é中\u0001ABx", {.offsets = OffsetUnit::kBytes});
  EXPECT_EQ(bytes->offsets, (Offsets{{0, 0}, {2, 4}, {4, 8}, {9, 11}, {11, 14}, {15, 18}, {0, 0}}));
  EXPECT_TRUE(bytes->tokens.empty());
  EXPECT_TRUE(tokenizer.encode("ab")->offsets.empty());
}

TEST(Encoding, Pairs) {
  const Tokenizer tokenizer = make(letters());
  const auto encoding = tokenizer.encode_pair("x y", "z", kAll);
  EXPECT_EQ(encoding->tokens, (Strings{"[C]", "x", "y", "[S]", "z", "[S]"}));
  EXPECT_EQ(encoding->type_ids, (Ids{0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(encoding->offsets, (Offsets{{0, 0}, {0, 1}, {2, 3}, {0, 0}, {0, 1}, {0, 0}}));
  const auto bad = tokenizer.encode_pair("x", "\xff");
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().message(), "the second text: the text is not UTF-8: byte 0 (0xff)");
  Json file = letters();
  file["post_processor"] = {
      {"type", "RobertaProcessing"}, {"cls", {"[C]", 1}}, {"sep", {"[S]", 2}}, {"trim_offsets", true}, {"add_prefix_space", false}};
  EXPECT_EQ(make(file).encode_pair("x", "z")->ids, (Ids{1, 26, 2, 2, 28, 2}));
  file.erase("post_processor");
  EXPECT_EQ(make(file).encode_pair("x", "z")->type_ids, (Ids{0, 1}));
}

TEST(Encoding, Truncation) {
  Tokenizer tokenizer = make(letters());
  ASSERT_TRUE(tokenizer.set_truncation(Truncation{.max_length = 5, .stride = 1}).ok());
  const auto right = tokenizer.encode("f g h i j k", kAll);
  EXPECT_EQ(right->tokens, (Strings{"[C]", "f", "g", "h", "[S]"}));
  ASSERT_EQ(right->overflowing.size(), 2u);
  EXPECT_EQ(right->overflowing[0].tokens, (Strings{"[C]", "h", "i", "j", "[S]"}));
  EXPECT_EQ(right->overflowing[1].tokens, (Strings{"[C]", "j", "k", "[S]"}));
  EXPECT_TRUE(tokenizer.encode("f g h i j k")->overflowing.empty());
  ASSERT_TRUE(tokenizer.set_truncation(Truncation{.max_length = 5, .stride = 1, .side = Side::kLeft}).ok());
  EXPECT_EQ(tokenizer.encode("f g h i j k", kAll)->tokens, (Strings{"[C]", "i", "j", "k", "[S]"}));
  ASSERT_TRUE(tokenizer.set_truncation(Truncation{.max_length = 6}).ok());
  EXPECT_EQ(tokenizer.encode_pair("f g h", "i j", kAll)->tokens, (Strings{"[C]", "f", "g", "[S]", "i", "[S]"}));
  ASSERT_TRUE(tokenizer.set_truncation(Truncation{.max_length = 6, .strategy = Truncation::Strategy::kOnlySecond}).ok());
  EXPECT_EQ(tokenizer.encode_pair("f g", "i j", kAll)->tokens, (Strings{"[C]", "f", "g", "[S]", "i", "[S]"}));
  EXPECT_EQ(tokenizer.encode_pair("f g h i", "i").error().message(), "2 tokens must be cut off the second text to leave 3, and it has 1");
  EXPECT_EQ(tokenizer.encode("f g h i j k").error().message(), "truncation cuts the second text only, and there is no second text");
  EXPECT_EQ(tokenizer.set_truncation(Truncation{.max_length = 1}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(tokenizer.set_truncation(Truncation{.max_length = 5, .stride = 4}).error().code(), ErrorCode::kInvalidArgument);
  ASSERT_TRUE(tokenizer.set_truncation(Truncation{.max_length = 2}).ok());
  EXPECT_EQ(tokenizer.encode("f g")->ids, (Ids{1, 2}));
  EXPECT_EQ(tokenizer.encode_pair("f", "g").error().message(), "truncation to 2 tokens leaves no room for 3 special tokens");
}

TEST(Encoding, OverflowOfPairsIsBounded) {
  Tokenizer tokenizer = make(letters());
  std::string text;
  while (text.size() < 400'000) text += "x ";
  ASSERT_TRUE(tokenizer.set_truncation(Truncation{.max_length = 8}).ok());
  const auto encoding = tokenizer.encode_pair(text, text, kAll);
  ASSERT_FALSE(encoding.ok());
  EXPECT_NE(encoding.error().message().find("overflows into"), std::string::npos) << encoding.error().message();
  EXPECT_TRUE(tokenizer.encode_pair(text, text).ok());
}

TEST(Encoding, PaddingAndBatches) {
  Tokenizer tokenizer = make(letters());
  ASSERT_TRUE(tokenizer.set_padding(Padding{.id = 9, .type_id = 3, .token = "[P]"}).ok());
  const std::vector<TextInput> texts = {"x", {"x y", "z"}, "", "x y"};
  for (const int threads : {1, 2, 0}) {
    const auto batch = tokenizer.encode_batch(texts, kAll, threads);
    ASSERT_TRUE(batch.ok());
    ASSERT_EQ(batch->size(), 4u);
    EXPECT_EQ((*batch)[0].tokens, (Strings{"[C]", "x", "[S]", "[P]", "[P]", "[P]"}));
    EXPECT_EQ((*batch)[0].ids, (Ids{1, 26, 2, 9, 9, 9}));
    EXPECT_EQ((*batch)[0].type_ids, (Ids{0, 0, 0, 3, 3, 3}));
    EXPECT_EQ((*batch)[0].attention_mask, (std::vector<uint8_t>{1, 1, 1, 0, 0, 0}));
    EXPECT_EQ((*batch)[0].special_tokens_mask, (std::vector<uint8_t>{1, 0, 1, 1, 1, 1}));
    EXPECT_EQ((*batch)[1].ids, (Ids{1, 26, 27, 2, 28, 2}));
    EXPECT_EQ((*batch)[2].ids, (Ids{1, 2, 9, 9, 9, 9}));
  }
  ASSERT_TRUE(tokenizer.set_padding(Padding{.length = 5, .multiple_of = 4, .side = Side::kLeft, .id = 9}).ok());
  EXPECT_EQ(tokenizer.encode("x")->ids, (Ids{9, 9, 9, 9, 9, 1, 26, 2}));
  EXPECT_TRUE(tokenizer.encode("x")->offsets.empty());
  EXPECT_TRUE(tokenizer.encode_batch({})->empty());
  const std::vector<TextInput> bad = {"x", "\xff", "y"};
  EXPECT_EQ(tokenizer.encode_batch(bad).error().message(), "text 1: the text is not UTF-8: byte 0 (0xff)");
  ASSERT_TRUE(tokenizer.set_padding(Padding{.length = size_t{1} << 40}).ok());
  EXPECT_EQ(tokenizer.encode("x").error().code(), ErrorCode::kInvalidInput);
}

TEST(Encoding, SettingsOfTheFile) {
  Json file = letters();
  file["truncation"] = {{"max_length", 4}, {"strategy", "LongestFirst"}, {"stride", 0}};
  file["padding"] = {{"strategy", {{"Fixed", 6}}}, {"direction", "Right"}, {"pad_to_multiple_of", nullptr}, {"pad_id", 9},
                     {"pad_type_id", 0},           {"pad_token", "[P]"}};
  Tokenizer tokenizer = make(file);
  EXPECT_EQ(tokenizer.encode("x y z")->ids, (Ids{1, 26, 27, 2, 9, 9}));
  EXPECT_EQ(tokenizer.truncation()->max_length, 4u);
  EXPECT_EQ(tokenizer.padding()->token, "[P]");
  const Tokenizer copy = tokenizer;
  ASSERT_TRUE(tokenizer.set_truncation(std::nullopt).ok());
  ASSERT_TRUE(tokenizer.set_padding(std::nullopt).ok());
  EXPECT_EQ(tokenizer.encode("x y z")->ids, (Ids{1, 26, 27, 28, 2}));
  EXPECT_EQ(copy.encode("x y z")->ids.size(), 6u);
}

// Pieces, offsets and tokens as the byte-level alphabet has them.
TEST(Encoding, ByteLevelOffsets) {
  Json file = Json::parse(R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true},
    "model": {"type": "BPE", "vocab": {"Ġ": 0, "a": 1, "Ã": 2, "©": 3, "Ġa": 4}, "merges": ["Ġ a"]}})");
  const auto plain = make(file).encode("aé  a", kAll);
  EXPECT_EQ(plain->tokens, (Strings{"Ġa", "Ã", "©", "Ġ", "Ġa"}));
  EXPECT_EQ(plain->offsets, (Offsets{{0, 1}, {1, 2}, {1, 2}, {2, 3}, {3, 5}}));
  file["post_processor"] = {{"type", "ByteLevel"}, {"trim_offsets", true}, {"add_prefix_space", true}};
  const auto trimmed = make(file).encode("aé  a", {.offsets = OffsetUnit::kCharacters});
  EXPECT_EQ(trimmed->offsets, (Offsets{{0, 1}, {1, 2}, {1, 2}, {3, 3}, {4, 5}}));
  EXPECT_TRUE(trimmed->tokens.empty());
}

TEST(Models, Unigram) {
  Json file = Json::parse(R"({"model": {"type": "Unigram", "unk_id": 0,
    "vocab": [["<unk>", 0], ["a", -1], ["b", -1], ["ab", -1.5], ["bc", -1.2], ["abc", -9], ["<0xC3>", -5], ["<0xA9>", -5], ["c", -3]]}})");
  const auto encoding = make(file).encode("abcéxy", kAll);
  EXPECT_EQ(encoding->ids, (Ids{1, 4, 0}));
  EXPECT_EQ(encoding->tokens, (Strings{"a", "bc", "éxy"}));
  EXPECT_EQ(encoding->offsets, (Offsets{{0, 1}, {1, 3}, {3, 6}}));
  file["model"]["byte_fallback"] = true;
  EXPECT_EQ(make(file).encode("éa", kAll)->tokens, (Strings{"<0xC3>", "<0xA9>", "a"}));
  EXPECT_EQ(make(file).encode("éa", kAll)->offsets, (Offsets{{0, 1}, {0, 1}, {1, 2}}));
  EXPECT_EQ(make(file).encode("xé", kAll)->tokens, (Strings{"xé"}));
  file["model"]["unk_id"] = nullptr;
  EXPECT_EQ(make(file).encode("x").error().message(), "model.unk_id is not set, and 'x' needs it");
}

TEST(Models, WordLevelAndWordPieceNeedTheUnknownToken) {
  Json file = Json::parse(
      R"({"pre_tokenizer": {"type": "WhitespaceSplit"}, "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"a": 0, "?": 1}}})");
  EXPECT_EQ(make(file).encode("a b")->ids, (Ids{0, 1}));
  file["model"]["vocab"].erase("?");
  EXPECT_EQ(make(file).encode("a b").error().message(), "model.unk_token is '?', which is not in the vocabulary, and 'b' needs it");
  file = letters();
  file["model"]["max_input_chars_per_word"] = 2;
  EXPECT_EQ(make(file).encode("ab abc", {.add_special_tokens = false})->ids, (Ids{3, 0}));
  file["model"]["vocab"].erase("?");
  EXPECT_EQ(make(file).encode("abc").error().code(), ErrorCode::kInvalidModel);
  file["model"]["vocab"][std::string(5000, 'a')] = 0;
  EXPECT_EQ(Tokenizer::from_json(file.dump()).error().code(), ErrorCode::kUnsupported);
}

TEST(Models, LongTextTakesBoundedTime) {
  Json unigram = Json::parse(R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1], ["aa", -1.5], ["é", -1]]}})");
  Json piece = letters();
  piece["model"]["max_input_chars_per_word"] = 4000000000;
  piece["model"]["vocab"][std::string(2000, 'a')] = 100;
  piece["model"]["vocab"]["a"] = 101;
  piece["model"]["vocab"]["##a"] = 102;
  Json metaspace = unigram;
  metaspace["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "always"}};
  metaspace["normalizer"] = {{"type", "NFKC"}};
  for (const Json& file : {unigram, piece, metaspace}) {
    const Tokenizer tokenizer = make(file);
    for (const std::string_view unit : {"a", " ", "é", "e\u0301\u0323", ".", "中"}) {
      std::string text;
      while (text.size() < 1'000'000) text += unit;
      const auto start = std::chrono::steady_clock::now();
      EXPECT_TRUE(tokenizer.encode(text, kAll).ok());
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20)) << unit;
    }
  }
}

TEST(Normalizer, PrecompiledThatIsDamagedGivesNoBadAccess) {
  // A trie of one unit whose children lie far outside, and one whose value does.
  for (const char* charsmap : {"BAAAAAD8//9hAA==", "BAAAAAAAAABhAA==", "BAAAAP////9hAA=="}) {
    Json file = letters();
    file["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", charsmap}};
    EXPECT_TRUE(make(file).encode("a b\u0301 é").ok());
  }
}

}  // namespace
}  // namespace cameo
