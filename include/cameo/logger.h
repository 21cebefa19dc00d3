// Where Cameo's messages go.
#pragma once

#include <string_view>

#include "cameo/error.h"
#include "cameo/export.h"

namespace cameo {

enum class Severity : int32_t { kError = 0, kWarning = 1, kInfo = 2, kVerbose = 3 };

// Implement it to take messages into a program's own log. log() is called from several threads at once
// and must not throw.
class CAMEO_API Logger {
 public:
  virtual ~Logger() = default;
  virtual void log(Severity severity, std::string_view message) noexcept = 0;
};

// Writes "[cameo] warning: …" lines to stderr; messages less severe than `least` are dropped.
class CAMEO_API StderrLogger final : public Logger {
 public:
  explicit StderrLogger(Severity least = Severity::kWarning) : least_(least) {}
  void log(Severity severity, std::string_view message) noexcept override;

 private:
  Severity least_;
};

// The logger used where none is given: a StderrLogger for warnings and errors.
CAMEO_API Logger& default_logger();

}  // namespace cameo
