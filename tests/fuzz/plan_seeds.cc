// Writes inputs for plan_fuzz: plan_seeds OUT_DIR MODEL.onnx…
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/file.h"
#include "cameo/builder.h"
#include "plan/layout.h"

int main(int argc, char** argv) {
  for (int i = 2; i < argc; ++i) {
    auto plan = cameo::Builder().build(argv[i]);
    if (!plan.ok()) continue;  // a model that is refused makes no seed
    cameo::plan::Header h;
    std::memcpy(&h, plan->bytes().data(), sizeof h);
    const auto length = static_cast<uint32_t>(h.metadata_bytes);
    std::vector<std::byte> seed(4);
    std::memcpy(seed.data(), &length, 4);
    const auto metadata = plan->bytes().subspan(h.metadata_offset, h.metadata_bytes), weights = plan->bytes().subspan(h.weights_offset);
    seed.insert(seed.end(), metadata.begin(), metadata.end());
    seed.insert(seed.end(), weights.begin(), weights.end());
    const auto written = cameo::write_file(std::string(argv[1]) + "/" + std::to_string(i), seed);
    if (!written.ok()) return std::fprintf(stderr, "%s\n", written.error().message().c_str());
  }
  return 0;
}
