// Temporaries of each worker of a kernel.
#pragma once

#include <bit>

#include "base/thread_pool.h"
#include "ops/op.h"

namespace cameo::cpu {

// A worker's part lies at the same place in every kernel, whatever its size: memory that another processor wrote last takes
// several times as long to write. Parts lie far apart, because a processor also fetches what lies behind the part it works on.
class WorkerScratch {
 public:
  // Room for `floats` floats for each worker; throws std::bad_alloc.
  WorkerScratch(ops::KernelContext& context, int64_t floats)
      : stride_(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(floats < kLeast ? kLeast : floats)))),
        data_(context.scratch<float>(context.threads().size() * stride_).data()) {}
  float* of(int64_t worker) const { return data_ + worker * stride_; }

 private:
  static constexpr int64_t kLeast = 256 << 10;  // 1 MiB; pages that are not used take no memory
  int64_t stride_;
  float* data_;
};

}  // namespace cameo::cpu
