// Timing on the device, for choices among ways to do the same.
#pragma once

#include <functional>

#include "backends/cuda/device.h"

namespace cameo::cuda {

// What fills operands that are measured: small numbers in all types of floats, for products of zeros run faster than others.
constexpr int kMeasuredByte = 0x2b;

// Microseconds that `call(i)`, which puts work on the device's stream, takes in a row of such calls, captured in a CUDA graph as
// they will run. The caller holds device.mutex().
Result<double> measure(Device& device, const std::function<Status(int i)>& call);

}  // namespace cameo::cuda
