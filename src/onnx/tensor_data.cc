#include "onnx/tensor_data.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <type_traits>

#include <protozero/varint.hpp>

#include "onnx/text.h"
#include "onnx/wire.h"

namespace cameo::onnx {
namespace {

static_assert(std::endian::native == std::endian::little, "ONNX stores little-endian elements, which are used as they lie");

constexpr int64_t kMaxElements = int64_t{1} << 62;
// A sparse tensor of few bytes may stand for a large dense one.
constexpr int64_t kMaxDenseElements = int64_t{1} << 31;

// Extents and number of elements. The product without the zero extents is bounded too, so that strides do not overflow.
Result<int64_t> check_dims(std::span<const int64_t> dims, int64_t limit) {
  int64_t product = 1;
  bool zero = false;
  for (int64_t d : dims) {
    if (d < 0) return error(ErrorCode::kInvalidModel, "shape {} has the negative extent {}", Dims(dims).to_string(), d);
    if (d == 0)
      zero = true;
    else if (__builtin_mul_overflow(product, d, &product) || product > limit)
      return error(ErrorCode::kInvalidModel, "shape {} has too many elements (the limit is {})", Dims(dims).to_string(), limit);
  }
  return zero ? int64_t{0} : product;
}

size_t alignment_of(DType type) {
  if (type == DType::kComplex64) return 4;
  if (type == DType::kComplex128) return 8;
  return dtype_size(type);
}

// Bytes that `count` elements take in a file; count is at most 2^62.
size_t packed_bytes(DType type, int64_t count) {
  const int bits = dtype_bits(type);
  const auto n = static_cast<size_t>(count);
  return bits < 8 ? n / (8 / bits) + (n % (8 / bits) != 0) : n * (bits / 8);
}

// Elements of 4 or 2 bits, the first in the low bits of the first byte, into a byte each.
void unpack(DType type, const uint8_t* from, int64_t count, uint8_t* to) {
  const int bits = dtype_bits(type), per_byte = 8 / bits;
  const auto mask = static_cast<uint8_t>((1 << bits) - 1), sign = static_cast<uint8_t>(1 << (bits - 1));
  const bool is_signed = type == DType::kInt4 || type == DType::kInt2;
  for (int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<uint8_t>((from[i / per_byte] >> (i % per_byte * bits)) & mask);
    to[i] = is_signed ? static_cast<uint8_t>((value ^ sign) - sign) : value;
  }
}

// Elements from bytes laid out as raw_data. `owner` may be null: then they are copied.
Result<Tensor> from_bytes(DType type, const Dims& dims, int64_t count, std::string_view bytes, const std::shared_ptr<const void>& owner) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  const bool is_bool = type == DType::kBool;
  // A bool must hold 0 or 1; anything else stands for true.
  const bool as_it_lies = dtype_bits(type) >= 8 && (!is_bool || std::all_of(data, data + count, [](uint8_t b) { return b <= 1; }));
  if (as_it_lies && owner && reinterpret_cast<uintptr_t>(data) % alignment_of(type) == 0)
    return Tensor::shared(type, dims, const_cast<uint8_t*>(data), owner);
  CAMEO_ASSIGN(Tensor tensor, Tensor::allocate(type, dims));
  if (count == 0) return tensor;
  auto* to = static_cast<uint8_t*>(tensor.raw());
  if (dtype_bits(type) < 8)
    unpack(type, data, count, to);
  else if (is_bool)
    std::transform(data, data + count, to, [](uint8_t b) { return b != 0; });
  else
    std::memcpy(to, data, bytes.size());
  return tensor;
}

// The typed fields of TensorProto, by number.
enum Field : uint32_t { kFloatData = 4, kInt32Data = 5, kStringData = 6, kInt64Data = 7, kDoubleData = 10, kUint64Data = 11 };

const char* field_name(uint32_t field) {
  switch (field) {
    case kFloatData:
      return "float_data";
    case kInt32Data:
      return "int32_data";
    case kStringData:
      return "string_data";
    case kInt64Data:
      return "int64_data";
    case kDoubleData:
      return "double_data";
    default:
      return "uint64_data";
  }
}

Field field_for(DType type) {
  switch (type) {
    case DType::kFloat32:
    case DType::kComplex64:
      return kFloatData;
    case DType::kFloat64:
    case DType::kComplex128:
      return kDoubleData;
    case DType::kInt64:
      return kInt64Data;
    case DType::kUint32:
    case DType::kUint64:
      return kUint64Data;
    case DType::kString:
      return kStringData;
    default:
      return kInt32Data;
  }
}

// The runs of a typed field in the tensor's message: packed bytes, or a single number each. The bytes of an
// unpacked number are those of a packed run of one.
struct TypedField {
  std::vector<std::string_view> runs;
  int64_t count = 0;         // numbers, or strings
  uint32_t other_field = 0;  // another typed field that is filled
};

int64_t count_numbers(uint32_t field, std::string_view run, MessageReader& reader) {
  const size_t width = field == kFloatData ? 4 : field == kDoubleData ? 8 : 0;
  if (width == 0) return std::count_if(run.begin(), run.end(), [](char c) { return (c & 0x80) == 0; });
  if (run.size() % width != 0) reader.fail(fmt::format("{} holds {} bytes, not a multiple of {}", field_name(field), run.size(), width));
  return static_cast<int64_t>(run.size() / width);
}

Result<TypedField> read_typed_field(std::string_view message, Field wanted) {
  TypedField result;
  WireSource source{message};
  MessageReader reader(source, message);
  while (reader.next()) {
    const uint32_t field = reader.field();
    if (field != kFloatData && field != kInt32Data && field != kStringData && field != kInt64Data && field != kDoubleData &&
        field != kUint64Data) {
      reader.skip();
      continue;
    }
    std::string_view run;
    if (field == kStringData || reader.is_length_delimited()) {
      run = reader.bytes();
    } else {
      const char* start = reader.payload();
      if (field == kFloatData)
        reader.float32(), run = {start, 4};
      else if (field == kDoubleData)
        reader.float64(), run = {start, 8};
      else {
        reader.varint();
        size_t length = 1;
        while (source.ok() && (start[length - 1] & 0x80)) ++length;
        run = {start, length};
      }
    }
    if (!source.ok()) break;
    const int64_t count = field == kStringData ? 1 : count_numbers(field, run, reader);
    if (field == wanted)
      result.runs.push_back(run), result.count += count;
    else if (count > 0)
      result.other_field = field;
  }
  if (!source.ok()) return std::move(*source.failure);
  return result;
}

// Calls fn(number, index) for every varint.
template <class Fn>
Status for_each_varint(const TypedField& field, Fn fn) {
  int64_t index = 0;
  for (std::string_view run : field.runs) {
    const char* at = run.data();
    const char* const end = at + run.size();
    while (at != end) {
      uint64_t value;
      try {
        value = protozero::decode_varint(&at, end);
      } catch (const protozero::exception&) {
        return error(ErrorCode::kInvalidModel, "number {} of its data is damaged", index);
      }
      CAMEO_TRY(fn(value, index));
      ++index;
    }
  }
  return {};
}

template <class T>
Status fill_integers(const TypedField& field, T* to, int64_t low, int64_t high, DType type) {
  return for_each_varint(field, [&](uint64_t number, int64_t index) -> Status {
    const auto value = static_cast<int64_t>(number);
    if (value < low || value > high)
      return error(ErrorCode::kInvalidModel, "element {} is {}, outside of {} to {} for {}", index, value, low, high, dtype_name(type));
    to[index] = static_cast<T>(value);
    return {};
  });
}

Status fill(const TypedField& field, DType type, int64_t count, Tensor& tensor) {
  switch (type) {
    case DType::kString:
      for (size_t i = 0; i < field.runs.size(); ++i) tensor.data<std::string>()[i] = field.runs[i];
      return {};
    case DType::kFloat32:
    case DType::kComplex64:
    case DType::kFloat64:
    case DType::kComplex128: {
      auto* to = static_cast<char*>(tensor.raw());
      for (std::string_view run : field.runs) to = std::copy(run.begin(), run.end(), to);
      return {};
    }
    case DType::kInt64:
    case DType::kUint64:
      return for_each_varint(field, [&](uint64_t number, int64_t index) -> Status {
        tensor.data<uint64_t>()[index] = number;
        return {};
      });
    case DType::kUint32:
      return fill_integers(field, tensor.data<uint32_t>(), 0, std::numeric_limits<uint32_t>::max(), type);
    case DType::kInt32:
      return fill_integers(field, tensor.data<int32_t>(), std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max(), type);
    case DType::kInt16:
      return fill_integers(field, tensor.data<int16_t>(), -32768, 32767, type);
    case DType::kUint16:
      return fill_integers(field, tensor.data<uint16_t>(), 0, 65535, type);
    // The bits as an unsigned number; some writers extend the sign.
    case DType::kFloat16:
    case DType::kBfloat16:
      return fill_integers(field, tensor.data<uint16_t>(), -32768, 65535, type);
    case DType::kInt8:
      return fill_integers(field, tensor.data<int8_t>(), -128, 127, type);
    case DType::kUint8:
      return fill_integers(field, tensor.data<uint8_t>(), 0, 255, type);
    case DType::kBool:
      return for_each_varint(field, [&](uint64_t number, int64_t index) -> Status {
        tensor.data<uint8_t>()[index] = number != 0;
        return {};
      });
    default:
      break;
  }
  if (dtype_bits(type) == 8) return fill_integers(field, tensor.data<uint8_t>(), -128, 255, type);  // 8-bit floats
  std::vector<uint8_t> packed(static_cast<size_t>(field.count));
  CAMEO_TRY(fill_integers(field, packed.data(), -128, 255, type));
  unpack(type, packed.data(), count, tensor.data<uint8_t>());
  return {};
}

Result<Tensor> from_typed_field(const TensorProto& proto, DType type, const Dims& dims, int64_t count) {
  const Field wanted = field_for(type);
  CAMEO_ASSIGN(const TypedField field, read_typed_field(proto.message, wanted));
  if (field.other_field != 0)
    return error(ErrorCode::kInvalidModel, "a {} tensor keeps its data in {}, but {} is filled", dtype_name(type), field_name(wanted),
                 field_name(field.other_field));
  const bool is_complex = type == DType::kComplex64 || type == DType::kComplex128;
  const bool is_packed = dtype_bits(type) > 0 && dtype_bits(type) < 8;
  const int64_t expected = is_complex ? count * 2 : is_packed ? static_cast<int64_t>(packed_bytes(type, count)) : count;
  if (field.count != expected)
    return error(ErrorCode::kInvalidModel, "{} of shape {} needs {} numbers in {}, but there are {}", dtype_name(type), dims.to_string(),
                 expected, field_name(wanted), field.count);
  CAMEO_ASSIGN(Tensor tensor, Tensor::allocate(type, dims));
  CAMEO_TRY(fill(field, type, count, tensor));
  return tensor;
}

Result<uint64_t> parse_size(const StringPair& entry) {
  uint64_t value = 0;
  const char* const end = entry.value.data() + entry.value.size();
  const auto [at, code] = std::from_chars(entry.value.data(), end, value);
  if (code != std::errc() || at != end)
    return error(ErrorCode::kInvalidModel, "external data {} is '{}', not a number from 0 to 2^64-1", entry.key, entry.value.substr(0, 40));
  return value;
}

Result<Tensor> from_external(const TensorProto& proto, DType type, const Dims& dims, int64_t count, const TensorContext& context) {
  if (type == DType::kString) return error(ErrorCode::kInvalidModel, "strings cannot be external data");
  if (proto.has_raw_data) return error(ErrorCode::kInvalidModel, "it has both raw_data and external data");
  if (context.external == nullptr) return error(ErrorCode::kInvalidModel, "external data is not possible here");
  std::optional<std::string_view> location;
  std::optional<uint64_t> offset, length;
  for (const StringPair& entry : proto.external_data) {
    const bool again = (entry.key == "location" && location) || (entry.key == "offset" && offset) || (entry.key == "length" && length);
    if (again) return error(ErrorCode::kInvalidModel, "external data names its {} twice", entry.key);
    if (entry.key == "location") {
      location = entry.value;
    } else if (entry.key == "offset") {
      CAMEO_ASSIGN(offset, parse_size(entry));
    } else if (entry.key == "length") {
      CAMEO_ASSIGN(length, parse_size(entry));
    }
  }
  if (!location) return error(ErrorCode::kInvalidModel, "external data without a location");
  const size_t needed = packed_bytes(type, count);
  if (length && *length != needed)
    return error(ErrorCode::kInvalidModel, "{} of shape {} takes {} bytes, but the length of its external data is {}", dtype_name(type),
                 dims.to_string(), needed, *length);
  auto file = context.external->open(*location);
  if (!file.ok()) {
    if (context.missing == nullptr || file.error().code() != ErrorCode::kIo) return std::move(file).error();
    *context.missing = true;
    return Tensor::allocate(type, dims);
  }
  const uint64_t size = file->bytes.size(), start = offset.value_or(0);
  if (needed > size || start > size - needed)
    return error(ErrorCode::kInvalidModel, "needs {} bytes at offset {} of {}, which has {} bytes", needed, start, quoted(*location), size);
  const std::string_view bytes(reinterpret_cast<const char*>(file->bytes.data()) + start, needed);
  return from_bytes(type, dims, count, bytes, file->owner);
}

Result<Tensor> convert(const TensorProto& proto, const TensorContext& context) {
  if (!is_valid_dtype(proto.data_type))
    return error(proto.data_type == 27 || proto.data_type == 28 ? ErrorCode::kUnsupported : ErrorCode::kInvalidModel,
                 "element type {} is not one of ONNX's types 1 to {}", proto.data_type, kNumDTypes - 1);
  const auto type = static_cast<DType>(proto.data_type);
  if (proto.has_segment) return error(ErrorCode::kUnsupported, "it is stored in segments");
  CAMEO_ASSIGN(const int64_t count, check_dims(proto.dims, kMaxElements / 16));
  const Dims dims(proto.dims);
  if (proto.external) return from_external(proto, type, dims, count, context);
  if (!proto.has_raw_data) return from_typed_field(proto, type, dims, count);
  if (type == DType::kString) return error(ErrorCode::kInvalidModel, "strings must be in string_data, not in raw_data");
  CAMEO_ASSIGN(const TypedField field, read_typed_field(proto.message, field_for(type)));
  if (field.count > 0 || field.other_field != 0)
    return error(ErrorCode::kInvalidModel, "it has both raw_data and {}",
                 field_name(field.count > 0 ? field_for(type) : field.other_field));
  if (const size_t needed = packed_bytes(type, count); proto.raw_data.size() != needed)
    return error(ErrorCode::kInvalidModel, "{} of shape {} takes {} bytes, but its raw_data has {}", dtype_name(type), dims.to_string(),
                 needed, proto.raw_data.size());
  return from_bytes(type, dims, count, proto.raw_data, context.owner);
}

Result<Tensor> densify(const SparseTensorProto& proto, const TensorContext& context) {
  CAMEO_ASSIGN(const int64_t count, check_dims(proto.dims, kMaxDenseElements));
  CAMEO_ASSIGN(const Tensor values, to_tensor(proto.values, context));
  CAMEO_ASSIGN(const Tensor indices, to_tensor(proto.indices, context));
  const Dims dims(proto.dims);
  const int64_t nnz = values.num_elements(), rank = static_cast<int64_t>(dims.rank());
  if (values.rank() != 1)
    return error(ErrorCode::kInvalidModel, "its values have shape {}, expected one dimension", values.dims().to_string());
  const bool linear = indices.rank() == 1;
  if (indices.dtype() != DType::kInt64 || indices.rank() < 1 || indices.rank() > 2 || indices.dim(0) != nnz ||
      (!linear && indices.dim(1) != rank))
    return error(ErrorCode::kInvalidModel, "its indices are {} of shape {}, expected int64 of shape {} or {}x{}",
                 dtype_name(indices.dtype()), indices.dims().to_string(), nnz, nnz, rank);
  CAMEO_ASSIGN(Tensor dense, Tensor::allocate(values.dtype(), dims));
  const size_t size = dtype_size(values.dtype());
  int64_t previous = -1;
  for (int64_t i = 0; i < nnz; ++i) {
    int64_t at = 0;
    if (linear) {
      at = indices.data<int64_t>()[i];
      if (at < 0 || at >= count) return error(ErrorCode::kInvalidModel, "index {} is {}, outside of 0 to {}", i, at, count - 1);
    } else {
      for (int64_t axis = 0; axis < rank; ++axis) {
        const int64_t index = indices.data<int64_t>()[i * rank + axis];
        if (index < 0 || index >= dims[static_cast<size_t>(axis)])
          return error(ErrorCode::kInvalidModel, "index {} is {} on axis {}, outside of 0 to {}", i, index, axis,
                       dims[static_cast<size_t>(axis)] - 1);
        at = at * dims[static_cast<size_t>(axis)] + index;
      }
    }
    if (at <= previous) return error(ErrorCode::kInvalidModel, "its indices are not in ascending order at {}", i);
    previous = at;
    if (values.dtype() == DType::kString)
      dense.data<std::string>()[at] = values.data<std::string>()[i];
    else
      std::memcpy(static_cast<char*>(dense.raw()) + static_cast<size_t>(at) * size,
                  static_cast<char*>(values.raw()) + static_cast<size_t>(i) * size, size);
  }
  return dense;
}

}  // namespace

Result<Tensor> to_tensor(const TensorProto& proto, const TensorContext& context) {
  auto tensor = convert(proto, context);
  if (!tensor.ok()) return std::move(tensor).error().in(fmt::format("tensor {}", quoted(proto.name)));
  return tensor;
}

Result<Tensor> to_tensor(const SparseTensorProto& proto, const TensorContext& context) {
  auto tensor = densify(proto, context);
  if (!tensor.ok()) return std::move(tensor).error().in(fmt::format("sparse tensor {}", quoted(proto.values.name)));
  return tensor;
}

}  // namespace cameo::onnx
