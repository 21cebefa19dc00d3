// The .npy format of NumPy (numpy.lib.format): a header that is a Python dict, then the elements.
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "cli/cli.h"
#include "ops/dispatch.h"

namespace cameo::cli {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

struct NpyHeader {
  std::string descr;
  bool fortran_order = false;
  Dims shape;
};

// The text after 'key': up to the next comma outside of parentheses, or the closing brace.
Result<std::string> field(const std::string& dict, const std::string& key) {
  const size_t at = dict.find("'" + key + "'");
  const size_t colon = at == std::string::npos ? at : dict.find(':', at);
  if (colon == std::string::npos) return error(ErrorCode::kInvalidInput, "the .npy header has no '{}'", key);
  int depth = 0;
  size_t end = colon + 1;
  for (; end < dict.size(); ++end) {
    if (dict[end] == '(') ++depth;
    if (dict[end] == ')') --depth;
    if (depth == 0 && (dict[end] == ',' || dict[end] == '}')) break;
  }
  std::string text = dict.substr(colon + 1, end - colon - 1);
  text.erase(0, text.find_first_not_of(' '));
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

Result<NpyHeader> parse_header(const std::string& dict) {
  NpyHeader header;
  CAMEO_ASSIGN(const std::string descr, field(dict, "descr"));
  if (descr.size() < 2 || descr.front() != '\'')
    return error(ErrorCode::kInvalidInput, "the .npy file holds records ({}), not plain numbers", descr);
  header.descr = descr.substr(1, descr.size() - 2);
  CAMEO_ASSIGN(const std::string order, field(dict, "fortran_order"));
  header.fortran_order = order == "True";
  CAMEO_ASSIGN(const std::string shape, field(dict, "shape"));
  std::string number;
  for (char c : shape) {
    if (c >= '0' && c <= '9')
      number += c;
    else if (!number.empty()) {
      if (number.size() > 18) return error(ErrorCode::kInvalidInput, "the .npy header has the shape {}", shape);
      header.shape.push_back(std::stoll(number));
      number.clear();
    }
  }
  return header;
}

struct TypeCode {
  const char* code;
  DType dtype;
};
constexpr TypeCode kTypes[] = {
    {"f4", DType::kFloat32},
    {"f8", DType::kFloat64},
    {"f2", DType::kFloat16},
    {"i8", DType::kInt64},
    {"i4", DType::kInt32},
    {"i2", DType::kInt16},
    {"i1", DType::kInt8},
    {"u8", DType::kUint64},
    {"u4", DType::kUint32},
    {"u2", DType::kUint16},
    {"u1", DType::kUint8},
    {"b1", DType::kBool},
    {"c8", DType::kComplex64},
    {"c16", DType::kComplex128},
    // NumPy has no bfloat16; the package ml_dtypes writes it as two opaque bytes.
    {"V2", DType::kBfloat16},
};

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80)
    out += static_cast<char>(c);
  else if (c < 0x800)
    (out += static_cast<char>(0xc0 | c >> 6)) += static_cast<char>(0x80 | (c & 0x3f));
  else if (c < 0x10000)
    ((out += static_cast<char>(0xe0 | c >> 12)) += static_cast<char>(0x80 | (c >> 6 & 0x3f))) += static_cast<char>(0x80 | (c & 0x3f));
  else
    (((out += static_cast<char>(0xf0 | c >> 18)) += static_cast<char>(0x80 | (c >> 12 & 0x3f))) +=
     static_cast<char>(0x80 | (c >> 6 & 0x3f))) += static_cast<char>(0x80 | (c & 0x3f));
}

