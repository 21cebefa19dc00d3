// cameo devices
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/cli.h"
#include "runtime/backend.h"

namespace cameo::cli {

Run add_devices(CLI::App&, const Common& common) {
  return [&common]() -> Result<int> {
    const auto backend = runtime::find_backend("cuda");
    const auto device = backend.ok() ? (*backend)->device() : Result<std::string>(backend.error());
    if (common.json) {
      nlohmann::ordered_json object = {{"cpu", true}, {"cuda", device.ok()}};
      object[device.ok() ? "cuda_device" : "cuda_missing"] = device.ok() ? *device : device.error().message();
      std::printf("%s\n", object.dump(2).c_str());
    } else if (device.ok()) {
      std::printf("cpu\ncuda  %s\n", device->c_str());
    } else {
      std::printf("cpu\n");
      std::fprintf(stderr, "no GPU: %s\n", device.error().message().c_str());
    }
    return kDone;
  };
}

}  // namespace cameo::cli
