// Lets allocations of the CUDA backend fail, for tests.
#pragma once

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <functional>
#include <string>

#include "base/error.h"

namespace cameo {

// Makes the n-th allocation from now on fail (0: none); gives how many were still to succeed.
using FailAllocation = int64_t (*)(int64_t n);

inline Result<FailAllocation> find_fail_allocation() {
  void* library = dlopen("libcameo_cuda.so", RTLD_NOW | RTLD_NOLOAD);
  if (const char* folder = std::getenv("CAMEO_BACKEND_PATH"); !library && folder)
    library = dlopen((std::string(folder) + "/libcameo_cuda.so").c_str(), RTLD_NOW);
  const auto fail = library ? reinterpret_cast<FailAllocation>(dlsym(library, "cameo_cuda_fail_allocation")) : nullptr;
  if (!fail) return error(ErrorCode::kInternal, "libcameo_cuda has no cameo_cuda_fail_allocation");
  return fail;
}

struct FailedAllocations {
  int failed = 0, refused = 0;
};

// Lets each `stride`-th allocation that `call` makes fail once. The call has to work all the same or to say that memory is short, and
// to work when it is repeated; what it gives then is its own to check. `wrong` is told what else happens.
inline Result<FailedAllocations> fail_each_allocation(int stride, const std::function<Status()>& call,
                                                      const std::function<void(const std::string&)>& wrong) {
  CAMEO_ASSIGN(const FailAllocation fail, find_fail_allocation());
  FailedAllocations all;
  for (int n = 1;; n += stride) {
    fail(n);
    const Status status = call();
    const bool came = fail(0) <= 0;
    if (!status.ok()) {
      ++all.refused;
      if (status.error().code() != ErrorCode::kOutOfMemory || !came)
        wrong(fmt::format("allocation {} {}: {}", n, came ? "fails" : "does not come", status.error().message()));
    }
    if (!came) return all;
    ++all.failed;
    if (const Status again = call(); !again.ok()) wrong(fmt::format("after allocation {} failed: {}", n, again.error().message()));
  }
}

}  // namespace cameo
