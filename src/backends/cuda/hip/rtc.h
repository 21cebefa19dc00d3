// Generated kernels for AMD's GPUs.
#pragma once

#include <string>

#include "base/error.h"

namespace cameo::cuda::hip {

// Machine code of a generated kernel's source for an architecture such as "gfx90a". hipRTC is loaded when it is first needed; no
// GPU is. Errors: kUnsupported without libamdhip64.
Result<std::string> compile(const std::string& source, const std::string& architecture);

}  // namespace cameo::cuda::hip
