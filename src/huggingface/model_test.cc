// Folders that are wrong: the error says what, and which architectures are known.
#include "huggingface/model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "huggingface/rotary.h"

namespace cameo::huggingface {
namespace {

std::string message(Json config, std::map<std::string, Tensor> tensors = {}) {
  SafetensorsWeights weights = SafetensorsWeights::of(std::move(tensors));
  const auto graph = build_graph(Config(std::move(config), "config.json"), weights);
  return graph.ok() ? "" : graph.error().message();
}

Json llama() {
  return {{"model_type", "llama"},    {"vocab_size", 8},          {"hidden_size", 4},       {"num_hidden_layers", 1},
          {"num_attention_heads", 2}, {"num_key_value_heads", 1}, {"intermediate_size", 6}, {"max_position_embeddings", 16}};
}

Json with(const char* key, const Json& value) {
  Json config = llama();
  config[key] = value;
  return config;
}

std::map<std::string, Tensor> llama_tensors() {
  std::map<std::string, Tensor> tensors;
  const auto add = [&](const std::string& name, const Dims& dims) {
    tensors[name + ".weight"] = Tensor::allocate(DType::kFloat32, dims).value();
  };
  add("model.embed_tokens", {8, 4});
  add("model.norm", {4});
  const std::string at = "model.layers.0.";
  add(at + "input_layernorm", {4});
  add(at + "post_attention_layernorm", {4});
  add(at + "self_attn.q_proj", {4, 4});
  add(at + "self_attn.k_proj", {2, 4});
  add(at + "self_attn.v_proj", {2, 4});
  add(at + "self_attn.o_proj", {4, 4});
  add(at + "mlp.gate_proj", {6, 4});
  add(at + "mlp.up_proj", {6, 4});
  add(at + "mlp.down_proj", {4, 6});
  return tensors;
}

TEST(HuggingFace, TheGoodOneIsGood) {
  EXPECT_EQ(message(llama(), llama_tensors()), "");
  EXPECT_EQ(message(with("sliding_window", 4), llama_tensors()), "");
}

TEST(HuggingFace, NamesWhatItKnows) {
  const std::string m = message({{"model_type", "whisper"}});
  for (const char* part : {"'whisper'", "bert", "distilbert", "roberta", "mpnet", "gpt2", "llama", "mistral", "qwen2"})
    EXPECT_NE(m.find(part), std::string::npos) << part << ": " << m;
  EXPECT_NE(message({{"hidden_size", 3}}).find("''"), std::string::npos);
}

TEST(HuggingFace, SaysWhatIsWrong) {
  const struct {
    Json config;
    const char* part;
  } kCases[] = {
      {with("hidden_size", nullptr), "'hidden_size' is missing"},
      {with("hidden_size", "four"), "'hidden_size' must be an integer"},
      {with("hidden_size", 1e30), "'hidden_size' must be an integer"},
      {with("hidden_size", -4), "'hidden_size' must be an integer"},
      {with("hidden_size", 18446744073709551615u), "'hidden_size' must be an integer"},
      {with("num_hidden_layers", 1000000), "'num_hidden_layers' must be"},
      {with("num_hidden_layers", 2), "no tensor 'model.layers.1.input_layernorm.weight'"},
      {with("num_key_value_heads", 3), "cannot share"},
      {with("num_attention_heads", 16777216), "cannot turn"},
      {with("head_dim", 3), "cannot turn"},
      {with("intermediate_size", 7), "shape 6x4"},
      {with("hidden_act", "quick"), "activation 'quick'"},
      {with("rms_norm_eps", "x"), "'rms_norm_eps'"},
      {with("rope_scaling", {{"rope_type", "longrope"}, {"factor", 2}}), "known are linear, dynamic, llama3 and yarn"},
      {with("rope_scaling", {{"rope_type", "linear"}}), "'factor'"},
      {with("rope_scaling", 3), "'rope_scaling' must be an object"},
  };
  for (const auto& c : kCases) {
    const std::string m = message(c.config, llama_tensors());
    EXPECT_NE(m.find(c.part), std::string::npos) << c.part << ": " << m;
  }
  auto tensors = llama_tensors();
  tensors["model.norm.weight"] = Tensor::allocate(DType::kInt32, {4}).value();
  EXPECT_NE(message(llama(), tensors).find("is int32"), std::string::npos);
}

// By the formulas, for dim 8, theta 10000 and 64 positions of training.
TEST(HuggingFace, ScalesRotaryFrequencies) {
  const auto frequencies = [](const Json& scaling) {
    Json json = {{"rope_theta", 10000.0}, {"max_position_embeddings", 64}};
    if (!scaling.is_null()) json["rope_scaling"] = scaling;
    Config config(json, "config.json");
    const Rotary rotary = read_rotary(config, 8);
    EXPECT_FALSE(config.problem());
    return rotary;
  };
  const auto expect = [](const std::vector<float>& got, const std::vector<float>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-6f * want[i] + 1e-9f) << i;
  };
  expect(frequencies(nullptr).frequencies, {1, 0.1f, 0.01f, 0.001f});
  expect(frequencies({{"type", "linear"}, {"factor", 4.0}}).frequencies, {0.25f, 0.025f, 0.0025f, 0.00025f});
  expect(frequencies({{"rope_type", "dynamic"}, {"factor", 4.0}}).frequencies, {1, 0.1f, 0.01f, 0.001f});
  // Turns in 64 positions: 10.2, 1.02, 0.1, 0.01; between 1 and 4 turns there is a ramp.
  const double ramp = (64 * 0.1 / (2 * 3.14159265358979) - 1) / 3;
  expect(frequencies({{"rope_type", "llama3"},
                      {"factor", 8.0},
                      {"low_freq_factor", 1.0},
                      {"high_freq_factor", 4.0},
                      {"original_max_position_embeddings", 64}})
             .frequencies,
         {1, static_cast<float>((1 - ramp) * 0.1 / 8 + ramp * 0.1), 0.01f / 8, 0.001f / 8});
  // The ramp goes from pair floor(-0.5) → 0 to pair ceil(1.01) = 2.
  const Rotary yarn = frequencies({{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 64}});
  expect(yarn.frequencies, {1, 0.1f * 0.5f + 0.025f * 0.5f, 0.0025f, 0.00025f});
  EXPECT_NEAR(yarn.factor, 0.1 * std::log(4.0) + 1, 1e-6);
}

}  // namespace
}  // namespace cameo::huggingface
