// Squeeze and excitation in a graph whose shapes are known: the means of an image's channels, two 1x1 convolutions over them, and the
// image times what those give. One kernel does it (kernels/channel_gate.h).
#pragma once

#include <map>
#include <vector>

#include "backends/cuda/kernels/channel_gate.h"
#include "backends/cuda/step.h"
#include "ir/graph.h"
#include "runtime/specialization.h"

namespace cameo::cuda {

struct ChannelGate {
  std::vector<ir::ValueId> inputs;  // of the step: the image, then weights and bias of both convolutions; biases may be none
  ChannelGateArgs args;             // without addresses
};

// The steps of `spec`, which must be complete, that multiply and take over what makes their gates, by node; `storage`: types of values
// in memory, `type` that of activations. What they take over is gone from `spec` then.
std::map<uint32_t, ChannelGate> find_channel_gates(const ir::Graph& graph, runtime::Specialization& spec, std::span<const DType> storage,
                                                   DType type, const DeviceTraits& device);
// The step: its inputs are the gate's, its output the node's.
Status make_channel_gate(StepBuilder& b, const ChannelGate& gate);

}  // namespace cameo::cuda
