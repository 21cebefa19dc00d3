#include "cameo/generate.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "tokenizer/unicode.h"

namespace cameo {
namespace {

namespace fs = std::filesystem;

const std::string kFolder = std::string(CAMEO_MODELS) + "/tiny-gpt2";
const std::vector<std::string> kPrompts = {"In the beginning", "And the LORD said unto Moses, Speak unto the children of",
                                           "The LORD is my"};

const TextModel& model(bool cached) {
  static std::map<bool, TextModel> models;
  if (const auto it = models.find(cached); it != models.end()) return it->second;
  TextModelOptions options{.kv_cache = cached ? KvCache::kOn : KvCache::kOff};
  options.build.optimization_level = 0;
  return models.emplace(cached, TextModel::load(kFolder, options).value()).first->second;
}

TextGenerator make(DecodeMode mode) {
  auto made = TextGenerator::create(model(mode == DecodeMode::kCached), {.mode = mode});
  EXPECT_TRUE(made.ok()) << made.error().message();
  return std::move(made).value();
}

GenerateOptions options(size_t tokens) {
  GenerateOptions o;
  o.max_new_tokens = tokens;
  return o;
}

Generation run(TextGenerator& generator, std::span<const std::string> prompts, const GenerateOptions& o, const OnToken& on_token = {}) {
  auto made = generator.generate(prompts, o, on_token);
  EXPECT_TRUE(made.ok()) << made.error().message();
  return made.ok() ? std::move(made).value() : Generation{};
}

std::string failure(TextGenerator& generator, const std::string& prompt, const GenerateOptions& o) {
  const auto made = generator.generate(prompt, o);
  return made.ok() ? "no error" : made.error().message();
}

TEST(Generate, ModesAgreeAndRowsAreAsAlone) {
  GenerateOptions greedy = options(24), drawn = options(24);
  drawn.temperature = 0.9;
  drawn.top_k = 50;
  drawn.top_p = 0.95;
  drawn.repetition_penalty = 1.1;
  drawn.seed = 7;
  for (const GenerateOptions& o : {greedy, drawn}) {
    std::vector<std::vector<uint32_t>> want;
    for (const DecodeMode mode : {DecodeMode::kRecompute, DecodeMode::kLastLogits, DecodeMode::kCached}) {
      TextGenerator generator = make(mode);
      EXPECT_EQ(generator.mode(), mode);
      const Generation batch = run(generator, kPrompts, o);
      ASSERT_EQ(batch.completions.size(), kPrompts.size());
      for (size_t row = 0; row < kPrompts.size(); ++row) {
        GenerateOptions alone = o;
        alone.seed += row;
        const Generation single = run(generator, std::span(&kPrompts[row], 1), alone);
        EXPECT_EQ(single.completions[0].token_ids, batch.completions[row].token_ids);
        EXPECT_EQ(single.completions[0].text, batch.completions[row].text);
        if (mode == DecodeMode::kRecompute)
          want.push_back(single.completions[0].token_ids);
        else
          EXPECT_EQ(batch.completions[row].token_ids, want[row]) << decode_mode_name(mode);
      }
    }
  }
}

TEST(Generate, StreamsWholeCharacters) {
  TextGenerator generator = make(DecodeMode::kCached);
  GenerateOptions o = options(60);
  o.temperature = 3;  // wild enough to make single bytes
  o.log_probabilities = true;
  o.top_log_probabilities = 3;
  for (o.seed = 0; o.seed < 20; o.seed += 3) {
    std::vector<std::string> streamed(kPrompts.size());
    std::vector<size_t> tokens(kPrompts.size());
    const Generation made = run(generator, kPrompts, o, [&](const TokenEvent& e) {
      EXPECT_EQ(tokenizer::find_invalid_utf8(e.text), std::string_view::npos);
      EXPECT_LE(e.log_probability, 0);
      EXPECT_EQ(e.top.size(), 3u);
      EXPECT_GE(e.top[0].log_probability, e.top[2].log_probability);
      EXPECT_EQ(e.logits.size(), 4096u);
      streamed[e.row] += e.text;
      EXPECT_EQ(e.finish.has_value(), ++tokens[e.row] == o.max_new_tokens || e.finish == FinishReason::kStop);
      return true;
    });
    for (size_t row = 0; row < kPrompts.size(); ++row) {
      const Completion& c = made.completions[row];
      EXPECT_EQ(streamed[row], c.text);
      std::vector<uint32_t> all = c.prompt_token_ids;
      all.insert(all.end(), c.token_ids.begin(), c.token_ids.end());
      EXPECT_EQ(kPrompts[row] + c.text, model(true).tokenizer().decode(all).value());
      EXPECT_EQ(c.log_probabilities.size(), c.token_ids.size());
    }
  }
}

TEST(Generate, Stops) {
  TextGenerator generator = make(DecodeMode::kCached);
  const std::string prompt = "In the beginning";
  const Completion whole = generator.generate(prompt, options(24)).value();
  EXPECT_EQ(whole.finish_reason, FinishReason::kLength);
  EXPECT_TRUE(whole.text.starts_with(" of the first month, in the first day")) << whole.text;
  // Across tokens, and within one.
  const struct {
    const char* stop;
    const char* text;
  } cases[] = {{" month, in", " of the first"}, {"onth", " of the first m"}, {",", " of the first month"}, {" of", ""}};
  for (const auto& c : cases) {
    GenerateOptions o = options(24);
    o.stop_strings = {"never appears", c.stop};
    std::string streamed;
    const Generation made = run(generator, std::span(&prompt, 1), o, [&](const TokenEvent& e) {
      streamed += e.text;
      return true;
    });
    EXPECT_EQ(made.completions[0].text, c.text);
    EXPECT_EQ(streamed, c.text);
    EXPECT_EQ(made.completions[0].finish_reason, FinishReason::kStop);
  }
  GenerateOptions o = options(24);
  o.stop_tokens = {whole.token_ids[4]};
  const Completion stopped = generator.generate(prompt, o).value();
  EXPECT_EQ(stopped.finish_reason, FinishReason::kStop);
  EXPECT_EQ(stopped.token_ids, std::vector<uint32_t>(whole.token_ids.begin(), whole.token_ids.begin() + 5));
  EXPECT_EQ(options(0).max_new_tokens, 0u);
  EXPECT_TRUE(generator.generate(prompt, options(0)).value().token_ids.empty());
}

TEST(Generate, Cancels) {
  TextGenerator generator = make(DecodeMode::kCached);
  size_t calls = 0;
  const Generation one = run(generator, kPrompts, options(50), [&](const TokenEvent& e) { return e.row != 1 || ++calls < 3; });
  EXPECT_EQ(one.completions[1].finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(one.completions[1].token_ids.size(), 3u);
  EXPECT_EQ(one.completions[0].token_ids.size(), 50u);

  std::stop_source source;
  GenerateOptions o = options(200);
  o.cancel = source.get_token();
  size_t tokens = 0;
  std::thread other;
  const Generation made = run(generator, kPrompts, o, [&](const TokenEvent&) {
    if (++tokens == 10) {
      other = std::thread([&] { source.request_stop(); });
      other.join();
    }
    return true;
  });
  for (const Completion& c : made.completions) EXPECT_EQ(c.finish_reason, FinishReason::kCancelled);
  EXPECT_LT(made.completions[0].token_ids.size(), 10u);
}

TEST(Generate, PenaltiesAndBiases) {
  TextGenerator generator = make(DecodeMode::kCached);
  GenerateOptions o = options(40);
  o.presence_penalty = 100;
  const Completion made = generator.generate(kPrompts[0], o).value();
  std::vector<uint32_t> ids = made.token_ids;
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
  GenerateOptions biased = options(5);
  biased.logit_bias = {{269, -INFINITY}, {1234, 1000.f}};
  EXPECT_EQ(generator.generate(kPrompts[0], biased).value().token_ids, std::vector<uint32_t>(5, 1234));
}

// The best of all texts, found by looking at each.
TEST(Generate, BeamSearchFindsTheBest) {
  TextGenerator generator = make(DecodeMode::kCached);
  GenerateOptions greedy = options(8);
  greedy.log_probabilities = true;
  for (const std::string& prompt : kPrompts) {
    const Completion first = generator.generate(prompt, greedy).value();
    double greedy_score = 0;
    for (const float p : first.log_probabilities) greedy_score += p;
    GenerateOptions beams = greedy;
    double last = greedy_score / static_cast<double>(first.token_ids.size());
    for (const size_t n : {4, 64}) {
      beams.num_beams = n;
      const Completion c = generator.generate(prompt, beams).value();
      double sum = 0;
      for (const float p : c.log_probabilities) sum += p;
      EXPECT_NEAR(c.score, sum / static_cast<double>(c.token_ids.size()), 1e-4);
      EXPECT_GE(c.score, last - 1e-4);
      last = c.score;
    }
  }
}

// What transformers 4.40 gives with the same weights.
TEST(Generate, BeamSearchIsHuggingFaces) {
  TextGenerator generator = make(DecodeMode::kCached);
  const struct {
    size_t beams;
    double length_penalty, score;
  } cases[] = {{4, 1, -0.7277805}, {5, 0, -3.6389022}};
  for (const auto& c : cases) {
    GenerateOptions o = options(10);
    o.num_beams = c.beams;
    o.length_penalty = c.length_penalty;
    o.stop_tokens = {12};
    const Completion made = generator.generate("In the beginning", o).value();
    EXPECT_EQ(made.token_ids, (std::vector<uint32_t>{269, 259, 803, 1121, 12}));
    EXPECT_EQ(made.finish_reason, FinishReason::kStop);
    EXPECT_NEAR(made.score, c.score, 1e-4);
  }
}

TEST(Generate, ErrorsArePlain) {
  TextGenerator generator = make(DecodeMode::kCached);
  EXPECT_NE(failure(generator, "", options(4)).find("no tokens"), std::string::npos);
  EXPECT_NE(failure(generator, "a\xff", options(4)).find("UTF-8"), std::string::npos);
  EXPECT_NE(failure(generator, "In the", options(256)).find("256 positions"), std::string::npos);
  EXPECT_NE(failure(generator, std::string(1 << 20, 'a'), options(1)).find("256 positions"), std::string::npos);
  const std::vector<std::vector<uint32_t>> ids = {{1, 4096}};
  EXPECT_NE(generator.generate(ids, options(4)).error().message().find("token 4096 (unknown to the tokenizer too)"), std::string::npos);
  const auto bad = [&](auto change) {
    GenerateOptions o = options(4);
    change(o);
    return failure(generator, "In the", o);
  };
  EXPECT_NE(bad([](auto& o) { o.temperature = -1; }).find("temperature is -1"), std::string::npos);
  EXPECT_NE(bad([](auto& o) { o.temperature = NAN; }).find("temperature"), std::string::npos);
  EXPECT_NE(bad([](auto& o) { o.top_p = 0; }).find("top_p"), std::string::npos);
  EXPECT_NE(bad([](auto& o) { o.min_p = 2; }).find("min_p"), std::string::npos);
  EXPECT_NE(bad([](auto& o) { o.logit_bias = {{5000, 1.f}}; }).find("5000"), std::string::npos);
  EXPECT_NE(bad([](auto& o) { o.stop_strings = {""}; }).find("stop string"), std::string::npos);
  EXPECT_NE(bad([](auto& o) { o.num_beams = 0; }).find("num_beams"), std::string::npos);
  EXPECT_EQ(bad([](auto& o) { o.ignore_end_tokens = true; }), "no error");
  // Special tokens in the text are what they are for Hugging Face.
  EXPECT_EQ(generator.generate("A<|endoftext|>B", options(1)).value().prompt_token_ids[1], 0u);
  EXPECT_EQ(model(true).chat_prompt({}).error().code(), ErrorCode::kUnsupported);
}

// A folder of its own, with the repository's model.
class ModelFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("cameo_generate_test_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directory(folder_);
    for (const char* name : {"model.onnx", "model.weights", "tokenizer.json"}) fs::copy(fs::path(kFolder) / name, folder_ / name);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const char* name, std::string_view text) { std::ofstream(folder_ / name) << text; }
  std::string load(std::vector<ChatMessage> messages = {}) {
    TextModelOptions options;
    options.build.optimization_level = 0;
    const auto loaded = TextModel::load(folder_.string(), options);
    if (!loaded.ok()) return "error: " + loaded.error().message();
    defaults = loaded->defaults();
    ends = {loaded->end_tokens().begin(), loaded->end_tokens().end()};
    const auto prompt = loaded->chat_prompt(messages);
    return prompt.ok() ? *prompt : "error: " + prompt.error().message();
  }
  fs::path folder_;
  GenerateOptions defaults;
  std::vector<uint32_t> ends;
};

TEST_F(ModelFolderTest, ReadsWhatIsBesideTheModel) {
  write("generation_config.json", R"({"eos_token_id": [2, 3], "do_sample": true, "temperature": 0.6, "top_p": 0.9, "max_new_tokens": 7})");
  write("tokenizer_config.json", R"({"bos_token": {"content": "<s>"}, "chat_template": [{"name": "tool_use", "template": "no"},
    {"name": "default", "template": "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"}]})");
  EXPECT_EQ(load({{"user", "hi"}}), "<s>user:hi;");
  EXPECT_EQ(ends, (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(defaults.temperature, 0.6);
  EXPECT_EQ(defaults.top_k, 50u);
  EXPECT_EQ(defaults.max_new_tokens, 7u);
  write("chat_template.jinja", "{{ messages | length }}");
  EXPECT_EQ(load({{"user", "hi"}}), "1");
  EXPECT_NE(load({{"user", "a\xff"}}).find("message 1 is not UTF-8"), std::string::npos);
}

TEST_F(ModelFolderTest, DamagedFilesAreNamed) {
  const struct {
    const char *file, *text, *part;
  } cases[] = {
      {"generation_config.json", "{", "generation_config.json' is not valid JSON"},
      {"generation_config.json", "[]", "not a JSON object"},
      {"generation_config.json", R"({"eos_token_id": "x"})", "eos_token_id is string"},
      {"generation_config.json", R"({"do_sample": 1})", "do_sample"},
      {"generation_config.json", R"({"do_sample": true, "temperature": "hot"})", "temperature is string"},
      {"generation_config.json", "{}", ""},
      {"config.json", R"({"n_positions": -1})", "n_positions"},
      {"config.json", "{}", ""},
      {"tokenizer_config.json", R"({"chat_template": 3})", "chat_template is number"},
      {"tokenizer_config.json", R"({"eos_token": 3})", "eos_token is number"},
      {"tokenizer_config.json", R"({"chat_template": "{% for %}"})", "tokenizer_config.json: line 1"},
      {"tokenizer_config.json", R"({"chat_template": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"})",
       "does it end?"},
      {"tokenizer_config.json", R"({"chat_template": "{{ raise_exception('No system role') }}"})", "No system role"},
      {"tokenizer_config.json", "{}", ""},
      {"tokenizer.json", "{}", "tokenizer.json"},
  };
  for (const auto& c : cases) {
    write(c.file, c.text);
    const std::string got = load({{"user", "hi"}});
    EXPECT_TRUE(got.starts_with("error: ") && got.find(c.part) != std::string::npos) << c.file << " " << c.text << ": " << got;
  }
}

