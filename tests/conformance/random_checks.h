// Cases whose outputs are drawn at random: which bits come out is the implementation's affair, so the official
// outputs only give type and shape, and the values are checked for what the operator promises.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "case.h"

namespace cameo::conformance {

// Loads the model anew and runs it on the case's inputs.
using Runner = std::function<Result<std::vector<ops::RtValue>>()>;

// Empty when all is well, else what is wrong.
using RandomCheck = std::string (*)(const Case& c, const Runner& run);

// The check of the case of that name; null when its outputs are not random.
RandomCheck random_check(std::string_view name);

}  // namespace cameo::conformance
