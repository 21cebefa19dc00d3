// Errors and results: every call of Cameo that can fail returns a Result<T>.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "cameo/export.h"

namespace cameo {

// What kind of thing went wrong. The numbers are part of the C ABI and never change.
enum class ErrorCode : int32_t {
  kInvalidArgument = 1,  // the caller used the API or the command line wrongly
  kInvalidModel = 2,     // the model file is damaged or breaks ONNX's rules
  kInvalidPlan = 3,      // the plan file is damaged
  kVersionMismatch = 4,  // the plan was made by another version, or for another machine
  kInvalidInput = 5,     // a tensor given at run time has a wrong type, shape or value
  kIo = 6,               // a file cannot be opened, read or written
  kUnsupported = 7,      // well formed, but Cameo cannot run it
  kOutOfMemory = 8,      // host or device memory, or a limit on it, is exhausted
  kDevice = 9,           // the device or its driver failed
  kCancelled = 10,       // the caller asked to stop
  kInternal = 11,        // a defect in Cameo
};

// "invalid model", "unsupported", …
CAMEO_API std::string_view error_code_name(ErrorCode code);

// An error for a person: what was wrong, where, and what to do.
class Error {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  ErrorCode code() const { return code_; }
  // The whole text; the outermost context comes first, parts are separated by ": ".
  const std::string& message() const { return message_; }

  // Says where the error happened ("model.onnx", "node 'conv1' (Conv)"); each layer adds its own.
  Error&& in(std::string_view where) && {
    message_.insert(0, ": ").insert(0, where);
    return std::move(*this);
  }

 private:
  ErrorCode code_;
  std::string message_;
};

// Either a value or an Error. Result<void> is a success or an Error.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  // Lets a function that returns Result<Base> return a Derived (unique_ptr, shared_ptr).
  template <class U>
  requires(std::is_convertible_v<U&&, T> && !std::is_same_v<std::decay_t<U>, T> && !std::is_same_v<std::decay_t<U>, Error> &&
           !std::is_same_v<std::decay_t<U>, Result>) Result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // The value; only when ok().
  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T&& value() && { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // The error; only when !ok().
  Error& error() & { return *std::get_if<1>(&state_); }
  const Error& error() const& { return *std::get_if<1>(&state_); }
  Error&& error() && { return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace cameo
