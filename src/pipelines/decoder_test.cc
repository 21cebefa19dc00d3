#include "pipelines/decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "cameo/builder.h"

namespace cameo {
namespace {

using Rows = std::vector<std::vector<uint32_t>>;

// The model of the repository, "model" or "model_with_past", with "+cache" built with one; built once.
const Engine& tiny_gpt2(const std::string& name) {
  static std::map<std::string, Engine> engines;
  if (const auto it = engines.find(name); it != engines.end()) return it->second;
  const size_t plus = name.find('+');
  BuildOptions options = {.optimization_level = 0};
  if (plus != std::string::npos) options.kv_cache = KvCache::kOn;
  const auto plan = Builder().build(std::string(CAMEO_MODELS) + "/tiny-gpt2/" + name.substr(0, plus) + ".onnx", options);
  EXPECT_TRUE(plan.ok()) << plan.error().message();
  return engines.emplace(name, Engine::load(*plan).value()).first->second;
}

Decoder make(const std::string& name, DecodeMode mode) {
  auto made = Decoder::create(tiny_gpt2(name), {.mode = mode});
  EXPECT_TRUE(made.ok()) << made.error().message();
  return std::move(made).value();
}

// Logits of the sequence's last token, straight from the model.
std::vector<float> expected(const std::vector<uint32_t>& row) {
  static ExecutionContext context = tiny_gpt2("model").create_context().value();
  const auto n = static_cast<int64_t>(row.size());
  std::vector<int64_t> ids(row.begin(), row.end()), mask(row.size(), 1);
  EXPECT_TRUE(context.set_input("input_ids", Tensor::of<int64_t>({1, n}, std::span<const int64_t>(ids))).ok());
  EXPECT_TRUE(context.set_input("attention_mask", Tensor::of<int64_t>({1, n}, std::span<const int64_t>(mask))).ok());
  EXPECT_TRUE(context.run().ok());
  const Tensor logits = context.output("logits").value();
  const float* last = logits.data<float>() + (n - 1) * logits.dim(2);
  return {last, last + logits.dim(2)};
}

// Largest difference of a row's logits from those that it has alone, relative to the largest of these.
double difference(const Decoder& decoder, size_t row, const std::vector<uint32_t>& tokens) {
  const std::vector<float> want = expected(tokens);
  const std::span<const float> got = decoder.logits(row);
  if (got.size() != want.size()) return INFINITY;
  double worst = 0, largest = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(want[i])));
    worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - want[i]));
  }
  return worst / largest;
}

void expect_rows(const Decoder& decoder, const Rows& rows, const std::string& what) {
  ASSERT_EQ(decoder.batch(), rows.size()) << what;
  for (size_t r = 0; r < rows.size(); ++r) {
    EXPECT_EQ(decoder.length(r), rows[r].size()) << what;
    EXPECT_LT(difference(decoder, r, rows[r]), 1e-4) << what << ", row " << r << " of length " << rows[r].size();
  }
}

Rows random_rows(std::initializer_list<size_t> lengths, uint32_t seed) {
  std::mt19937 random(seed);
  Rows rows;
  for (size_t n : lengths) {
    rows.emplace_back();
    for (size_t i = 0; i < n; ++i) rows.back().push_back(random() % 1000);
  }
  return rows;
}

struct Case {
  std::string model;
  DecodeMode mode;
};

class DecoderModes : public testing::TestWithParam<Case> {};

TEST_P(DecoderModes, EachRowGivesWhatItGivesAlone) {
  Decoder decoder = make(GetParam().model, GetParam().mode);
  // Several prefills of one decoder: longer, shorter, another batch.
  for (const auto& lengths : {std::initializer_list<size_t>{5}, {1, 7, 3, 20}, {2, 1}, {33, 64}}) {
    Rows rows = random_rows(lengths, static_cast<uint32_t>(lengths.size()));
    ASSERT_TRUE(decoder.prefill(rows).ok());
    expect_rows(decoder, rows, "after prefill");
    for (uint32_t step = 0; step < 4; ++step) {
      std::vector<uint32_t> tokens;
      for (auto& row : rows) row.push_back(tokens.emplace_back((17 * step + row.size()) % 1000));
      ASSERT_TRUE(decoder.step(tokens).ok());
      expect_rows(decoder, rows, "after step " + std::to_string(step));
    }
  }
}