std::u32string from_utf8(const std::string& s) {
  std::u32string out;
  for (size_t i = 0; i < s.size();) {
    const auto lead = static_cast<unsigned char>(s[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t c = length == 1 ? lead : lead & (0xff >> (length + 1));
    for (size_t k = 1; k < length && i + k < s.size(); ++k) c = c << 6 | (static_cast<unsigned char>(s[i + k]) & 0x3f);
    out += static_cast<char32_t>(c);
    i += length;
  }
  return out;
}

// Fixed-size strings: 'U' has UTF-32 characters, 'S' bytes; both are padded with zeros.
Result<Tensor> read_strings(const NpyHeader& header, std::span<const std::byte> data) {
  const bool wide = header.descr[1] == 'U';
  const size_t length = std::strtoul(header.descr.c_str() + 2, nullptr, 10), size = length * (wide ? 4 : 1);
  CAMEO_ASSIGN(const int64_t count, header.shape.checked_num_elements());
  if (length > 1 << 20 || (size > 0 && data.size() / size < static_cast<size_t>(count)))
    return error(ErrorCode::kInvalidInput, "the .npy file is cut off: {} bytes of strings", data.size());
  CAMEO_ASSIGN(Tensor tensor, Tensor::allocate(DType::kString, header.shape));
  for (int64_t i = 0; i < count; ++i) {
    std::string& s = tensor.data<std::string>()[i];
    for (size_t k = 0; k < length; ++k) {
      const std::byte* at = data.data() + static_cast<size_t>(i) * size + k * (wide ? 4 : 1);
      uint32_t c = static_cast<unsigned char>(*at);
      if (wide) std::memcpy(&c, at, 4);
      if (c == 0) break;
      if (wide)
        append_utf8(s, std::min<uint32_t>(c, 0x10ffff));
      else
        s += static_cast<char>(c);
    }
  }
  return tensor;
}

void reverse_bytes(Tensor& t) {
  const bool complex = t.dtype() == DType::kComplex64 || t.dtype() == DType::kComplex128;
  const size_t size = dtype_size(t.dtype()) / (complex ? 2 : 1);
  auto* data = t.data<std::byte>();
  for (size_t i = 0; i < t.num_bytes(); i += size) std::reverse(data + i, data + i + size);
}

Result<Tensor> to_row_major(const Tensor& from) {
  CAMEO_ASSIGN(Tensor to, Tensor::allocate(from.dtype(), from.dims()));
  const size_t size = dtype_size(from.dtype());
  Dims index(from.rank(), 0);
  for (int64_t i = 0; i < from.num_elements(); ++i) {
    int64_t offset = 0;
    for (size_t a = from.rank(); a-- > 0;) offset = offset * from.dim(a) + index[a];
    std::memcpy(to.data<std::byte>() + static_cast<size_t>(i) * size, from.data<std::byte>() + static_cast<size_t>(offset) * size, size);
    for (size_t a = from.rank(); a-- > 0;) {
      if (++index[a] < from.dim(a)) break;
      index[a] = 0;
    }
  }
  return to;
}

void flatten(const nlohmann::json& value, size_t depth, Dims& dims, std::vector<const nlohmann::json*>& out, bool& ragged) {
  if (!value.is_array()) {
    ragged |= depth != dims.rank();
    out.push_back(&value);
    return;
  }
  if (depth == dims.rank() && out.empty()) dims.push_back(static_cast<int64_t>(value.size()));
  if (depth >= dims.rank() || dims[depth] != static_cast<int64_t>(value.size())) {
    ragged = true;
    return;
  }
  for (const auto& v : value) flatten(v, depth + 1, dims, out, ragged);
}

}  // namespace

Result<Tensor> parse_npy(std::span<const std::byte> bytes) {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  if (bytes.size() < 10 || std::string_view(text, 6) != kMagic) return error(ErrorCode::kInvalidInput, "not a .npy file");
  const int major = text[6];
  size_t length = 0, start = 0;
  if (major == 1) {
    uint16_t n;
    std::memcpy(&n, text + 8, 2);
    length = n;
    start = 10;
  } else if ((major == 2 || major == 3) && bytes.size() >= 12) {
    uint32_t n;
    std::memcpy(&n, text + 8, 4);
    length = n;
    start = 12;
  } else {
    return error(ErrorCode::kInvalidInput, "a .npy file of version {}, which Cameo does not read", major);
  }
  if (length > bytes.size() - start) return error(ErrorCode::kInvalidInput, "the .npy file is cut off in its header");
  CAMEO_ASSIGN(const NpyHeader header, parse_header(std::string(text + start, length)));
  const auto data = bytes.subspan(start + length);
  if (header.descr.size() < 2) return error(ErrorCode::kInvalidInput, "a .npy file with elements '{}'", header.descr);
  if (header.descr[1] == 'U' || header.descr[1] == 'S') return read_strings(header, data);
  const auto* type =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeCode& t) { return header.descr.substr(1) == t.code; });
  if (type == std::end(kTypes))
    return error(ErrorCode::kInvalidInput, "a .npy file with elements '{}', which tensors do not have", header.descr);
  CAMEO_ASSIGN(const int64_t count, header.shape.checked_num_elements());
  if (data.size() / dtype_size(type->dtype) < static_cast<size_t>(count))
    return error(ErrorCode::kInvalidInput, "the .npy file is cut off: shape {} of {} needs more than {} bytes", header.shape.to_string(),
                 dtype_name(type->dtype), data.size());
  CAMEO_ASSIGN(Tensor tensor, Tensor::allocate(type->dtype, header.shape));
  if (tensor.num_bytes() > 0) std::memcpy(tensor.raw(), data.data(), tensor.num_bytes());
  if (header.descr[0] == '>') reverse_bytes(tensor);
  if (header.fortran_order && tensor.rank() > 1) return to_row_major(tensor);
  return tensor;
}

