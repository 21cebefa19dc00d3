// Language models of llama.cpp: a Llama-like model in a GGUF file.
#pragma once

#include <string>

#include "gguf/file.h"
#include "ir/graph.h"

namespace cameo::gguf {

// Whether the file begins like one.
bool is_gguf_file(const std::string& path);
// The one file of the folder whose name ends in .gguf; empty where there are none or several.
std::string only_file(const std::string& folder);

// The graph that huggingface/llama.cc makes. Matrices of few bits stay as they are, in ai.cameo.QuantizedWeightMatMul; embeddings stay
// codes, or become float16. Errors: kIo, kInvalidModel, kUnsupported (an architecture that is not known, with those that are).
// With `hidden_states` the graph gives last_hidden_state for input_ids and attention_mask, as an encoder does.
Result<ir::Graph> read_model(const std::string& path, bool hidden_states = false);
Result<ir::Graph> build_graph(const File& file, const std::string& path, bool hidden_states = false);

}  // namespace cameo::gguf