TEST_P(DecoderModes, ReordersAndDropsRows) {
  Decoder decoder = make(GetParam().model, GetParam().mode);
  Rows rows = random_rows({4, 9, 2, 6}, 3);
  ASSERT_TRUE(decoder.prefill(rows).ok());
  for (const std::vector<size_t>& sources : {std::vector<size_t>{1, 0, 3, 2}, {0, 0, 2, 0}, {3, 2, 1, 1}, {2, 0}, {1}}) {
    Rows moved;
    for (size_t source : sources) moved.push_back(rows[source]);
    rows = moved;
    ASSERT_TRUE(decoder.reorder(sources).ok());
    expect_rows(decoder, rows, "reordered");
    std::vector<uint32_t> tokens;
    for (size_t r = 0; r < rows.size(); ++r) rows[r].push_back(tokens.emplace_back(40 + r));
    ASSERT_TRUE(decoder.step(tokens).ok());
    expect_rows(decoder, rows, "after a step");
  }
}

TEST_P(DecoderModes, BadInput) {
  Decoder decoder = make(GetParam().model, GetParam().mode);
  EXPECT_FALSE(decoder.step(std::vector<uint32_t>{1}).ok());
  EXPECT_FALSE(decoder.prefill(Rows{}).ok());
  EXPECT_FALSE(decoder.prefill(Rows{{1, 2}, {}}).ok());
  EXPECT_FALSE(decoder.prefill(Rows{{1, 100000}}).ok());
  EXPECT_EQ(decoder.batch(), 0u);
  EXPECT_TRUE(decoder.logits(0).empty());
  ASSERT_TRUE(decoder.prefill(Rows{{1, 2}, {3}}).ok());
  EXPECT_FALSE(decoder.step(std::vector<uint32_t>{1}).ok());
  EXPECT_FALSE(decoder.step(std::vector<uint32_t>{1, 4294967295u}).ok());
  EXPECT_FALSE(decoder.reorder(std::vector<size_t>{2}).ok());
  EXPECT_FALSE(decoder.reorder(std::vector<size_t>{}).ok());
  EXPECT_FALSE(decoder.reorder(std::vector<size_t>{0, 1, 0}).ok());
  EXPECT_TRUE(decoder.logits(2).empty());
  // What was refused left the rows as they were.
  expect_rows(decoder, {{1, 2}, {3}}, "after errors");
  // More tokens than the model has positions.
  EXPECT_FALSE(decoder.prefill(Rows{std::vector<uint32_t>(5000, 1)}).ok());
}

INSTANTIATE_TEST_SUITE_P(TinyGpt2, DecoderModes,
                         testing::Values(Case{"model", DecodeMode::kRecompute}, Case{"model", DecodeMode::kLastLogits},
                                         Case{"model_with_past", DecodeMode::kRecompute}, Case{"model_with_past", DecodeMode::kCached},
                                         Case{"model+cache", DecodeMode::kCached}, Case{"model+cache", DecodeMode::kLastLogits},
                                         Case{"model_with_past+cache", DecodeMode::kCached}),
                         [](const auto& info) {
                           std::string name = info.param.model + "_" + std::string(decode_mode_name(info.param.mode));
                           std::replace(name.begin(), name.end(), '+', '_');
                           return name;
                         });

class DecoderLengths : public testing::TestWithParam<KvCache> {};

