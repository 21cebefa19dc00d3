#include "cameo/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tokenizer/regex.h"

namespace cameo {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<uint32_t>;

// A file whose model knows the letters, digits, a few signs and a few merges, in the byte-level alphabet.
Json small_file() {
  Json vocab;
  const auto add = [&](const std::string& token) { vocab[token] = vocab.size(); };
  for (char c = 'a'; c <= 'z'; ++c) add(std::string(1, c));
  for (char c = '0'; c <= '9'; ++c) add(std::string(1, c));
  for (const char* token : {"Ġ", "Ċ", "!", "'", "-", "Ã", "©", "ab", "abc", "Ġa", "Ġab", "Ã©", "aa", "aaaa"}) add(token);
  return {{"version", "1.0"},
          {"added_tokens", Json::array()},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b", "ab c", "Ġ a", "Ġa b", "Ã ©", "a a", "aa aa"}}}}};
}

Tokenizer make(const Json& file) {
  auto tokenizer = Tokenizer::from_json(file.dump());
  if (!tokenizer) ADD_FAILURE() << tokenizer.error().message();
  return std::move(tokenizer).value();
}

// The tokens of the text, with '|' between them.
std::string tokens(const Tokenizer& tokenizer, std::string_view text) {
  const auto encoding = tokenizer.encode(text);
  if (!encoding) return "error: " + encoding.error().message();
  std::string all;
  for (const uint32_t id : encoding->ids) all += (all.empty() ? "" : "|") + tokenizer.id_to_token(id).value_or("?");
  return all;
}

// A file that splits text by the pre-tokenizer alone: the model knows nothing but whole pieces.
std::string pieces(const Json& pre_tokenizer, std::string_view text, const std::vector<std::string>& expected) {
  Json vocab = {{"?", 0}};
  for (const std::string& piece : expected) {
    if (!vocab.contains(piece)) vocab[piece] = vocab.size();
  }
  return tokens(
      make({{"pre_tokenizer", pre_tokenizer},
            {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}, {"ignore_merges", true}, {"unk_token", "?"}}}}),
      text);
}

std::string joined(const std::vector<std::string>& parts) {
  std::string all;
  for (const std::string& part : parts) all += (all.empty() ? "" : "|") + part;
  return all;
}

#define EXPECT_PIECES(pre_tokenizer, text, ...) EXPECT_EQ(pieces(Json::parse(pre_tokenizer), text, {__VA_ARGS__}), joined({__VA_ARGS__}))

void expect_error(const std::string& file, ErrorCode code, std::string_view part) {
  const auto tokenizer = Tokenizer::from_json(file);
  ASSERT_FALSE(tokenizer.ok()) << file.substr(0, 300);
  EXPECT_EQ(tokenizer.error().code(), code) << tokenizer.error().message();
  EXPECT_NE(tokenizer.error().message().find(part), std::string::npos) << tokenizer.error().message();
}

void expect_error(const Json& file, ErrorCode code, std::string_view part) { expect_error(file.dump(), code, part); }

TEST(Tokenizer, EncodesAndDecodes) {
  const Tokenizer tokenizer = make(small_file());
  EXPECT_EQ(tokens(tokenizer, "abc abé aaaaa"), "abc|Ġ|ab|Ã©|Ġa|aaaa");  // "a b" comes before "Ġ a"
  EXPECT_EQ(tokens(tokenizer, ""), "");
  const auto encoding = tokenizer.encode("abc  it's 12!\n\n a");
  ASSERT_TRUE(encoding.ok());
  EXPECT_EQ(*tokenizer.decode(encoding->ids), "abc  it's 12!\n\n a");
  EXPECT_EQ(encoding->type_ids.size(), encoding->ids.size());
  EXPECT_EQ(tokenizer.vocab_size(), 50u);
  EXPECT_EQ(tokenizer.token_to_id("abc"), tokenizer.encode("abc")->ids[0]);
  EXPECT_EQ(tokenizer.token_to_id("zz"), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(50), std::nullopt);
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const Tokenizer tokenizer = make(small_file());
  for (const std::string bad : {"ab\xff", "ab\xc3", "ab\xc0\x80", "ab\xed\xa0\x80", "ab\xf4\x90\x80\x80", "ab\x80", "ab\xe4\xb8"}) {
    const auto encoding = tokenizer.encode(bad);
    ASSERT_FALSE(encoding.ok());
    EXPECT_EQ(encoding.error().code(), ErrorCode::kInvalidInput);
    EXPECT_NE(encoding.error().message().find("byte 2"), std::string::npos) << encoding.error().message();
  }
}

