#include "backends/cuda/libraries.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace cameo::cuda {
namespace {

// Where the loader looks, then CUDA's own folder. CAMEO_CUDA_LIBRARY_PATH names more, separated by colons, that come first.
Result<void*> open_library(const char* file) {
  std::vector<std::string> places;
  if (const char* more = std::getenv("CAMEO_CUDA_LIBRARY_PATH")) {
    const std::string text = more;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find(':', at), text.size());
      places.push_back(text.substr(at, end - at) + "/" + file);
      at = end + 1;
    }
  }
  places.push_back(file);
  places.push_back(std::string("/usr/local/cuda/lib64/") + file);
  std::string reason;
  for (const std::string& place : places) {
    if (void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    const char* text = dlerror();
    if (reason.empty() && text) reason = text;
  }
  return error(ErrorCode::kUnsupported, "{} cannot be loaded: {}; set CAMEO_CUDA_LIBRARY_PATH to its folder", file, reason);
}

template <class Function>
Status find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) return error(ErrorCode::kUnsupported, "the library has no function {}", name);
  return {};
}

#define CAMEO_FIND(name) CAMEO_TRY(find(library, #name, table.name));

Result<Nvrtc> load_nvrtc() {
  CAMEO_ASSIGN(void* library, open_library("libnvrtc.so.13"));
  Nvrtc table;
  CAMEO_NVRTC_FUNCTIONS(CAMEO_FIND)
  return table;
}
Result<CublasLt> load_cublaslt() {
  CAMEO_ASSIGN(void* library, open_library("libcublasLt.so.13"));
  CublasLt table;
  CAMEO_CUBLASLT_FUNCTIONS(CAMEO_FIND)
  return table;
}
Result<Cudnn> load_cudnn() {
  CAMEO_ASSIGN(void* library, open_library("libcudnn.so.9"));
  Cudnn table;
  CAMEO_CUDNN_FUNCTIONS(CAMEO_FIND)
  return table;
}

template <class Table>
Result<const Table*> pointer_to(const Result<Table>& table) {
  if (!table.ok()) return table.error();
  return &*table;
}

}  // namespace

Result<const Nvrtc*> Nvrtc::get() {
  static const Result<Nvrtc> table = load_nvrtc();
  return pointer_to(table);
}
Result<const CublasLt*> CublasLt::get() {
  static const Result<CublasLt> table = load_cublaslt();
  return pointer_to(table);
}
Result<const Cudnn*> Cudnn::get() {
  static const Result<Cudnn> table = load_cudnn();
  return pointer_to(table);
}

}  // namespace cameo::cuda
