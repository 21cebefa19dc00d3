// Versions of Cameo and of its plan files.
#pragma once

#include <cstdint>

#include "cameo/export.h"

#define CAMEO_VERSION_MAJOR 0
#define CAMEO_VERSION_MINOR 1
#define CAMEO_VERSION_PATCH 0
#define CAMEO_VERSION "0.1.0"

namespace cameo {

// The version of the library that runs, as "major.minor.patch".
CAMEO_API const char* version();

// The plan format that this library reads and writes (src/plan/FORMAT.md).
inline constexpr uint32_t kPlanFormatVersion = 2;

}  // namespace cameo
