// A graph from a folder as models are published: config.json and *.safetensors.
#pragma once

#include <string>

#include "huggingface/config.h"
#include "huggingface/weights.h"
#include "ir/graph.h"

namespace cameo::huggingface {

// Whether the folder has config.json and weights in safetensors.
bool is_model_folder(const std::string& folder);
// Whether its config.json names an architecture that is known.
bool is_known_folder(const std::string& folder);

// The graph of the model, float32; architectures.h says what its inputs and outputs are. Errors: kIo, kInvalidModel, kUnsupported
// (an architecture that is not known: the message lists those that are). With `hidden_states` a causal language model gives
// last_hidden_state for input_ids and attention_mask, as an encoder does.
Result<ir::Graph> read_folder(const std::string& folder, bool hidden_states = false);

// The same from a configuration and weights.
Result<ir::Graph> build_graph(Config config, Weights& weights, bool hidden_states = false);

}  // namespace cameo::huggingface
