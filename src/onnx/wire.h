// Reads protocol-buffer messages field by field, noting where in the file it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <protozero/pbf_reader.hpp>

#include "base/error.h"

namespace cameo::onnx {

// The bytes being parsed, and the first error found in them.
struct WireSource {
  std::string_view bytes;
  std::optional<Error> failure = {};
  std::vector<const char*> path = {};  // field names from the top message to the one being read

  bool ok() const { return !failure.has_value(); }
  // Keeps the first error: "at byte 12, in graph.node: …".
  void fail(const char* at, std::string_view message, ErrorCode code = ErrorCode::kInvalidModel) {
    if (failure) return;
    std::string where;
    for (const char* part : path) where.append(where.empty() ? ", in " : ".").append(part);
    failure = error(code, "at byte {}{}: {}", at - bytes.data(), where, message);
  }
};

// One message. A getter that meets a wrong wire type or the end of the bytes makes the source fail, returns an
// empty value, and next() is false from then on, so loops over fields need no checks of their own.
class MessageReader {
 public:
  MessageReader(WireSource& source, std::string_view message)
      : source_(source), reader_(message.data(), message.size()), at_(message.data()) {}

  // Goes to the next field; false at the end and after an error.
  bool next();
  uint32_t field() const { return reader_.tag(); }
  bool is_length_delimited() const { return reader_.wire_type() == protozero::pbf_wire_type::length_delimited; }
  // Where the field's value starts; only before it is read.
  const char* payload() const { return reader_.data().data(); }

  void skip();
  uint64_t varint();
  int64_t int64() { return static_cast<int64_t>(varint()); }
  // Protocol buffers cut an int32 to its low bits; a value out of range is an error here.
  int32_t int32();
  float float32();
  double float64();
  std::string_view bytes();
  // Adds the value of a repeated number field, packed or not.
  void append(std::vector<int64_t>& values);
  void append(std::vector<float>& values);

  void fail(std::string_view message, ErrorCode code = ErrorCode::kInvalidModel) { source_.fail(at_, message, code); }

 private:
  bool expect(protozero::pbf_wire_type type);
  template <class Fn>
  auto guarded(Fn fn) -> decltype(fn());

  WireSource& source_;
  protozero::pbf_reader reader_;
  const char* at_;  // where the current field starts
};

}  // namespace cameo::onnx
