// Kernels from source, compiled by NVRTC and kept in memory and in a folder.
//
// The folder ($CAMEO_CUDA_CACHE, else $XDG_CACHE_HOME/cameo/cuda or ~/.cache/cameo/cuda; empty: none) must belong to the user
// and be writable by nobody else. A file's name is the hash of source, options, architecture and NVRTC's version; it holds the
// source, which is compared, and a keyed hash (HMAC-SHA-256) over all of it whose key lies beside it, readable by the user
// alone. A file for which one of them does not fit is compiled anew. Plans hold no machine code.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "backends/cuda/runtime.h"

namespace cameo::cuda {

// Machine code of the source for compute capability `arch` (90).
Result<std::string> compile(const std::string& source, int arch);

class Modules {
 public:
  // `amd`: check() compiles for these of AMD's architectures instead.
  explicit Modules(int arch, std::vector<std::string> amd = {}) : arch_(arch), amd_(std::move(amd)) {}
  // The function `name` of the source; compiled once.
  Result<cudaKernel_t> kernel(const std::string& source, const char* name);
  // Only whether the source compiles.
  Status check(const std::string& source);

 private:
  struct Entry {
    Module module;
    cudaKernel_t kernel;
  };
  const int arch_;
  const std::vector<std::string> amd_;
  std::mutex mutex_;
  std::map<std::string, Entry> entries_;  // by source
  std::set<std::string> checked_;
};

}  // namespace cameo::cuda