Result<Tensor> read_npy(const std::string& path) {
  CAMEO_ASSIGN(const MappedFile file, map_file(path));
  auto tensor = parse_npy(file.bytes);
  if (!tensor.ok()) return std::move(tensor).error().in(path);
  return tensor;
}

Status write_npy(const std::string& path, const Tensor& tensor) {
  std::string descr;
  std::vector<std::byte> wide;  // strings as UTF-32
  std::span<const std::byte> data(tensor.data<std::byte>(), tensor.dtype() == DType::kString ? 0 : tensor.num_bytes());
  if (tensor.dtype() == DType::kString) {
    std::vector<std::u32string> strings;
    size_t length = 1;
    for (const std::string& s : tensor.span<std::string>()) length = std::max(length, strings.emplace_back(from_utf8(s)).size());
    wide.resize(strings.size() * length * 4);
    for (size_t i = 0; i < strings.size(); ++i) std::memcpy(wide.data() + i * length * 4, strings[i].data(), strings[i].size() * 4);
    data = wide;
    descr = fmt::format("<U{}", length);
  } else {
    const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeCode& t) { return t.dtype == tensor.dtype(); });
    // Types that NumPy lacks are written as their bytes.
    const std::string code = type != std::end(kTypes) ? type->code : dtype_size(tensor.dtype()) == 1 ? "u1" : "V2";
    descr = (code.back() == '1' ? "|" : "<") + code;
  }
  std::string shape;
  for (int64_t d : tensor.dims()) shape += std::to_string(d) + ", ";
  if (tensor.rank() > 1) shape.erase(shape.size() - 2);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
  const size_t total = (10 + header.size() + 1 + 63) / 64 * 64;
  header.append(total - 10 - header.size() - 1, ' ') += '\n';
  std::string file(kMagic);
  file += '\x01';
  file += '\0';
  const auto length = static_cast<uint16_t>(header.size());
  file.append(reinterpret_cast<const char*>(&length), 2);
  file += header;
  file.append(reinterpret_cast<const char*>(data.data()), data.size());
  return write_file(path, std::as_bytes(std::span(file)));
}