TEST(Tokenizer, DecodesBytesThatAreNotUtf8) {
  const Tokenizer tokenizer = make(small_file());
  const uint32_t lead = *tokenizer.token_to_id("Ã"), a = *tokenizer.token_to_id("a"), tail = *tokenizer.token_to_id("©");
  EXPECT_EQ(*tokenizer.decode(Ids{lead, a}), "\uFFFDa");
  EXPECT_EQ(*tokenizer.decode(Ids{tail, lead, tail, lead}), "\uFFFDé\uFFFD");
  const auto bad = tokenizer.decode(Ids{a, 4000000000});
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().message().find("4000000000"), std::string::npos);
  EXPECT_NE(bad.error().message().find("50 tokens"), std::string::npos);
}

TEST(Tokenizer, LongTextTakesBoundedTime) {
  const Tokenizer tokenizer = make(small_file());
  for (const std::string_view unit : {"a", "ab", " ", "é", "\n ", "'"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    const auto start = std::chrono::steady_clock::now();
    const auto encoding = tokenizer.encode(text);
    ASSERT_TRUE(encoding.ok());
    EXPECT_EQ(*tokenizer.decode(encoding->ids), text);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20)) << unit;
  }
}

TEST(Tokenizer, IsSharedByThreads) {
  const Tokenizer tokenizer = make(small_file());
  const Ids expected = tokenizer.encode("abc abé aaaaa 123")->ids;
  std::vector<std::thread> threads;
  std::vector<int> good(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) good[static_cast<size_t>(t)] += tokenizer.encode("abc abé aaaaa 123")->ids == expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, std::vector<int>(4, 200));
}

TEST(PreTokenizer, ByteLevel) {
  EXPECT_PIECES(R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true})", "a  b'll x", "Ġa", "Ġ", "Ġb", "'ll", "Ġx");
  EXPECT_PIECES(R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})", "a b", "aĠb");
  EXPECT_PIECES(R"({"type":"ByteLevel","add_prefix_space":false})", "a1½ ?!  \n\nx \t", "a", "1Â½", "Ġ?!", "ĠĠĊ", "Ċ", "x", "Ġĉ");
}

TEST(PreTokenizer, Simple) {
  EXPECT_PIECES(R"({"type":"Digits","individual_digits":true})", "a12b", "a", "1", "2", "b");
  EXPECT_PIECES(R"({"type":"Digits","individual_digits":false})", "a12b", "a", "12", "b");
  EXPECT_PIECES(R"({"type":"Whitespace"})", " ab,. c_1 é!", "ab", ",.", "c_1", "é", "!");
  EXPECT_PIECES(R"({"type":"WhitespaceSplit"})", " ab,.\u00a0c ", "ab,.", "c");
  EXPECT_PIECES(R"({"type":"Punctuation"})", "a,。b", "a", ",", "。", "b");
  EXPECT_PIECES(R"({"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Digits","individual_digits":true}]})", "a 12",
                "a", "1", "2");
}

TEST(PreTokenizer, More) {
  EXPECT_PIECES(R"({"type":"BertPreTokenizer"})", "ab, c　。!d", "ab", ",", "c", "。", "!", "d");
  EXPECT_PIECES(R"({"type":"CharDelimiterSplit","delimiter":"-"})", "-a--b c-", "a", "b c");
  EXPECT_PIECES(R"({"type":"FixedLength","length":2})", "aéb中c", "aé", "b中", "c");
  EXPECT_PIECES(R"({"type":"UnicodeScripts"})", "a1 б漢ーかな! x", "a", "1 ", "б", "漢ーかな", "! ", "x");
  EXPECT_PIECES(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"always"})", "a  b ", "_a", "_", "_b", "_");
  EXPECT_PIECES(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"never"})", "a b", "a", "_b");
  EXPECT_PIECES(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"always","split":false})", "a b", "_a_b");
  EXPECT_PIECES(
      R"({"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"_","prepend_scheme":"first"}]})",
      "a b", "_a", "b");
}

