// A program of checks that is skipped where there is no GPU.
#pragma once

#include <functional>

#include "base/error.h"
#include "expect.h"
#include "runtime/backend.h"

namespace cameo::test {

inline std::string message(const Status& status) { return status.ok() ? "no error" : status.error().message(); }

// The exit code.
inline int on_device(const char* what, const std::function<Status()>& run) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what was done stays readable where time runs out
  auto backend = runtime::find_backend("cuda");
  const auto device = backend.ok() ? (*backend)->device() : Result<std::string>(backend.error());
  if (!device.ok()) {
    std::printf("SKIPPED: %s\n", device.error().message().c_str());
    return 0;
  }
  const Status status = run();
  expect(status.ok(), message(status));
  return finish(*device + ": " + what);
}

}  // namespace cameo::test
