#include "huggingface/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"

namespace cameo::huggingface {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMostHeaderBytes = 100'000'000;  // as the format's own library has it

DType dtype_of_name(const std::string& name) {
  static const std::map<std::string, DType> kTypes = {{"F64", DType::kFloat64},       {"F32", DType::kFloat32},
                                                      {"F16", DType::kFloat16},       {"BF16", DType::kBfloat16},
                                                      {"I64", DType::kInt64},         {"I32", DType::kInt32},
                                                      {"I16", DType::kInt16},         {"I8", DType::kInt8},
                                                      {"U64", DType::kUint64},        {"U32", DType::kUint32},
                                                      {"U16", DType::kUint16},        {"U8", DType::kUint8},
                                                      {"BOOL", DType::kBool},         {"F8_E4M3", DType::kFloat8E4M3FN},
                                                      {"F8_E5M2", DType::kFloat8E5M2}};
  const auto it = kTypes.find(name);
  return it == kTypes.end() ? DType::kUndefined : it->second;
}

// The header as JSON; names that stand twice are an error.
Result<Json> parse_header(std::string_view text) {
  std::set<std::string> names;
  std::string twice;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1 && !names.insert(value.get<std::string>()).second) twice = value.get<std::string>();
    return true;
  };
  Json json = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) return error(ErrorCode::kInvalidModel, "the header is not a JSON object");
  if (!twice.empty()) return error(ErrorCode::kInvalidModel, "the header names tensor '{}' twice", twice);
  return json;
}

struct Entry {
  DType dtype;
  Dims dims;
  uint64_t begin, end;
};

Result<Entry> parse_entry(const Json& json, uint64_t data_bytes) {
  const auto at = [&](const char* key) -> const Json* {
    const auto it = json.is_object() ? json.find(key) : json.end();
    return it == json.end() ? nullptr : &*it;
  };
  const Json *type = at("dtype"), *shape = at("shape"), *offsets = at("data_offsets");
  if (!type || !type->is_string() || !shape || !shape->is_array() || !offsets || !offsets->is_array() || offsets->size() != 2)
    return error(ErrorCode::kInvalidModel, "it needs dtype, shape and data_offsets");
  Entry entry;
  const auto type_name = type->get<std::string>();
  entry.dtype = dtype_of_name(type_name);
  if (entry.dtype == DType::kUndefined) return error(ErrorCode::kUnsupported, "its dtype '{}' is not known", type_name.substr(0, 40));
  if (shape->size() > 64) return error(ErrorCode::kInvalidModel, "it has rank {}", shape->size());
  for (const Json& extent : *shape) {
    if (!extent.is_number_unsigned() || extent.get<uint64_t>() > uint64_t{1} << 62)
      return error(ErrorCode::kInvalidModel, "its shape has an extent that is no count");
    entry.dims.push_back(static_cast<int64_t>(extent.get<uint64_t>()));
  }
  for (const Json& offset : *offsets)
    if (!offset.is_number_unsigned()) return error(ErrorCode::kInvalidModel, "its data_offsets are no counts");
  entry.begin = (*offsets)[0].get<uint64_t>();
  entry.end = (*offsets)[1].get<uint64_t>();
  if (entry.begin > entry.end || entry.end > data_bytes)
    return error(ErrorCode::kInvalidModel, "its bytes {} to {} do not lie within the {} bytes of data; the file may be cut off",
                 entry.begin, entry.end, data_bytes);
  CAMEO_ASSIGN(const int64_t elements, entry.dims.checked_num_elements());
  const size_t size = dtype_size(entry.dtype);
  const uint64_t bytes = entry.end - entry.begin;
  if (bytes % size != 0 || bytes / size != static_cast<uint64_t>(elements))
    return error(ErrorCode::kInvalidModel, "it has {} bytes where {} of shape {} need {} elements of {}", bytes, dtype_name(entry.dtype),
                 entry.dims.to_string(), elements, size);
  return entry;
}

}  // namespace

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  CAMEO_ASSIGN(const MappedFile file, map_file(path));
  return parse(file.bytes, file.owner, path);
}

Result<SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                               const std::string& path) {
  const auto bad = [&](std::string_view what) { return error(ErrorCode::kInvalidModel, "{}: {}", path, what); };
  if (bytes.size() < 8) return bad("not a safetensors file: it is shorter than 8 bytes");
  uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), 8);
  if (header_bytes > kMostHeaderBytes || header_bytes > bytes.size() - 8)
    return bad(fmt::format("not a safetensors file, or cut off: its header would take {} bytes of {}", header_bytes, bytes.size()));
  auto header = parse_header({reinterpret_cast<const char*>(bytes.data()) + 8, header_bytes});
  if (!header.ok()) return std::move(header).error().in(path);
  const std::span<const std::byte> data = bytes.subspan(8 + header_bytes);

  SafetensorsFile file;
  std::vector<std::pair<Entry, const std::string*>> entries;
  for (const auto& [name, value] : header->items()) {
    if (name == "__metadata__") continue;
    auto entry = parse_entry(value, data.size());
    if (!entry.ok()) return std::move(entry).error().in(fmt::format("{}: tensor '{}'", path, name));
    Tensor& tensor = file.tensors_[name];
    // The data is only ever read.
    auto* at = const_cast<std::byte*>(data.data()) + entry->begin;
    if (reinterpret_cast<uintptr_t>(at) % dtype_size(entry->dtype) == 0) {
      tensor = Tensor::shared(entry->dtype, entry->dims, at, owner);
    } else {
      CAMEO_ASSIGN(tensor, Tensor::allocate(entry->dtype, entry->dims));
      std::memcpy(tensor.raw(), at, tensor.num_bytes());
    }
    entries.emplace_back(std::move(entry).value(), &file.tensors_.find(name)->first);
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return std::pair(a.first.begin, a.first.end) < std::pair(b.first.begin, b.first.end); });
  for (size_t i = 1; i < entries.size(); ++i)
    if (entries[i].first.begin < entries[i - 1].first.end)
      return bad(fmt::format("tensors '{}' and '{}' share bytes", *entries[i - 1].second, *entries[i].second));
  return file;
}

}  // namespace cameo::huggingface