TEST(PreTokenizer, SplitBehaviors) {
  const auto split = [](const char* behavior, bool invert) {
    return Json{{"type", "Split"}, {"pattern", {{"String", "-"}}}, {"behavior", behavior}, {"invert", invert}}.dump();
  };
  EXPECT_PIECES(split("Removed", false), "the-final--countdown", "the", "final", "countdown");
  EXPECT_PIECES(split("Isolated", false), "the-final--countdown", "the", "-", "final", "-", "-", "countdown");
  EXPECT_PIECES(split("MergedWithPrevious", false), "the-final--countdown", "the-", "final-", "-", "countdown");
  EXPECT_PIECES(split("MergedWithNext", false), "the-final--countdown", "the", "-final", "-", "-countdown");
  EXPECT_PIECES(split("Contiguous", false), "the-final--countdown", "the", "-", "final", "--", "countdown");
  EXPECT_PIECES(split("Removed", true), "the-final", "-");
}

TEST(Normalizer, Every) {
  const auto normalized = [](const std::string& normalizer, std::string_view text) {
    Json file = small_file();
    file["normalizer"] = Json::parse(normalizer);
    file["pre_tokenizer"]["use_regex"] = false;
    const Tokenizer tokenizer = make(file);
    return *tokenizer.decode(tokenizer.encode(text)->ids);
  };
  EXPECT_EQ(normalized(R"({"type":"Lowercase"})", "ABÉc"), "abéc");
  EXPECT_EQ(normalized(R"({"type":"NFC"})", "e\u0301"), "é");
  EXPECT_EQ(normalized(R"({"type":"NFKC"})", "\uff41\u00bd"), "a12");  // the fraction slash is not in the vocabulary
  EXPECT_EQ(normalized(R"({"type":"NFD"})", "é"), "e");                // nor is the accent
  EXPECT_EQ(normalized(R"({"type":"NFKD"})", "\ufb01"), "fi");
  EXPECT_EQ(normalized(R"({"type":"Strip","strip_left":true,"strip_right":false})", " a "), "a ");
  EXPECT_EQ(normalized(R"({"type":"Prepend","prepend":"x"})", "a"), "xa");
  EXPECT_EQ(normalized(R"({"type":"Replace","pattern":{"Regex":"\\s+"},"content":"-"})", "a \n b"), "a-b");
  EXPECT_EQ(normalized(R"({"type":"Replace","pattern":{"String":"a"},"content":"bb"})", "aba"), "bbbbb");
  EXPECT_EQ(normalized(R"({"type":"Sequence","normalizers":[{"type":"Lowercase"},{"type":"Prepend","prepend":"z"}]})", "AB"), "zab");
}

TEST(Model, UnknownsAndBytes) {
  Json model =
      Json::parse(R"({"type":"BPE","vocab":{"?":0,"a":1,"b":2,"ab":3,"<0xC3>":4,"<0xA9>":5},"merges":[["a","b"]],"unk_token":"?"})");
  EXPECT_EQ(tokens(make({{"model", model}}), "abxyéa"), "ab|?|?|?|a");
  model["fuse_unk"] = true;
  EXPECT_EQ(tokens(make({{"model", model}}), "abxyéa"), "ab|?|a");
  model["byte_fallback"] = true;
  EXPECT_EQ(tokens(make({{"model", model}}), "abéa"), "ab|<0xC3>|<0xA9>|a");
  model["unk_token"] = nullptr;
  EXPECT_EQ(tokens(make({{"model", model}}), "axb"), "ab");
  model["unk_token"] = "none";
  EXPECT_EQ(tokens(make({{"model", model}}), "ab"), "ab");
  EXPECT_EQ(tokens(make({{"model", model}}), "x"), "error: model.unk_token is 'none', which is not in the vocabulary, and 'x' needs it");
}

