// Runs a decoder step by step with kernels/decoder_step.h: tokens, lengths, keys and values stay on the device, a step is a CUDA
// graph. Long prompts run through the plan's own graph at once.
#pragma once

#include "backends/cuda/device.h"
#include "runtime/backend.h"

namespace cameo::cuda {

// Errors: kUnsupported when the graph is none of a decoder that the kernels know, with the reason.
Result<std::unique_ptr<runtime::DeviceDecoder>> make_decoder(const ir::Graph& graph, Device& device, WeightStore& weights,
                                                             const runtime::DeviceModelOptions& model,
                                                             const runtime::DeviceDecoderOptions& options);

}  // namespace cameo::cuda
