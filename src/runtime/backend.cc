#include "runtime/backend.h"

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>

#include "base/error.h"
#include "cameo/version.h"

namespace cameo::runtime {
namespace {

constexpr std::string_view kPrecisions[] = {"fp32", "tf32", "fp16", "bf16"};

// The folder of the program or library that this code is in.
std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&find_backend), &info) == 0 || info.dli_fname == nullptr) return "";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

Result<Backend*> load(std::string_view name) {
  const std::string file = "libcameo_" + std::string(name) + ".so";
  std::vector<std::string> places;
  if (const char* folder = std::getenv("CAMEO_BACKEND_PATH")) places.push_back(std::string(folder) + "/" + file);
  const std::string folder = own_folder();
  for (const char* relative : {"", "src/", "../lib/", "../src/"}) places.push_back(folder + relative + file);
  places.push_back(file);
  void* library = nullptr;
  std::string reason;
  for (const std::string& place : places) {
    library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library) break;
    const char* text = dlerror();
    // A file that is there and cannot be loaded says more than one that is missing.
    if (text && (reason.empty() || std::string_view(text).find("No such file") == std::string_view::npos)) reason = text;
  }
  if (!library) return error(ErrorCode::kUnsupported, "there is no backend '{}': {} ({})", name, file, reason);
  const auto entry = reinterpret_cast<BackendEntry>(dlsym(library, "cameo_backend"));
  Backend* backend = entry ? entry(CAMEO_VERSION) : nullptr;
  if (!backend) return error(ErrorCode::kUnsupported, "{} does not belong to Cameo {}", file, CAMEO_VERSION);
  return backend;
}

}  // namespace

std::string_view precision_name(Precision precision) { return kPrecisions[static_cast<size_t>(precision)]; }

Result<Precision> precision_from_name(std::string_view name) {
  for (size_t i = 0; i < std::size(kPrecisions); ++i)
    if (kPrecisions[i] == name) return static_cast<Precision>(i);
  return error(ErrorCode::kInvalidArgument, "there is no precision '{}'; there are fp32, tf32, fp16 and bf16", name);
}

Result<Backend*> find_backend(std::string_view name) {
  if (name != "cuda") return error(ErrorCode::kUnsupported, "there is no device '{}'; there are cpu and cuda", name);
  static std::mutex mutex;
  static Result<Backend*> loaded = Error(ErrorCode::kInternal, "");
  static bool tried = false;
  const std::lock_guard lock(mutex);
  if (!tried) loaded = load(name);
  tried = true;
  return loaded;
}

}  // namespace cameo::runtime