TEST(Model, AffixesAndWholeWords) {
  const Json affixes = Json::parse(
      R"({"type":"BPE","vocab":{"a":0,"##b":1,"##b</w>":2,"ab":3,"ab</w>":4,"abb</w>":5},"merges":["a ##b","ab ##b</w>","a ##b</w>"],
          "continuing_subword_prefix":"##","end_of_word_suffix":"</w>"})");
  EXPECT_EQ(tokens(make({{"model", affixes}}), "ab"), "ab</w>");
  EXPECT_EQ(tokens(make({{"model", affixes}}), "abb"), "abb</w>");
  Json whole = Json::parse(R"({"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[]})");
  EXPECT_EQ(tokens(make({{"model", whole}}), "ab"), "a|b");
  whole["ignore_merges"] = true;
  EXPECT_EQ(tokens(make({{"model", whole}}), "ab"), "ab");
}

Json added(const char* content, Json options = Json::object()) {
  Json token = {{"id", 50},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", true}};
  token.update(options);
  return token;
}

TEST(AddedTokens, Found) {
  Json file = small_file();
  file["added_tokens"] = {added("<s>", {{"lstrip", true}}), added("<s>>", {{"rstrip", true}}),
                          added("cab", {{"single_word", true}, {"special", false}})};
  const Tokenizer tokenizer = make(file);
  EXPECT_EQ(tokenizer.vocab_size(), 53u);
  EXPECT_EQ(tokenizer.warnings().size(), 2u);  // the ids are 50, 51, 52, whatever the file says
  EXPECT_EQ(tokens(tokenizer, "a <s>b"), "a|<s>|b");
  EXPECT_EQ(tokens(tokenizer, "a <s>> b"), "a|Ġ|<s>>|b");
  EXPECT_EQ(tokens(tokenizer, "cab cabs cab"), "cab|Ġ|c|ab|s|Ġ|cab");
  EXPECT_EQ(tokenizer.special_ids(), (Ids{50, 51}));
  EXPECT_EQ(*tokenizer.decode(Ids{50, 0, 52}), "acab");
  EXPECT_EQ(*tokenizer.decode(Ids{50, 0, 52}, false), "<s>acab");
}

TEST(AddedTokens, Normalized) {
  Json file = small_file();
  file["normalizer"] = {{"type", "Lowercase"}};
  file["added_tokens"] = {added("DAY", {{"normalized", true}}), added("NIGHT", {{"id", 51}})};
  const Tokenizer tokenizer = make(file);
  EXPECT_EQ(tokenizer.encode("xDay")->ids.back(), 50u);
  EXPECT_EQ(tokenizer.encode("xNIGHT")->ids.back(), 51u);
  EXPECT_NE(tokenizer.encode("xnight")->ids.back(), 51u);
  file["added_tokens"] = {added("DAY", {{"normalized", true}}), added("day", {{"normalized", true}})};
  expect_error(file, ErrorCode::kInvalidModel, "the same once normalized");
}

TEST(PostProcessor, Template) {
  Json file = small_file();
  file["post_processor"] = Json::parse(
      R"({"type":"Sequence","processors":[{"type":"ByteLevel","trim_offsets":true,"add_prefix_space":false},{"type":"TemplateProcessing",
    "single":[{"SpecialToken":{"id":"[C]","type_id":0}},{"Sequence":{"id":"A","type_id":1}},{"SpecialToken":{"id":"[S]","type_id":2}}],"pair":[],
    "special_tokens":{"[C]":{"id":"[C]","ids":[7],"tokens":["h"]},"[S]":{"id":"[S]","ids":[8,9],"tokens":["i","j"]}}}]})");
  const Tokenizer tokenizer = make(file);
  const auto with = tokenizer.encode("a"), without = tokenizer.encode("a", {.add_special_tokens = false});
  EXPECT_EQ(with->ids, (Ids{7, 0, 8, 9}));
  EXPECT_EQ(with->type_ids, (Ids{0, 1, 2, 2}));
  EXPECT_EQ(with->special_tokens_mask, (std::vector<uint8_t>{1, 0, 1, 1}));
  EXPECT_EQ(without->ids, Ids{0});
  file["post_processor"]["processors"][1]["single"][0]["SpecialToken"]["id"] = "[X]";
  expect_error(file, ErrorCode::kInvalidModel, "post_processor.processors[1].single[0].SpecialToken.id is '[X]'");
}

