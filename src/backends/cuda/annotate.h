// Ranges for profilers (NVTX) with the names of ONNX nodes.
#pragma once

#include <cstdlib>
#include <string>

#ifndef CAMEO_HIP
#include <nvtx3/nvToolsExt.h>
#endif

#include "ir/graph.h"
#include "ops/op.h"

namespace cameo::cuda {

class Annotation {
 public:
  // Where a tool is attached (Nsight Systems and Compute name themselves in NVTX_INJECTION64_PATH) or CAMEO_NVTX is set; work then
  // goes to the device without CUDA graphs, so that kernels lie in their ranges.
  static bool on() {
    static const bool set = std::getenv("NVTX_INJECTION64_PATH") != nullptr || std::getenv("CAMEO_NVTX") != nullptr;
    return set;
  }
  explicit Annotation(const ir::Node& node) : open_(on()) {
    if (open_) push(name_of(node));
  }
  ~Annotation() {
    if (open_) pop();
  }
  Annotation(const Annotation&) = delete;
  Annotation& operator=(const Annotation&) = delete;

 private:
  // The ONNX nodes that the node stands for.
  static std::string name_of(const ir::Node& node) {
    std::string text;
    for (const std::string& source : node.sources) {
      if (text.size() > 200) break;
      text += (text.empty() ? "" : ", ") + source;
    }
    if (text.empty()) text = node.name;
    return text + " (" + std::string(node.op->name) + ")";
  }
#ifndef CAMEO_HIP
  static void push(const std::string& name) { nvtxRangePushA(name.c_str()); }
  static void pop() { nvtxRangePop(); }
#else
  static void push(const std::string&) {}
  static void pop() {}
#endif

  const bool open_;
};

}  // namespace cameo::cuda
