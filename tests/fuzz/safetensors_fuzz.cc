// libFuzzer: a config.json, a zero byte and a safetensors file, made into a graph.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "huggingface/model.h"

using namespace cameo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  if (zero == std::string_view::npos) return 0;
  const auto file = huggingface::SafetensorsFile::parse(std::as_bytes(std::span(input.substr(zero + 1))), nullptr, "fuzz");
  if (!file) return 0;
  auto config = huggingface::Json::parse(input.substr(0, zero), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return 0;
  // Tables of positions may ask for much memory; the fuzzer's machine has little.
  if (const auto it = config.find("max_position_embeddings"); it != config.end() && it->is_number() && it->get<double>() > 4096) return 0;
  auto weights = huggingface::SafetensorsWeights::of(file->tensors());
  const auto graph = huggingface::build_graph(huggingface::Config(std::move(config), "config.json"), weights);
  if (graph && !ir::verify(*graph)) std::abort();
  return 0;
}
