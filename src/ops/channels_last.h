// Tensors whose channels are the last axis (N, spatial…, C) in place of the second (N, C, spatial…).
#pragma once

#include <algorithm>

#include "ir/dim.h"

namespace cameo::ops {

// Extents [N, spatial…, C] as [N, C, spatial…]; of rank 2 or more.
template <class S>
S channels_first(S extents) {
  std::rotate(extents.begin() + 1, extents.end() - 1, extents.end());
  return extents;
}
// Extents [N, C, spatial…] as [N, spatial…, C]; of rank 2 or more.
template <class S>
S channels_last(S extents) {
  std::rotate(extents.begin() + 1, extents.begin() + 2, extents.end());
  return extents;
}

}  // namespace cameo::ops