Result<Tensor> parse_literal(const std::string& text, DType dtype) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded())
    return error(ErrorCode::kInvalidArgument, "'{}' is neither a .npy file nor a value like 3 or [[1, 2], [3, 4]]", text);
  Dims dims;
  std::vector<const nlohmann::json*> elements;
  bool ragged = false;
  flatten(json, 0, dims, elements, ragged);
  if (ragged) return error(ErrorCode::kInvalidArgument, "'{}' is ragged: lists at the same depth differ in length", text);
  CAMEO_ASSIGN(Tensor tensor, Tensor::allocate(dtype, dims));
  for (size_t i = 0; i < elements.size(); ++i) {
    const nlohmann::json& e = *elements[i];
    if (dtype == DType::kString) {
      if (!e.is_string()) return error(ErrorCode::kInvalidArgument, "element {} of '{}' is no string; write [\"text\"]", i, text);
      tensor.data<std::string>()[i] = e.get<std::string>();
    } else if (dtype == DType::kBool) {
      if (!e.is_boolean() && !e.is_number()) return error(ErrorCode::kInvalidArgument, "element {} of '{}' is no bool", i, text);
      tensor.data<bool>()[i] = e.is_boolean() ? e.get<bool>() : e.get<double>() != 0;
    } else {
      if (!e.is_number()) return error(ErrorCode::kInvalidArgument, "element {} of '{}' is no number", i, text);
      CAMEO_TRY(ops::dispatch_numbers(dtype, "a value on the command line", [&](auto tag) -> Status {
        using T = typename decltype(tag)::type;
        if constexpr (std::is_integral_v<T>) {
          if (!e.is_number_integer()) return error(ErrorCode::kInvalidArgument, "element {} of '{}' is no integer", i, text);
          const auto v = e.get<int64_t>();
          tensor.data<T>()[i] = static_cast<T>(v);
          const bool fits = std::is_same_v<T, uint64_t> ? e.is_number_unsigned() : static_cast<int64_t>(tensor.data<T>()[i]) == v;
          if (!fits) return error(ErrorCode::kInvalidArgument, "element {} of '{}' does not fit {}", i, text, dtype_name(dtype));
        } else {
          tensor.data<T>()[i] = static_cast<T>(e.get<compute_t<T>>());
        }
        return {};
      }));
    }
  }
  return tensor;
}

Result<Tensor> convert(const Tensor& tensor, DType dtype) {
  if (tensor.dtype() == dtype) return tensor;
  // Opaque bytes in a .npy file are what the model says they are.
  if (tensor.dtype() == DType::kUint8 && dtype_size(dtype) == 1 && dtype != DType::kInt8 && dtype != DType::kBool)
    return Tensor::shared(dtype, tensor.dims(), tensor.raw(), tensor.owner());
  CAMEO_ASSIGN(Tensor out, Tensor::allocate(dtype, tensor.dims()));
  const auto refused = [&] {
    return error(ErrorCode::kInvalidInput, "{} values cannot be given as {}", dtype_name(tensor.dtype()), dtype_name(dtype));
  };
  Status copied = refused();
  const auto from_values = [&](auto from_tag) -> Status {
    using F = typename decltype(from_tag)::type;
    return ops::dispatch_numbers(dtype, "an input", [&](auto to_tag) -> Status {
      using T = typename decltype(to_tag)::type;
      if constexpr (std::is_integral_v<T> && !std::is_integral_v<F>) return refused();
      for (int64_t i = 0; i < tensor.num_elements(); ++i) {
        const auto v = static_cast<compute_t<F>>(tensor.data<F>()[i]);
        out.data<T>()[i] = static_cast<T>(static_cast<compute_t<T>>(v));
        if constexpr (std::is_integral_v<T> && std::is_integral_v<F>)
          if (static_cast<compute_t<F>>(static_cast<F>(static_cast<compute_t<T>>(out.data<T>()[i]))) != v)
            return error(ErrorCode::kInvalidInput, "element {} ({}) does not fit {}", i, v, dtype_name(dtype));
      }
      return {};
    });
  };
  if (tensor.dtype() != DType::kString && tensor.dtype() != DType::kBool && dtype != DType::kBool && dtype != DType::kString)
    copied = ops::dispatch_numbers(tensor.dtype(), "an input", from_values);
  CAMEO_TRY(copied);
  return out;
}

}  // namespace cameo::cli
