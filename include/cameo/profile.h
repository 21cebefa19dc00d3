// Ranges of input shapes that a plan is built for.
#pragma once

#include <string>
#include <vector>

#include "cameo/types.h"

namespace cameo {

// The shapes one input may take: extent by extent min <= shape <= max. The plan is tuned for opt.
struct InputRange {
  std::string name;
  Dims min, opt, max;
};

// One set of ranges; inputs that it does not list are free where the model leaves their extents open.
struct Profile {
  std::vector<InputRange> inputs;
};

}  // namespace cameo
