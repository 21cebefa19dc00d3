// Finds the decoder in models built with a KV cache for a GPU, and in a small Llama from config.json; needs no GPU.
//   cuda_decoder_graph_test MODEL...
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "backends/cuda/decoder_model.h"
#include "base/error.h"
#include "cameo/builder.h"
#include "plan/content.h"

namespace cameo::cuda {
namespace {

constexpr int64_t kPositions = 64, kSize = 32;  // of the Llama: positions, size of a head

Status find_in(const char* path, DevicePrecision precision, bool llama = false) {
  CAMEO_ASSIGN(const Plan plan, Builder().build(path, {.kv_cache = KvCache::kOn, .device = "cuda", .precision = precision}));
  CAMEO_ASSIGN(const plan::Content content, plan::read(plan, false));
  CAMEO_ASSIGN(const DecoderGraph found, find_decoder(content.graph));
  std::printf("%s: %zu layers, %lld heads of %lld, %lld of keys, vocabulary %lld, %s\n", path, found.layers.size(),
              static_cast<long long>(found.heads), static_cast<long long>(found.head_size), static_cast<long long>(found.kv_heads),
              static_cast<long long>(found.head.n), found.positions.defined() ? "learned positions" : "rotary positions");
  if (!llama) return {};
  if (found.most_positions != kPositions) return error(ErrorCode::kInternal, "positions end at {}", found.most_positions);
  for (const bool cosines : {true, false}) {
    CAMEO_ASSIGN(const Tensor table, rotary_table(content.graph, found.layers[0], cosines, kPositions));
    for (int64_t i = 0; i < table.num_elements(); ++i) {
      const int64_t pair = i % (kSize / 2);
      const double angle = static_cast<double>(i / (kSize / 2)) * std::pow(10000, -2.0 * static_cast<double>(pair) / kSize);
      if (!(std::abs(table.data<float>()[i] - (cosines ? std::cos(angle) : std::sin(angle))) < 1e-4))
        return error(ErrorCode::kInternal, "rotary tables differ at {}", i);
    }
  }
  if (rotary_table(content.graph, found.layers[0], true, kPositions + 1).ok())
    return error(ErrorCode::kInternal, "positions were found behind the end of their tables");
  return {};
}

// Two layers as Hugging Face saves them, no two matrices the same: its positions are rows of tables.
void write_llama(const std::filesystem::path& folder) {
  constexpr int64_t kHidden = 64, kFfn = 128, kVocabulary = 96, kKeys = kSize;
  nlohmann::json header;
  int64_t bytes = 0;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    int64_t more = 4;
    for (const int64_t d : shape) more *= d;
    header[name + ".weight"] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {bytes, bytes + more}}};
    bytes += more;
  };
  add("model.embed_tokens", {kVocabulary, kHidden});
  add("model.norm", {kHidden});
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) add(layer + norm, {kHidden});
    for (const char* part : {"self_attn.q_proj", "self_attn.o_proj"}) add(layer + part, {kHidden, kHidden});
    for (const char* part : {"self_attn.k_proj", "self_attn.v_proj"}) add(layer + part, {kKeys, kHidden});
    for (const char* part : {"mlp.gate_proj", "mlp.up_proj"}) add(layer + part, {kFfn, kHidden});
    add(layer + "mlp.down_proj", {kHidden, kFfn});
  }
  const nlohmann::json config = {{"architectures", {"LlamaForCausalLM"}},
                                 {"model_type", "llama"},
                                 {"hidden_size", kHidden},
                                 {"intermediate_size", kFfn},
                                 {"num_hidden_layers", 2},
                                 {"num_attention_heads", kHidden / kSize},
                                 {"num_key_value_heads", kKeys / kSize},
                                 {"vocab_size", kVocabulary},
                                 {"max_position_embeddings", kPositions},
                                 {"rms_norm_eps", 1e-5},
                                 {"rope_theta", 10000.0},
                                 {"hidden_act", "silu"},
                                 {"tie_word_embeddings", true}};
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << config;
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::ofstream file(folder / "model.safetensors", std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << text;
  for (int64_t i = 0; i < bytes / 4; ++i) {
    const float weight = static_cast<float>(i % 101) / 1000;
    file.write(reinterpret_cast<const char*>(&weight), sizeof weight);
  }
}

}  // namespace
}  // namespace cameo::cuda

int main(int argc, char** argv) {
  const std::string llama = "decoder_graph_llama";
  cameo::cuda::write_llama(llama);
  int failed = 0;
  for (int i = 0; i < argc; ++i)
    for (const auto precision : {cameo::DevicePrecision::kFloat32, cameo::DevicePrecision::kFloat16}) {
      const char* path = i == 0 ? llama.c_str() : argv[i];
      const cameo::Status status = cameo::cuda::find_in(path, precision, i == 0);
      if (status.ok()) continue;
      ++failed;
      std::printf("FAIL %s: %s\n", path, status.error().message().c_str());
    }
  return failed == 0 ? 0 : 1;
}
