// Compiled kernels on disk; modules.h says what is checked. Everything that goes wrong here only costs a compilation.
#pragma once

#include <string>

namespace cameo::cuda::cubin_cache {

// The code kept for the source and architecture; empty when there is none that can be trusted.
std::string read(const std::string& source, int arch);
void write(const std::string& source, int arch, const std::string& image);

}  // namespace cameo::cuda::cubin_cache
