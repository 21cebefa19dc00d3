// Layers of a transformer encoder in a graph whose shapes are known: attention, products and norms of few rows that one kernel, or a
// chain of kernels that know each other, can do instead of a step each.
#pragma once

#include <vector>

#include "backends/cuda/kernels/encoder_persistent.h"
#include "backends/cuda/simplify.h"
#include "backends/cuda/step.h"
#include "ir/graph.h"
#include "runtime/specialization.h"

namespace cameo::cuda {

// A constant of the graph, or none; `first` is the first row (of [n, k]) or number that counts.
struct EncoderConstant {
  ir::ValueId value = ir::kNoValue;
  bool transposed = false;  // a matrix that is [n, k] already
  int64_t first = 0;
};

struct EncoderChain {
  struct Layer {
    EncoderConstant weight[3], bias[3];  // queries, keys, values
    EncoderConstant out, out_bias, up, up_bias, down, down_bias, norm1, norm1_bias, norm2, norm2_bias;
  };
  std::vector<Layer> layers;
  EncoderConstant first, first_bias;  // of a norm before the first layer, or none
  std::vector<uint32_t> nodes;        // all that it does, the last one's step does it
  std::vector<ir::ValueId> inputs;    // of the step: x, attention's mask or none, then constants
  ir::ValueId output = ir::kNoValue;
  Tensor table;            // a relative bias: see RelativeBias; or undefined
  EncoderArgs args;        // without addresses
  bool persistent = true;  // one kernel does it (kernels/encoder_persistent.h); else a chain of them (kernels/encoder_layers.h)
};

// All chains of layers that stand one behind the other, of the steps that `simplified` left; `type` is that of activations.
std::vector<EncoderChain> find_encoders(const ir::Graph& graph, const runtime::Specialization& spec, const Simplified& simplified,
                                        Scalar type, const DeviceTraits& device);
// Leaves a chain's steps away, but for the last, whose node it gives.
uint32_t replace_steps(const EncoderChain& chain, const ir::Graph& graph, runtime::Specialization& spec);
// The step: its inputs are the chain's, its output the last node's.
Status make_encoder(StepBuilder& b, const EncoderChain& chain);

}  // namespace cameo::cuda