TEST_P(DecoderLengths, AreCheckedBeforeTheFirstStep) {
  const Profile profile = {{{"input_ids", {1, 1}, {1, 8}, {2, 16}}, {"attention_mask", {1, 1}, {1, 8}, {2, 16}}}};
  const Plan plan =
      Builder()
          .build(CAMEO_MODELS "/tiny-gpt2/model.onnx", {.profiles = {profile}, .optimization_level = 0, .kv_cache = GetParam()})
          .value();
  const Engine engine = Engine::load(plan).value();
  Decoder decoder = Decoder::create(engine).value();
  EXPECT_EQ(decoder.info().mode, GetParam() == KvCache::kOn ? DecodeMode::kCached : DecodeMode::kLastLogits);
  EXPECT_EQ(decoder.info().why_not_cached.empty(), GetParam() == KvCache::kOn);
  EXPECT_EQ(engine.profiles().size(), GetParam() == KvCache::kOn ? 2u : 1u);
  EXPECT_EQ(decoder.info().max_length, 16);
  EXPECT_EQ(decoder.info().max_batch, 2);
  EXPECT_TRUE(decoder.check_length(10, 7).ok());
  const Status refused = decoder.check_length(10, 8);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("--max-shapes"), std::string::npos) << refused.error().message();
  EXPECT_FALSE(decoder.check_length(1, SIZE_MAX).ok());
  EXPECT_FALSE(decoder.prefill(Rows(3, {1})).ok());
  EXPECT_FALSE(decoder.prefill(Rows{std::vector<uint32_t>(17, 1)}).ok());
  EXPECT_TRUE(decoder.prefill(Rows{std::vector<uint32_t>(15, 1)}).ok());
  EXPECT_TRUE(decoder.step(std::vector<uint32_t>{1}).ok());
  expect_rows(decoder, {std::vector<uint32_t>(16, 1)}, "at the limit");
  EXPECT_FALSE(decoder.step(std::vector<uint32_t>{1}).ok());
  expect_rows(decoder, {std::vector<uint32_t>(16, 1)}, "after the refusal");
}

INSTANTIATE_TEST_SUITE_P(TinyGpt2, DecoderLengths, testing::Values(KvCache::kOff, KvCache::kOn));

// The cache grows as the rows do, past several of its blocks.
TEST(Decoder, LongTexts) {
  Decoder decoder = make("model+cache", DecodeMode::kCached);
  Rows rows = random_rows({3, 50}, 9);
  ASSERT_TRUE(decoder.prefill(rows).ok());
  for (uint32_t step = 0; step < 150; ++step) {
    std::vector<uint32_t> tokens;
    for (auto& row : rows) row.push_back(tokens.emplace_back((31 * step + row.size()) % 1000));
    ASSERT_TRUE(decoder.step(tokens).ok());
    if (step % 30 == 29) expect_rows(decoder, rows, "after step " + std::to_string(step));
  }
}

TEST(Decoder, ModesThatAPlanDoesNotHave) {
  EXPECT_FALSE(Decoder::create(tiny_gpt2("model"), {.mode = DecodeMode::kCached}).ok());
  EXPECT_FALSE(Decoder::create(tiny_gpt2("model+cache"), {.mode = DecodeMode::kRecompute}).ok());
  EXPECT_FALSE(Decoder::create(tiny_gpt2("model"), {.max_length = -1}).ok());
}

// A cache in memory of its own gives the same as one in place; capacity and lengths that do not fit are errors.
TEST(Decoder, TheCachedPlanIsAFunction) {
  ExecutionContext context = tiny_gpt2("model+cache").create_context().value();
  const Engine& engine = tiny_gpt2("model+cache");
  const auto set = [&](int64_t past, int64_t capacity) {
    EXPECT_TRUE(context.set_input("input_ids", Tensor::of<int64_t>({1, 2}, {5, 6})).ok());
    EXPECT_TRUE(context.set_input("past_lengths", Tensor::of<int64_t>({1}, {past})).ok());
    EXPECT_TRUE(context.set_input("last_positions", Tensor::of<int64_t>({1}, {1})).ok());
    for (const TensorInfo& t : engine.inputs()) {
      if (t.dims.size() != 3) continue;
      EXPECT_TRUE(context.set_input(t.name, Tensor::allocate(DType::kFloat32, {1, capacity, t.dims[2].value}).value()).ok());
    }
  };
  set(0, 4);
  ASSERT_TRUE(context.run().ok());
  const Tensor logits = context.output("logits").value();
  const std::vector<float> want = expected({5, 6});
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(logits.data<float>()[i], want[i], 1e-3);
  for (const auto& [past, capacity] : {std::pair<int64_t, int64_t>{3, 4}, {-1, 4}, {INT64_MAX, 4}, {0, 1}}) {
    set(past, capacity);
    EXPECT_FALSE(context.run().ok()) << past << " of " << capacity;
  }
}

}  // namespace
}  // namespace cameo
