// What all kernels of the CUDA backend share: element types, what a launch needs to know of the device.
//
// A kernel family has a struct of arguments, `NAME_refusal()`, which says in a sentence why a case is not covered (null: it
// is), and a launch function over raw device pointers and a stream. Launches check nothing: ask refusal() first.
#pragma once

#include <cstdint>

#include "backends/cuda/gpu_api.h"

namespace cameo::cuda {

enum class Scalar : uint8_t { kFloat32, kFloat16, kBFloat16 };

constexpr int64_t bytes_of(Scalar type) { return type == Scalar::kFloat32 ? 4 : 2; }

struct DeviceTraits {
  int capability = 0;       // 90 for 9.0
  int multiprocessors = 0;  // of the device
  int shared_memory = 0;    // bytes that a block may ask for, at most
};

// Of the current device; capability 0 where there is none.
DeviceTraits device_traits();

}  // namespace cameo::cuda
