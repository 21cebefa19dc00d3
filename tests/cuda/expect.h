// Counted checks, for tests of the CUDA backend that are no kernels' tests.
#pragma once

#include <cstdio>
#include <string>

namespace cameo::test {

inline int checks = 0, failures = 0;
inline void expect(bool good, const std::string& what) {
  ++checks;
  if (good) return;
  ++failures;
  std::printf("FAIL %s\n", what.c_str());
}

// The exit code of a program of checks.
inline int finish(const std::string& what) {
  std::printf("%s: %d checks, %d failed\n", what.c_str(), checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}

}  // namespace cameo::test
