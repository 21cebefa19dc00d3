// A graph from whatever a model comes as.
#pragma once

#include <string>

#include "cameo/builder.h"
#include "ir/graph.h"

namespace cameo::builder {

// What a model comes as.
struct ModelSource {
  enum Kind { kOnnx, kFolder, kGguf };
  Kind kind = kOnnx;
  std::string path;  // the file; of kFolder the folder
};

// By what the path is:
//   a folder with config.json and safetensors   the graph is made from them (huggingface/model.h), if the architecture is one of those
//                                               known or there is nothing else
//   a folder without, but with model.onnx       that file
//   a folder with neither, but one *.gguf       that file
//   a file that begins with "GGUF"              a language model of llama.cpp (gguf/model.h)
//   any other file                              ONNX
// Errors: kIo for a folder with none of them.
Result<ModelSource> find_model(const std::string& path);

// The graph of the model that is found. Errors name the file.
Result<ir::Graph> read_graph(const std::string& path, const BuildOptions& options);

}  // namespace cameo::builder