TEST(Decoder, Every) {
  const auto decoded = [](const std::string& decoder, const std::vector<std::string>& list) {
    Json vocab;
    Ids ids;
    for (const std::string& token : list) {
      if (!vocab.contains(token)) vocab[token] = vocab.size();
      ids.push_back(vocab[token]);
    }
    Json file = {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}}};
    if (!decoder.empty()) file["decoder"] = Json::parse(decoder);
    return *make(file).decode(ids);
  };
  EXPECT_EQ(decoded("", {"a", "b"}), "a b");
  EXPECT_EQ(decoded(R"({"type":"Fuse"})", {"a", "b"}), "ab");
  EXPECT_EQ(decoded(R"({"type":"ByteFallback"})", {"<0xC3>", "<0xA9>", "x", "<0xC3>", "<0x41>"}), "éx\uFFFD\uFFFD");
  EXPECT_EQ(decoded(R"({"type":"Strip","content":"_","start":1,"stop":2})", {"__a__", "_", "b_"}), "_ab");
  EXPECT_EQ(decoded(R"({"type":"Replace","pattern":{"String":"_"},"content":" "})", {"_a", "_b"}), " a b");
  EXPECT_EQ(decoded(R"({"type":"WordPiece","prefix":"##","cleanup":true})", {"do", "##n't", "a", "##b", "."}), "don't ab.");
  EXPECT_EQ(decoded(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first"})", {"_a", "_b"}), "a b");
  EXPECT_EQ(decoded(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"never"})", {"_a", "_b"}), " a b");
  EXPECT_EQ(decoded(R"({"type":"BPEDecoder","suffix":"</w>"})", {"a", "b</w>", "c</w>"}), "ab c");
  EXPECT_EQ(decoded(R"({"type":"CTC","pad_token":"-","word_delimiter_token":"_","cleanup":true})", {"h", "h", "-", "h", "i", "_", "a"}),
            "hhi a");
  EXPECT_EQ(decoded(R"({"type":"ByteLevel"})", {"Ã©", "Ġ€"}), "éĠ€");  // a token outside the alphabet stands as it is
  EXPECT_EQ(decoded(R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":"a","start":9,"stop":0}]})", {"a", "ab"}),
            "b");
}

TEST(Errors, BrokenFiles) {
  expect_error(std::string(""), ErrorCode::kInvalidModel, "not valid JSON");
  expect_error(std::string("{\"model\":"), ErrorCode::kInvalidModel, "not valid JSON");
  expect_error(std::string("{\"a\": \"\xff\"}"), ErrorCode::kInvalidModel, "not valid JSON");
  expect_error(std::string(200000, '['), ErrorCode::kInvalidModel, "not valid JSON");
  expect_error(std::string(100000, '[') + std::string(100000, ']'), ErrorCode::kInvalidModel, "an object");
  expect_error(std::string("[]"), ErrorCode::kInvalidModel, "an object");
  expect_error(std::string("{}"), ErrorCode::kInvalidModel, "model is missing");
  EXPECT_EQ(Tokenizer::load("/nonexistent/tokenizer.json").error().code(), ErrorCode::kIo);
  EXPECT_EQ(Tokenizer::load("/").error().code(), ErrorCode::kIo);
}

TEST(Errors, Fields) {
  struct Case {
    const char* pointer;
    Json value;
    ErrorCode code;
    const char* part;
  };
  const std::vector<Case> cases = {
      {"/version", "2.0", ErrorCode::kUnsupported, "2.0"},
      {"/truncation", {{"max_length", 5}}, ErrorCode::kInvalidModel, "truncation.stride is missing"},
      {"/truncation", {{"max_length", 5}, {"stride", 6}, {"strategy", "LongestFirst"}}, ErrorCode::kInvalidModel, "the stride of 6"},
      {"/truncation", {{"max_length", 5}, {"stride", 0}, {"strategy", "Longest"}}, ErrorCode::kInvalidModel, "strategy is 'Longest'"},
      {"/truncation", {{"max_length", -5}, {"stride", 0}}, ErrorCode::kInvalidModel, "truncation.max_length is -5"},
      {"/padding", {{"length", 5}}, ErrorCode::kInvalidModel, "padding.strategy is missing"},
      {"/padding", {{"strategy", {{"Fixed", "x"}}}}, ErrorCode::kInvalidModel, "padding.strategy.Fixed is \"x\""},
      {"/padding", {{"strategy", "BatchLongest"}, {"direction", "Up"}}, ErrorCode::kInvalidModel, "padding.direction is 'Up'"},
      {"/model", 5, ErrorCode::kInvalidModel, "model is number"},
      {"/model/type", "Magic", ErrorCode::kUnsupported, "model.type is 'Magic', which is not supported; known are: BPE"},
      {"/model/type", "Unigram", ErrorCode::kInvalidModel, "model.vocab is object; it must be an array"},
      {"/model/type", "WordPiece", ErrorCode::kInvalidModel, "model.continuing_subword_prefix is missing"},
      {"/model/type", "WordLevel", ErrorCode::kInvalidModel, "model.unk_token is missing"},
      {"/model",
       {{"type", "Unigram"}, {"vocab", Json::array({Json::array({"a"})})}},
       ErrorCode::kInvalidModel,
       "model.vocab[0] must be a token and its score"},
      {"/model",
       {{"type", "Unigram"}, {"vocab", Json::array({Json::array({"a", 1})})}, {"unk_id", 1}},
       ErrorCode::kInvalidModel,
       "model.unk_id is 1"},
      {"/model/vocab", Json::array(), ErrorCode::kInvalidModel, "model.vocab is array; it must be an object"},
      {"/model/vocab/a", -1, ErrorCode::kInvalidModel, "model.vocab['a']"},
      {"/model/vocab/a", 1.5, ErrorCode::kInvalidModel, "model.vocab['a']"},
      {"/model/vocab/a", 5000000000, ErrorCode::kInvalidModel, "model.vocab['a']"},
      {"/model/vocab/a", 4000000000, ErrorCode::kInvalidModel, "4000000000"},
      {"/model/vocab/a", 1, ErrorCode::kInvalidModel, "gives the id 1 to both"},
      {"/model/merges/0", "q x", ErrorCode::kInvalidModel, "model.merges[0] makes 'qx'"},
      {"/model/merges/0", "QQ x", ErrorCode::kInvalidModel, "model.merges[0] has 'QQ'"},
      {"/model/merges/0", "a", ErrorCode::kInvalidModel, "two tokens with one space"},
      {"/model/merges/0", "a b c", ErrorCode::kInvalidModel, "two tokens with one space"},
      {"/model/merges/1", {"a", "b"}, ErrorCode::kInvalidModel, "model.merges[1]"},
      {"/model/merges/1", 7, ErrorCode::kInvalidModel, "model.merges[1]"},
      {"/model/merges", nullptr, ErrorCode::kInvalidModel, "model.merges is null"},
      {"/model/dropout", 0.5, ErrorCode::kUnsupported, "dropout"},
      {"/model/dropout", 2, ErrorCode::kInvalidModel, "dropout"},
      {"/model/fuse_unk", "yes", ErrorCode::kInvalidModel, "model.fuse_unk is \"yes\"; it must be true or false"},
      {"/model/continuing_subword_prefix", "####", ErrorCode::kInvalidModel, "shorter than continuing_subword_prefix"},
      {"/normalizer", {{"type", "Append"}}, ErrorCode::kUnsupported, "normalizer.type is 'Append'"},
      {"/normalizer", {{"type", "BertNormalizer"}}, ErrorCode::kInvalidModel, "normalizer.clean_text is missing"},
      {"/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "!"}}, ErrorCode::kInvalidModel, "is not base64"},
      {"/normalizer",
       {{"type", "Precompiled"}, {"precompiled_charsmap", "AAEAAA=="}},
       ErrorCode::kInvalidModel,
       "the trie that it announces"},
      {"/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", ""}}, ErrorCode::kInvalidModel, "the trie that it announces"},
      {"/normalizer", Json::object(), ErrorCode::kInvalidModel, "normalizer.type is missing"},
      {"/normalizer", {{"type", "Strip"}}, ErrorCode::kInvalidModel, "normalizer.strip_left is missing"},
      {"/normalizer", {{"type", "Replace"}, {"pattern", "a"}, {"content", ""}}, ErrorCode::kInvalidModel, "normalizer.pattern"},
      {"/normalizer", {{"type", "Replace"}, {"pattern", {{"Regex", "("}}}, {"content", ""}}, ErrorCode::kInvalidModel, "pattern.Regex"},
      {"/normalizer",
       {{"type", "Replace"}, {"pattern", {{"Regex", "(a)\\1"}}}, {"content", ""}},
       ErrorCode::kUnsupported,
       "the escape '\\1'"},
      {"/pre_tokenizer", {{"type", "Metaspace"}}, ErrorCode::kInvalidModel, "pre_tokenizer.replacement is missing"},
      {"/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "__"}}, ErrorCode::kInvalidModel, "replacement must be one character"},
      {"/pre_tokenizer", {{"type", "FixedLength"}, {"length", 0}}, ErrorCode::kInvalidModel, "length must be 1 or more"},
      {"/pre_tokenizer/add_prefix_space", 1, ErrorCode::kInvalidModel, "pre_tokenizer.add_prefix_space is 1"},
      {"/pre_tokenizer",
       {{"type", "Sequence"}, {"pretokenizers", {{{"type", "X"}}}}},
       ErrorCode::kUnsupported,
       "pre_tokenizer.pretokenizers[0].type"},
      {"/pre_tokenizer", {{"type", "Punctuation"}, {"behavior", "Merged"}}, ErrorCode::kInvalidModel, "behavior is 'Merged'"},
      {"/post_processor", {{"type", "Magic"}}, ErrorCode::kUnsupported, "post_processor.type is 'Magic'"},
      {"/post_processor", {{"type", "BertProcessing"}}, ErrorCode::kInvalidModel, "post_processor.cls is missing"},
      {"/post_processor", {{"type", "BertProcessing"}, {"cls", {"a", "b"}}}, ErrorCode::kInvalidModel, "must be a token and its id"},
      {"/decoder", {{"type", "Magic"}}, ErrorCode::kUnsupported, "decoder.type is 'Magic'"},
      {"/decoder", {{"type", "WordPiece"}}, ErrorCode::kInvalidModel, "decoder.prefix is missing"},
      {"/decoder", {{"type", "Strip"}, {"content", "ab"}, {"start", 0}, {"stop", 0}}, ErrorCode::kInvalidModel, "one character"},
      {"/added_tokens", 5, ErrorCode::kInvalidModel, "added_tokens"},
      {"/added_tokens", {{{"id", 1}}}, ErrorCode::kInvalidModel, "added_tokens[0].content is missing"},
      {"/added_tokens", Json::array({added("x", {{"id", "1"}})}), ErrorCode::kInvalidModel, "added_tokens[0].id is \"1\""},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(std::string(test.pointer) + " = " + test.value.dump());
    Json file = small_file();
    file[Json::json_pointer(test.pointer)] = test.value;
    expect_error(file, test.code, test.part);
  }
}

TEST(Errors, DeepSequences) {
  for (const auto& [stage, list] : {std::pair{"normalizer", "normalizers"},
                                    {"pre_tokenizer", "pretokenizers"},
                                    {"decoder", "decoders"},
                                    {"post_processor", "processors"}}) {
    std::string text = "{\"type\":\"Sequence\",\"" + std::string(list) + "\":[]}";
    for (int i = 0; i < 50; ++i) text = "{\"type\":\"Sequence\",\"" + std::string(list) + "\":[" + text + "]}";
    Json file = small_file();
    file[stage] = Json::parse(text);
    expect_error(file, ErrorCode::kUnsupported, "nested more than 32 deep");
  }
}

TEST(Errors, GrowthIsBounded) {
  Json file = small_file();
  Json list = Json::array();
  for (int i = 0; i < 30; ++i) list.push_back({{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aaaaaaaa"}});
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", list}};
  const auto encoding = make(file).encode("a");
  ASSERT_FALSE(encoding.ok());
  EXPECT_NE(encoding.error().message().find("longer than"), std::string::npos);

  file = small_file();
  file["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "(?:a|aa)+(?!a)b"}}}, {"behavior", "Isolated"}, {"invert", false}};
  const auto endless = make(file).encode(std::string(100, 'a'));
  ASSERT_FALSE(endless.ok());
  EXPECT_NE(endless.error().message().find("too many steps"), std::string::npos);
}

TEST(Regex, RefusesWhatItDoesNotKnow) {
  using tokenizer::Regex;
  for (const char* pattern :
       {"\\1",        "\\k<a>", "\\g<a>", "\\X",      "\\R",   "\\K",     "\\G",   "(?x)a", "(?i)ß",   "(?i)ss", "(?i)[a-z]",
        "\\p{Emoji}", "a**",    "a{2}+",  "(?<=a+)b", "(?~a)", "(?(1)a)", "\\xff", "[]a]",  "[a-\\d]", "a{3,2}"}) {
    const auto regex = Regex::parse(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(regex.error().code(), ErrorCode::kUnsupported) << regex.error().message();
  }
  for (const char* pattern : {"(", ")", "[a", "[b-a]", "*", "(?<a", "\\", "\\p{L", "a{100001}", "\\u12", "\\x{110000}"}) {
    const auto regex = Regex::parse(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(regex.error().code(), ErrorCode::kInvalidModel) << regex.error().message();
  }
  EXPECT_FALSE(Regex::parse(std::string(100000, '(')).ok());
  EXPECT_FALSE(Regex::parse("(?:(?:(?:a{1000}b){1000}c){1000}d){1000}").ok());
  EXPECT_TRUE(Regex::parse("(?:(?:(?:){1000}){1000}){1000}").ok());
}

TEST(Regex, Matches) {
  struct Case {
    const char* pattern;
    const char* text;
    const char* matches;
  };
  for (const Case& test : {Case{"a+?b|c", "aab c", "aab,c"},
                           {"(?i)k", "kK\u212a", "k,K,\u212a"},
                           {"[a-z&&[^b]]+", "abc", "a,c"},
                           {"(?<=a|bc).", "abcd", "b,d"},
                           {"(?>a+)a", "aaa", ""},
                           {"^.|.$", "ab\ncd", "a,b,c,d"},
                           {"\\bx\\b", "x xx x", "x,x"},
                           {"(?:a|b)*?c", "abc", "abc"},
                           {"\\p{^L}+", "a1 b", "1 "},
                           {"x*", "axa", ",x,"},
                           {"(a*)*b", "aab", "aab"},
                           {"[^\\s]{2,3}", "abcde f", "abc,de"}}) {
    const auto regex = tokenizer::Regex::parse(test.pattern);
    ASSERT_TRUE(regex.ok()) << regex.error().message();
    uint64_t steps = 100000;
    std::string found;
    const auto spans = regex->find_all(test.text, steps);
    for (const auto& span : *spans)
      found += (&span == spans->data() ? "" : ",") + std::string(test.text).substr(span.begin, span.end - span.begin);
    EXPECT_EQ(found, test.matches) << test.pattern;
  }
}

}  // namespace
}  // namespace cameo
