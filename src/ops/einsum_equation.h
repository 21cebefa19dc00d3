// The equation of an Einsum, parsed: each operand's and the output's axes as labels.
#pragma once

#include <string>
#include <vector>

#include "ops/op.h"

namespace cameo::ops {

// Labels 0 to 51 are the letters, A to Z before a to z; from kEllipsis on they are the axes of the ellipsis, the first
// being that of the longest ellipsis' first axis.
struct EinsumEquation {
  static constexpr int kEllipsis = 52;
  std::vector<std::vector<int>> inputs;
  std::vector<int> output;
  int num_labels = kEllipsis;
};

// `ranks` are those of the operands. Errors name the term at fault.
Result<EinsumEquation> parse_einsum(const std::string& equation, const std::vector<size_t>& ranks);

}  // namespace cameo::ops
