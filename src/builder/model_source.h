// A graph from whatever a model comes as.
#pragma once

#include <string>

#include "cameo/builder.h"
#include "ir/graph.h"

namespace cameo::builder {

// By what the path is:
//   a folder with config.json and safetensors   the graph is made from them (huggingface/model.h)
//   a folder without, but with model.onnx       that file
//   a file that begins with "GGUF"              a language model of llama.cpp (gguf/model.h)
//   any other file                              ONNX
// Errors name the file.
Result<ir::Graph> read_graph(const std::string& path, const BuildOptions& options);

}  // namespace cameo::builder
