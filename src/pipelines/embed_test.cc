// Embeddings of models/tiny-bert, from its ONNX file and from its safetensors, against what numpy computes from the formulas.
#include "cameo/embed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cameo/builder.h"
#include "pipelines/embed_batches.h"

namespace cameo {
namespace {

using Json = nlohmann::json;

const std::string kFolder = CAMEO_MODELS "/tiny-bert";

Json reference() {
  std::ifstream in(kFolder + "/reference.json");
  return Json::parse(in);
}

Embedder make(const std::string& model, const EmbedderOptions& options, std::vector<Profile> profiles = {}) {
  const Plan plan = Builder().build(model, {.profiles = std::move(profiles), .optimization_level = 0}).value();
  return Embedder::create(Engine::load(plan).value(), Tokenizer::load(kFolder + "/tokenizer.json").value(), options).value();
}

struct Texts {
  std::vector<std::string> texts;
  std::vector<std::string_view> views;
};
Texts texts_of(const Json& cases) {
  Texts t;
  for (const Json& c : cases) t.texts.push_back(c.at("text"));
  t.views.assign(t.texts.begin(), t.texts.end());
  return t;
}

void expect_rows(const Tensor& got, const Json& cases, const char* key, float tolerance) {
  ASSERT_EQ(got.dim(0), static_cast<int64_t>(cases.size()));
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto want = cases[i].at(key).get<std::vector<float>>();
    for (size_t k = 0; k < want.size(); ++k)
      EXPECT_NEAR(got.data<float>()[i * want.size() + k], want[k], tolerance) << key << ", text " << i << ", component " << k;
  }
}

TEST(Embedder, ReadsTheFilesOfSentenceTransformers) {
  const auto options = EmbedderOptions::from_folder(kFolder);
  ASSERT_TRUE(options.ok()) << options.error().message();
  EXPECT_EQ(options->pooling, Pooling::kMean);
  EXPECT_TRUE(options->normalize);
  EXPECT_EQ(options->max_length, 40u);
  EXPECT_EQ(EmbedderOptions::from_folder(kFolder + "/nowhere")->max_length, 0u);
}

TEST(Embedder, GivesWhatTheFormulasGive) {
  const Json cases = reference();
  const Texts t = texts_of(cases);
  for (const std::string& model : {kFolder + "/model.onnx", kFolder}) {
    SCOPED_TRACE(model);
    for (const auto& [pooling, key] : {std::pair(Pooling::kMean, "mean"), {Pooling::kCls, "cls"}, {Pooling::kMax, "max"}})
      for (size_t batch_tokens : {1, 50, 1000}) {
        Embedder embedder = make(model, {.pooling = pooling, .max_length = 40, .batch_tokens = batch_tokens, .threads = 2});
        const auto got = embedder.embed(t.views);
        ASSERT_TRUE(got.ok()) << got.error().message();
        expect_rows(*got, cases, key, 2e-5f);
      }
  }
}

TEST(Embedder, CutsPadsAndCounts) {
  const Json cases = reference();
  const Texts t = texts_of(cases);
  Embedder embedder = make(kFolder, {.max_length = 40, .pad_to = 48});
  const auto states = embedder.hidden_states(t.views);
  ASSERT_TRUE(states.ok()) << states.error().message();
  EXPECT_EQ(states->dims(), (Dims{static_cast<int64_t>(cases.size()), 48, 48}));
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto want = cases[i].at("last_state").get<std::vector<float>>();
    const size_t last = cases[i].at("ids").size() - 1;
    for (size_t k = 0; k < want.size(); ++k) EXPECT_NEAR(states->data<float>()[(i * 48 + last) * 48 + k], want[k], 1e-4f);
  }
  EXPECT_EQ(embedder.statistics().texts, cases.size());
  EXPECT_EQ(embedder.statistics().padded_tokens, 48 * cases.size());
  EXPECT_EQ(embedder.statistics().truncated, 1u);
  EXPECT_EQ(embedder.embed({})->dim(0), 0);
  const std::string_view bad = "\xff";
  EXPECT_EQ(embedder.embed({&bad, 1}).error().code(), ErrorCode::kInvalidInput);
  embedder.set_progress([](size_t, size_t) { return false; });
  EXPECT_EQ(embedder.embed(t.views).error().code(), ErrorCode::kCancelled);
}

TEST(Embedder, KeepsWithinTheProfiles) {
  const Json cases = reference();
  const Texts t = texts_of(cases);
  Profile profile;
  for (const char* name : {"input_ids", "attention_mask", "token_type_ids"}) profile.inputs.push_back({name, {2, 8}, {4, 16}, {4, 40}});
  Embedder embedder = make(kFolder, {.max_length = 512}, {profile});
  EXPECT_EQ(embedder.options().max_length, 40u);
  const auto got = embedder.embed(t.views);
  ASSERT_TRUE(got.ok()) << got.error().message();
  expect_rows(*got, cases, "mean", 2e-5f);
  const Plan plan = Builder().build(kFolder, {.profiles = {profile}, .optimization_level = 0}).value();
  const auto refused = Embedder::create(Engine::load(plan).value(), Tokenizer::load(kFolder + "/tokenizer.json").value(), {.pad_to = 64});
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
}

TEST(Embedder, RefusesOtherModels) {
  const Plan plan = Builder().build(CAMEO_MODELS "/tiny-gpt2/model_with_past.onnx", {.optimization_level = 0}).value();
  const auto refused = Embedder::create(Engine::load(plan).value(), Tokenizer::load(kFolder + "/tokenizer.json").value());
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("not one of an encoder"), std::string::npos) << refused.error().message();
}

TEST(EmbedBatches, CoverEveryTextOnce) {
  const std::vector<int64_t> lengths = {300, 90, 88, 50, 49, 48, 20, 20, 20, 3, 1};
  const ShapeRange ranges[] = {{1, 1, 1, 512}, {2, 4, 10, 100}};
  for (int64_t tokens : {1, 64, 100, 1000}) {
    size_t next = 0;
    for (const EmbedBatch& b : make_batches(lengths, ranges, 0, tokens)) {
      EXPECT_EQ(b.first, next);
      EXPECT_GE(b.length, lengths[b.first]);
      EXPECT_TRUE(b.texts == 1 || b.rows * b.length <= std::max<int64_t>(tokens, 0));
      const bool fits = (b.rows == 1 && b.length <= 512) || (b.rows >= 2 && b.rows <= 4 && b.length >= 10 && b.length <= 100);
      EXPECT_TRUE(fits) << b.rows << " x " << b.length;
      next += b.texts;
    }
    EXPECT_EQ(next, lengths.size());
  }
}

}  // namespace
}  // namespace cameo
