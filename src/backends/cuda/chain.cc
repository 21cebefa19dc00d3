#include "backends/cuda/chain.h"

#include <algorithm>

#include "backends/cuda/prelude.h"
#include "backends/cuda/source.h"

namespace cameo::cuda {

Result<std::unique_ptr<Chain>> Chain::make(Device& device, std::span<const ChainLink* const> links) {
  int threads = 0;
  int64_t most = 32;
  size_t most_numbers = 0;
  for (const ChainLink* l : links) {
    if (l->elements == 0 && threads != 0 && threads != l->threads) return nullptr;
    if (l->elements == 0) threads = l->threads;
    most = std::max(most, l->elements);
    most_numbers = std::max(most_numbers, l->numbers.size());
  }
  if (threads == 0) threads = static_cast<int>(std::min<int64_t>((most + 31) / 32 * 32, 512));
  std::string source = std::string(kPrelude) + kReports + k32BitIndices, parameters, calls;
  for (size_t i = 0; i < most_numbers; ++i) source += fmt::format("#define N{0} ((I)p.v[{0}])\n", i);
  for (size_t k = 0; k < links.size(); ++k) {
    const ChainLink& l = *links[k];
    std::string own, names;
    // What one link writes another reads: nothing is constant, nothing restricted.
    for (size_t i = 0; i < l.operands.size(); ++i) {
      own += fmt::format("{}* a{}, ", l.types[i], i);
      names += fmt::format("a{}_{}, ", k, i);
      parameters += fmt::format("{}* a{}_{}, ", l.types[i], k, i);
    }
    parameters += fmt::format("const __grid_constant__ L{0}::P p{0}{1}", k, k + 1 < links.size() ? ", " : "");
    source += fmt::format("namespace L{} {{\nstruct P {{ i64 v[{}]; }};\n", k, std::max<size_t>(l.numbers.size(), 1));
    if (l.reports)
      source +=
          fmt::format("#undef FAULT\n#define FAULT(x) fault(p.v[{}], p.v[{}], (i64)(x))\n", l.numbers.size() - 2, l.numbers.size() - 1);
    source += l.declarations;
    const bool elements = l.elements > 0;
    source += fmt::format("inline void run({}const P& p, const I {}) {{\n{}{}}}\n}}\n", own, elements ? "i" : "block",
                          elements ? "" : "  const int t = threadIdx.x;\n", l.body);
    if (k > 0) calls += "  __syncthreads();\n";
    calls += elements ? fmt::format("  for (I i = threadIdx.x; i < {2}; i += {3}) L{0}::run({1}p{0}, i);\n", k, names, l.elements, threads)
                      : fmt::format("  L{0}::run({1}p{0}, 0);\n", k, names);
  }
  source += fmt::format("extern \"C\" __global__ void __launch_bounds__({}) k({}) {{\n", threads, parameters);
  KernelShape shape;
  shape.block[0] = static_cast<unsigned>(threads);
  shape.dependent = device.dependent_launch();
  if (shape.dependent) source += kDependentStart;
  CAMEO_ASSIGN(cudaKernel_t kernel, device.kernel(source + calls + "}\n", "k"));
  std::unique_ptr<Chain> chain(new Chain(kernel, shape));
  size_t operands = 0;
  for (const ChainLink* l : links) {
    chain->operands_.push_back(l->operands);
    chain->numbers_.push_back(l->numbers);
    if (l->numbers.empty()) chain->numbers_.back().push_back(0);
    operands += l->operands.size();
  }
  chain->addresses_.resize(operands);
  size_t at = 0;
  for (size_t k = 0; k < links.size(); ++k) {
    for (size_t i = 0; i < links[k]->operands.size(); ++i) chain->arguments_.push_back(&chain->addresses_[at++]);
    chain->arguments_.push_back(chain->numbers_[k].data());
  }
  return chain;
}

Status Chain::run(std::span<const Addresses> at, cudaStream_t stream) {
  size_t next = 0;
  for (size_t k = 0; k < operands_.size(); ++k)
    for (const Operand& o : operands_[k]) addresses_[next++] = at[k].of(o);
  return launch(kernel_, shape_, arguments_.data(), stream);
}

}  // namespace cameo::cuda