TEST_F(ModelFolderTest, ATokenizerOfAnotherModel) {
  // Larger: fine while its tokens are known to the model, else an error that says so.
  std::ifstream in(folder_ / "tokenizer.json");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const size_t at = text.find("\"added_tokens\"");
  text.insert(
      text.find('[', at) + 1,
      R"({"id": 5000, "content": "<new>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false},)");
  write("tokenizer.json", text);
  const auto loaded = TextModel::load(folder_.string());
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  TextGenerator generator = TextGenerator::create(*loaded).value();
  EXPECT_EQ(failure(generator, "In the", options(2)), "no error");
  EXPECT_NE(failure(generator, "In <new>", options(2)).find("does the tokenizer"), std::string::npos);
  // Smaller: tokens that it does not know have no text.
  write(
      "tokenizer.json",
      R"({"model": {"type": "WordLevel", "vocab": {"In": 1155, "the": 259, "u": 0}, "unk_token": "u"}, "pre_tokenizer": {"type": "Whitespace"}})");
  const auto small = TextModel::load(folder_.string());
  ASSERT_TRUE(small.ok()) << small.error().message();
  TextGenerator other = TextGenerator::create(*small).value();
  EXPECT_EQ(failure(other, "In the", options(20)), "no error");
}

}  // namespace
}  // namespace cameo
