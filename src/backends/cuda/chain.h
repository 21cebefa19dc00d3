// Generated kernels of a few elements each, one after another, as one kernel: a block, with barriers between them.
#pragma once

#include "backends/cuda/step.h"

namespace cameo::cuda {

// What a block can do of a generated kernel.
struct ChainLink {
  int64_t elements = 0;  // a thread for each; 0: `threads` threads together
  int threads = 0;
  std::string declarations, body;
  std::vector<std::string> types;  // of the operands' elements
  std::vector<Operand> operands;
  std::vector<int64_t> numbers;
  bool reports = false;  // indices out of range, by the last two numbers
};

// That of an operation, if a block can do it. It lives as long as the operation does.
const ChainLink* chain_link(const Operation& operation);

class Chain {
 public:
  // Null if these cannot be one kernel.
  static Result<std::unique_ptr<Chain>> make(Device& device, std::span<const ChainLink* const> links);
  // at[i]: where the operands of link i are.
  Status run(std::span<const Addresses> at, cudaStream_t stream);

 private:
  Chain(cudaKernel_t kernel, KernelShape shape) : kernel_(kernel), shape_(shape) {}
  const cudaKernel_t kernel_;
  const KernelShape shape_;
  std::vector<std::vector<Operand>> operands_;
  std::vector<std::vector<int64_t>> numbers_;
  std::vector<void*> addresses_, arguments_;
};

}  // namespace cameo::cuda
