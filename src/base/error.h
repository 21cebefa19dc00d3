// Shorthands for code that makes errors and passes them on.
#pragma once

#include <fmt/core.h>

#include "cameo/error.h"

namespace cameo {

// error(ErrorCode::kInvalidModel, "tensor '{}' has rank {}", name, rank)
template <class... Args>
Error error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Error(code, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace cameo

#define CAMEO_CONCAT_INNER(a, b) a##b
#define CAMEO_CONCAT(a, b) CAMEO_CONCAT_INNER(a, b)

// CAMEO_TRY(expression): returns the error if the expression's Result holds one; the value is dropped.
#define CAMEO_TRY(expression)                                                      \
  do {                                                                             \
    if (auto cameo_try_result = (expression); !cameo_try_result.ok()) [[unlikely]] \
      return std::move(cameo_try_result).error();                                  \
  } while (false)

// CAMEO_ASSIGN(auto x, expression): x is the value, or the error is returned.
#define CAMEO_ASSIGN(declaration, expression) CAMEO_ASSIGN_INNER(CAMEO_CONCAT(cameo_assign_, __LINE__), declaration, expression)
#define CAMEO_ASSIGN_INNER(result, declaration, expression) \
  auto result = (expression);                               \
  if (!result.ok()) [[unlikely]]                            \
    return std::move(result).error();                       \
  declaration = std::move(result).value()
