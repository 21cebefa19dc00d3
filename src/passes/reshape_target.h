// Writes a shape as the constant argument of a Reshape.
#pragma once

#include <optional>
#include <vector>

#include "ir/dim.h"

namespace cameo::passes {

// The entries (numbers, 0 for an extent copied from the same place, at most one -1) with which Reshape makes `to` of `from`,
// whatever values the symbols take, zero included. Nothing when there are none. `from` is null when its rank is not known.
std::optional<std::vector<int64_t>> reshape_target(const ir::Shape* from, const ir::Shape& to);

}  // namespace cameo::passes
