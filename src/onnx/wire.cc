#include "onnx/wire.h"

#include <limits>

namespace cameo::onnx {
namespace {

using protozero::pbf_wire_type;

const char* name_of(pbf_wire_type type) {
  switch (type) {
    case pbf_wire_type::varint:
      return "a varint";
    case pbf_wire_type::fixed64:
      return "8 fixed bytes";
    case pbf_wire_type::length_delimited:
      return "a length and bytes";
    case pbf_wire_type::fixed32:
      return "4 fixed bytes";
    default:
      return "an unknown wire type";
  }
}

}  // namespace

template <class Fn>
auto MessageReader::guarded(Fn fn) -> decltype(fn()) {
  if (!source_.ok()) return {};
  try {
    return fn();
  } catch (const protozero::end_of_buffer_exception&) {
    fail("a field goes past the end of its message (the file is truncated or damaged)");
  } catch (const protozero::varint_too_long_exception&) {
    fail("a varint is longer than 10 bytes");
  } catch (const protozero::unknown_pbf_wire_type_exception&) {
    fail("a field has an unknown wire type");
  } catch (const protozero::invalid_tag_exception&) {
    fail("a field has the number 0 or a reserved one");
  } catch (const protozero::exception& e) {
    fail(e.what());
  }
  return {};
}

bool MessageReader::next() {
  at_ = reader_.data().data();
  return guarded([&] { return reader_.next(); });
}

bool MessageReader::expect(pbf_wire_type type) {
  if (!source_.ok()) return false;
  if (reader_.wire_type() == type) return true;
  fail(fmt::format("field {} holds {}, expected {}", field(), name_of(reader_.wire_type()), name_of(type)));
  return false;
}

void MessageReader::skip() {
  guarded([&] {
    reader_.skip();
    return true;
  });
}

uint64_t MessageReader::varint() {
  if (!expect(pbf_wire_type::varint)) return 0;
  return guarded([&] { return reader_.get_uint64(); });
}

int32_t MessageReader::int32() {
  const int64_t value = int64();
  if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) {
    fail(fmt::format("field {} holds {}, which is no 32-bit number", field(), value));
    return 0;
  }
  return static_cast<int32_t>(value);
}

float MessageReader::float32() {
  if (!expect(pbf_wire_type::fixed32)) return 0;
  return guarded([&] { return reader_.get_float(); });
}

double MessageReader::float64() {
  if (!expect(pbf_wire_type::fixed64)) return 0;
  return guarded([&] { return reader_.get_double(); });
}

std::string_view MessageReader::bytes() {
  if (!expect(pbf_wire_type::length_delimited)) return {};
  return guarded([&] {
    const auto view = reader_.get_view();
    return std::string_view(view.data(), view.size());
  });
}

void MessageReader::append(std::vector<int64_t>& values) {
  if (!is_length_delimited()) return values.push_back(int64());
  guarded([&] {
    for (int64_t value : reader_.get_packed_int64()) values.push_back(value);
    return true;
  });
}

void MessageReader::append(std::vector<float>& values) {
  if (!is_length_delimited()) return values.push_back(float32());
  guarded([&] {
    for (float value : reader_.get_packed_float()) values.push_back(value);
    return true;
  });
}

}  // namespace cameo::onnx
