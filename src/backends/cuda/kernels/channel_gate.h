// y = x * gate, where the gate of a channel follows from the means of all channels of the image by two small products: squeeze and
// excitation. All of it is one kernel (Hopper and later).
#pragma once

#include "backends/cuda/kernels/kernel.h"

namespace cameo::cuda {

enum class GateActivation : uint8_t { kNone, kRelu, kSilu, kHardSwish, kSigmoid, kHardSigmoid };

struct ChannelGateArgs {
  Scalar type = Scalar::kFloat16;  // of x, y and the weights: 16 bits
  int32_t images = 0, pixels = 0, channels = 0, squeezed = 0;
  const void* x = nullptr;              // [images, pixels, channels]; channels a multiple of 8
  const void* squeeze = nullptr;        // [squeezed, channels]
  const float* squeeze_bias = nullptr;  // [squeezed] or null
  const void* excite = nullptr;         // [squeezed, channels]
  const float* excite_bias = nullptr;   // [channels] or null
  void* y = nullptr;                    // as x
  GateActivation inner = GateActivation::kRelu, outer = GateActivation::kSigmoid;
  float slope = 0, offset = 0;  // of a hard sigmoid: min(1, max(0, slope x + offset))
};

const char* channel_gate_refusal(const ChannelGateArgs& args, const DeviceTraits& device);
cudaError_t channel_gate(const ChannelGateArgs& args, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
