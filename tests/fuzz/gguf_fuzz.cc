// libFuzzer: any bytes as a GGUF file, made into a tokenizer and a graph.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "cameo/tokenizer.h"
#include "gguf/model.h"
#include "gguf/tokenizer.h"

using namespace cameo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = gguf::File::parse(std::as_bytes(std::span(data, size)), nullptr, "fuzz");
  if (!file) return 0;
  if (const auto json = gguf::tokenizer_json(*file))
    if (const auto tokenizer = Tokenizer::from_json(*json)) static_cast<void>(tokenizer->encode("Is it 3 o'clock?\n"));
  // Tables of positions may ask for much memory; the fuzzer's machine has little.
  for (const auto& [key, value] : file->metadata()) {
    if (!key.ends_with(".context_length")) continue;
    const auto* number = std::get_if<uint64_t>(&value);
    const auto* with_sign = std::get_if<int64_t>(&value);
    if ((number != nullptr && *number > 4096) || (with_sign != nullptr && *with_sign > 4096)) return 0;
  }
  const auto graph = gguf::build_graph(*file, "fuzz");
  if (graph && !ir::verify(*graph)) std::abort();
  return 0;
}
