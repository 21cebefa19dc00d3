#include "pipelines/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "pipelines/stop_strings.h"

namespace cameo {
namespace {

const std::vector<float> kLogits = {1.f, 3.f, 2.f, -1.f, 3.f, 0.f};

std::map<uint32_t, double> shares(const GenerateOptions& options) {
  Sampler sampler(options, {}, options.seed);
  constexpr int kDraws = 40000;
  std::map<uint32_t, double> share;
  for (int i = 0; i < kDraws; ++i) share[sampler.pick(kLogits).value()] += 1.0 / kDraws;
  return share;
}

TEST(Likeliest, IsTheFirstOfTheLargest) {
  for (const size_t size : {1, 15, 16, 17, 1023, 1024, 1025, 3000}) {
    for (const size_t at : {size_t{0}, size / 2, size - 1}) {
      std::vector<float> logits(size, -3.f);
      logits[at] = -1.f;
      logits[size - 1] = -1.f;
      EXPECT_EQ(likeliest(logits).value(), at);
      logits[size - 1] = std::numeric_limits<float>::quiet_NaN();
      EXPECT_FALSE(likeliest(logits).ok());
    }
    EXPECT_FALSE(likeliest(std::vector<float>(size, -std::numeric_limits<float>::infinity())).ok());
  }
}

TEST(Sampler, GreedyTakesTheFirstOfEqualOnes) {
  const GenerateOptions options;
  Sampler sampler(options, {}, 0);
  EXPECT_EQ(sampler.pick(kLogits).value(), 1u);
  EXPECT_FALSE(sampler.pick(std::vector<float>{1.f, NAN}).ok());
  EXPECT_FALSE(sampler.pick(std::vector<float>{-INFINITY, -INFINITY}).ok());
  EXPECT_FALSE(sampler.pick(std::vector<float>{INFINITY, 0}).ok());
  std::vector<float> many(1000, -1.f);
  many[537] = 2;
  EXPECT_EQ(sampler.pick(many).value(), 537u);
  many[3] = NAN;
  EXPECT_FALSE(sampler.pick(many).ok());
}

TEST(Sampler, DrawsByProbability) {
  GenerateOptions options;
  options.temperature = 2;
  options.seed = 3;
  double total = 0;
  for (const float x : kLogits) total += std::exp(x / 2);
  const auto all = shares(options);
  for (uint32_t i = 0; i < kLogits.size(); ++i) EXPECT_NEAR(all.at(i), std::exp(kLogits[i] / 2) / total, 0.01);
  EXPECT_EQ(shares(options), all);  // the same seed

  options.top_k = 3;
  const auto few = shares(options);
  EXPECT_EQ(few.size(), 3u);
  const double three = 2 * std::exp(1.5) + std::exp(1.0);
  EXPECT_NEAR(few.at(2), std::exp(1.0) / three, 0.01);
  options.top_k = 1;
  EXPECT_EQ(shares(options).size(), 1u);

  options.top_k = 0;
  options.top_p = 2 * std::exp(1.5) / total + 0.001;  // the two likeliest do not quite reach it
  EXPECT_EQ(shares(options).size(), 3u);
  options.top_p = 0.01;
  EXPECT_EQ(shares(options).size(), 1u);

  options.top_p = 1;
  options.min_p = 0.55;  // exp(-1/2) = 0.61, exp(-1) = 0.37
  EXPECT_EQ(shares(options).size(), 3u);
  options.min_p = 1;
  EXPECT_EQ(shares(options).size(), 2u);
  options.min_p = 0;
  options.temperature = 1e-9;
  EXPECT_EQ(shares(options).size(), 2u);
}

// The numbers are part of what a seed means: they never change.
TEST(Sampler, NumbersAreTheSameEverywhere) {
  RandomStream stream(42);
  EXPECT_EQ(stream.next(), 13679457532755275413ull);
  EXPECT_EQ(stream.next(), 2949826092126892291ull);
  EXPECT_NEAR(RandomStream(42).uniform(), 0.7415648787718233, 1e-16);
}

TEST(Sampler, Penalties) {
  GenerateOptions options;
  options.logit_bias = {{0, 0.5f}, {99, 1.f}};
  options.repetition_penalty = 2;
  options.presence_penalty = 1;
  options.frequency_penalty = 0.25;
  Sampler sampler(options, std::vector<uint32_t>{1, 3, 77}, 0);
  sampler.accept(2);
  sampler.accept(2);
  std::vector<float> logits = kLogits;
  sampler.change(logits);
  EXPECT_EQ(logits, (std::vector<float>{1.5f, 1.5f, 1.f - 1.5f, -2.f, 3.f, 0.f}));
}

TEST(StopStrings, AcrossPieces) {
  const std::vector<std::string> stops = {"abac", "<|end|>", "é"};
  const struct {
    std::vector<std::string> pieces;
    std::string text;
    bool found;
  } cases[] = {
      {{"xabab", "ac", "y"}, "xab", true},
      {{"a", "b", "a"}, "aba", false},
      {{"12<|", "end", "|>", "more"}, "12", true},
      {{"12<|", "end", "?"}, "12<|end?", false},
      {{"caf", "\xc3\xa9", "s"}, "caf", true},
      {{"\xc3\xa8"}, "\xc3\xa8", false},
      {{"abac"}, "", true},
      {{""}, "", false},
  };
  for (const auto& c : cases) {
    StopStrings finder(stops);
    std::string text;
    for (const std::string& piece : c.pieces) text += finder.push(piece);
    text += finder.finish();
    EXPECT_EQ(text, c.text);
    EXPECT_EQ(finder.found(), c.found);
  }
}

}  // namespace
}  // namespace cameo
