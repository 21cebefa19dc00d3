// The angles of rotary position embedding, with the ways of scaling them that models use.
#pragma once

#include <vector>

#include "cameo/tensor.h"
#include "huggingface/config.h"

namespace cameo::huggingface {

struct Rotary {
  std::vector<float> frequencies;  // of each pair: the angle is position * frequency
  float factor = 1;                // that sines and cosines are multiplied by
};

// theta^(-2 i / dim), scaled as rope_scaling (or rope_parameters) of the configuration says: linear, llama3, yarn; dynamic
// changes nothing up to the length that the model was trained with. (Peng et al., YaRN, 2023.)
Rotary read_rotary(Config& config, int64_t dim);

// Cosines and sines of the first `positions` positions, float32 [positions, frequencies].
struct RotaryTables {
  Tensor cos, sin;
};
Result<RotaryTables> make_rotary_tables(const Rotary& rotary, int64_t positions);

}  // namespace cameo::huggingface
