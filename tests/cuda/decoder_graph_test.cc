// Finds the decoder in models built with a KV cache for a GPU; needs none.
//   cuda_decoder_graph_test MODEL...
#include <cstdio>

#include "backends/cuda/decoder_model.h"
#include "base/error.h"
#include "cameo/builder.h"
#include "plan/content.h"

namespace cameo::cuda {
namespace {

Status find_in(const char* path, DevicePrecision precision) {
  CAMEO_ASSIGN(const Plan plan, Builder().build(path, {.kv_cache = KvCache::kOn, .device = "cuda", .precision = precision}));
  CAMEO_ASSIGN(const plan::Content content, plan::read(plan, false));
  CAMEO_ASSIGN(const DecoderGraph found, find_decoder(content.graph));
  std::printf("%s: %zu layers, %lld heads of %lld, %lld of keys, vocabulary %lld, %s\n", path, found.layers.size(),
              static_cast<long long>(found.heads), static_cast<long long>(found.head_size), static_cast<long long>(found.kv_heads),
              static_cast<long long>(found.head.n), found.positions.defined() ? "learned positions" : "rotary positions");
  return {};
}

}  // namespace
}  // namespace cameo::cuda

int main(int argc, char** argv) {
  int failed = 0;
  for (int i = 1; i < argc; ++i)
    for (const auto precision : {cameo::DevicePrecision::kFloat32, cameo::DevicePrecision::kFloat16}) {
      const cameo::Status status = cameo::cuda::find_in(argv[i], precision);
      if (status.ok()) continue;
      ++failed;
      std::printf("FAIL %s: %s\n", argv[i], status.error().message().c_str());
    }
  return failed == 0 ? 0 : 1;
}
