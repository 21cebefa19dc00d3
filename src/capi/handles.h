// What the handles of the C interface stand for.
#pragma once

#include "cameo/cameo.h"
#include "cameo/engine.h"
#include "cameo/logger.h"

struct cameo_plan {
  cameo::Plan plan;
};

namespace cameo::capi {

// Where messages go: the caller's function, or, where that is null, the default logger.
class FunctionLogger final : public Logger {
 public:
  FunctionLogger(cameo_log_function function, void* user) : function_(function), user_(user) {}
  void log(Severity severity, std::string_view message) noexcept override {
    function_(static_cast<int32_t>(severity), std::string(message).c_str(), user_);
  }
  Logger& used() { return function_ ? static_cast<Logger&>(*this) : default_logger(); }

 private:
  cameo_log_function function_;
  void* user_;
};

}  // namespace cameo::capi
