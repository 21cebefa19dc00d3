// Timing on the device, for choices among ways to do the same.
#pragma once

#include <functional>

#include "backends/cuda/device.h"

namespace cameo::cuda {

// Fills operands that are measured with small numbers of both signs in all types of floats: products of zeros, or of one number again
// and again, take less power, and run faster, than others.
Status fill_measured(void* to, size_t bytes, cudaStream_t stream);
// One such byte, where kernels also keep what they tell each other.
constexpr int kMeasuredByte = 0x2b;

// Microseconds that `call(i)`, which puts work on the device's stream, takes in a row of such calls, captured in a CUDA graph as
// they will run. The caller holds device.mutex().
Result<double> measure(Device& device, const std::function<Status(int i)>& call);

}  // namespace cameo::cuda
