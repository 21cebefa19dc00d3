#include "gguf/file.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace cameo::gguf {
namespace {

enum MetaType : uint32_t { kUint8, kInt8, kUint16, kInt16, kUint32, kInt32, kFloat32, kBool, kString, kArray, kUint64, kInt64, kFloat64 };

// Bytes of a number; 0 for what is none.
size_t size_of(uint32_t type) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kUint16:
    case kInt16:
      return 2;
    case kUint32:
    case kInt32:
    case kFloat32:
      return 4;
    case kUint64:
    case kInt64:
    case kFloat64:
      return 8;
    default:
      return 0;
  }
}

// Reads from front to back; past the end everything is zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  size_t position() const { return at_; }
  uint64_t left() const { return bytes_.size() - at_; }

  std::span<const std::byte> take(uint64_t count) {
    if (count > left()) {
      ok_ = false;
      return {};
    }
    const auto taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }
  template <class T>
  T number() {
    T value{};
    const auto bytes = take(sizeof(T));
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  std::string_view string() {
    const auto bytes = take(number<uint64_t>());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

Error cut_off() { return error(ErrorCode::kInvalidModel, "it is cut off"); }

Result<MetaValue> read_array(Reader& in) {
  const auto type = in.number<uint32_t>();
  const auto count = in.number<uint64_t>();
  if (type == kString) {
    // Each string has a length of 8 bytes.
    if (count > in.left() / 8) return cut_off();
    StringArray array;
    array.values.reserve(count);
    for (uint64_t i = 0; i < count && in.ok(); ++i) array.values.push_back(in.string());
    return MetaValue(std::move(array));
  }
  const size_t size = size_of(type);
  if (size == 0) return error(ErrorCode::kUnsupported, "it is an array of type {}", type);
  if (count > in.left() / size) return cut_off();
  return MetaValue(NumberArray{type, count, in.take(count * size)});
}

Result<MetaValue> read_value(Reader& in) {
  switch (const auto type = in.number<uint32_t>(); type) {
    case kUint8:
      return MetaValue(uint64_t{in.number<uint8_t>()});
    case kInt8:
      return MetaValue(int64_t{in.number<int8_t>()});
    case kUint16:
      return MetaValue(uint64_t{in.number<uint16_t>()});
    case kInt16:
      return MetaValue(int64_t{in.number<int16_t>()});
    case kUint32:
      return MetaValue(uint64_t{in.number<uint32_t>()});
    case kInt32:
      return MetaValue(int64_t{in.number<int32_t>()});
    case kUint64:
      return MetaValue(in.number<uint64_t>());
    case kInt64:
      return MetaValue(in.number<int64_t>());
    case kFloat32:
      return MetaValue(double{in.number<float>()});
    case kFloat64:
      return MetaValue(in.number<double>());
    case kBool:
      return MetaValue(in.number<uint8_t>() != 0);
    case kString:
      return MetaValue(in.string());
    case kArray:
      return read_array(in);
    default:
      return error(ErrorCode::kInvalidModel, "it has type {}; there are types 0 to 12", type);
  }
}

struct Entry {
  std::string_view name;
  TensorEntry tensor;
  uint64_t offset = 0, bytes = 0;
};

Result<Entry> read_entry(Reader& in) {
  Entry entry;
  entry.name = in.string();
  const auto rank = in.number<uint32_t>();
  if (!in.ok()) return cut_off();
  if (rank > 4) return error(ErrorCode::kInvalidModel, "tensor '{}' has rank {}; at most 4 is allowed", entry.name, rank);
  entry.tensor.dims.resize(rank);
  for (uint32_t i = 0; i < rank; ++i) {
    const auto extent = in.number<uint64_t>();
    if (extent > uint64_t{1} << 48) return error(ErrorCode::kInvalidModel, "tensor '{}' has an extent of {}", entry.name, extent);
    entry.tensor.dims[rank - 1 - i] = static_cast<int64_t>(extent);
  }
  const auto type = in.number<uint32_t>();
  entry.offset = in.number<uint64_t>();
  if (!in.ok()) return cut_off();
  entry.tensor.type = find_block_type(type);
  if (entry.tensor.type == nullptr)
    return error(ErrorCode::kUnsupported, "tensor '{}' has type {}, which is not known; known are {}", entry.name, type,
                 known_block_types());
  const auto elements = entry.tensor.dims.checked_num_elements();
  const BlockType& t = *entry.tensor.type;
  const int64_t row = rank == 0 ? 1 : entry.tensor.dims.back();
  if (!elements.ok() || row % t.elements != 0 || *elements / t.elements > (int64_t{1} << 60) / t.bytes)
    return error(ErrorCode::kInvalidModel, "tensor '{}' has shape {}, which does not fit blocks of {} elements", entry.name,
                 entry.tensor.dims.to_string(), t.elements);
  entry.bytes = static_cast<uint64_t>(*elements / t.elements * t.bytes);
  return entry;
}

}  // namespace

Result<File> File::open(const std::string& path) {
  CAMEO_ASSIGN(const MappedFile file, map_file(path));
  return parse(file.bytes, file.owner, path);
}

Result<File> File::parse(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, const std::string& path) {
  const auto bad = [&](std::string_view what) { return error(ErrorCode::kInvalidModel, "{}: {}", path, what); };
  Reader in(bytes);
  if (const auto magic = in.take(4); magic.size() != 4 || std::memcmp(magic.data(), "GGUF", 4) != 0) return bad("not a GGUF file");
  const auto version = in.number<uint32_t>();
  if (version != 2 && version != 3) return error(ErrorCode::kUnsupported, "{}: version {} of GGUF; 2 and 3 can be read", path, version);
  const auto tensor_count = in.number<uint64_t>(), meta_count = in.number<uint64_t>();
  // The least that an entry takes: 8 + 4 + 1 bytes, and for a tensor 8 + 4 + 4 + 8.
  if (!in.ok() || meta_count > in.left() / 13 || tensor_count > in.left() / 24)
    return bad(fmt::format("cut off, or damaged: {} bytes cannot hold {} tensors and {} entries of metadata", bytes.size(), tensor_count,
                           meta_count));
  File file;
  file.owner_ = std::move(owner);
  for (uint64_t i = 0; i < meta_count; ++i) {
    const std::string_view key = in.string();
    auto value = read_value(in);
    if (value.ok() && !in.ok()) value = cut_off();
    const std::string where = fmt::format("{}: metadata '{}'", path, key.substr(0, 100));
    if (!value.ok()) return std::move(value).error().in(where);
    if (!file.metadata_.emplace(key, std::move(value).value()).second) return error(ErrorCode::kInvalidModel, "{} stands twice", where);
  }
  std::vector<Entry> entries;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    auto entry = read_entry(in);
    if (!entry.ok()) return std::move(entry).error().in(path);
    entries.push_back(std::move(entry).value());
  }
  uint64_t alignment = 32;
  if (const auto it = file.metadata_.find("general.alignment"); it != file.metadata_.end())
    alignment = std::holds_alternative<uint64_t>(it->second) ? std::get<uint64_t>(it->second) : 0;
  if (alignment == 0 || alignment > 1 << 20) return bad("general.alignment is no count of bytes");
  const uint64_t start = (in.position() + alignment - 1) / alignment * alignment;
  const std::span<const std::byte> data = start <= bytes.size() ? bytes.subspan(start) : std::span<const std::byte>();
  for (Entry& entry : entries) {
    if (entry.offset % alignment != 0 || entry.offset > data.size() || entry.bytes > data.size() - entry.offset)
      return bad(fmt::format("tensor '{}' of {} bytes at {} does not lie within the {} bytes of data; the file may be cut off", entry.name,
                             entry.bytes, entry.offset, data.size()));
    entry.tensor.bytes = data.subspan(entry.offset, entry.bytes);
    if (!file.tensors_.emplace(entry.name, entry.tensor).second) return bad(fmt::format("tensor '{}' stands twice", entry.name));
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes); });
  for (size_t i = 1; i < entries.size(); ++i)
    if (entries[i].offset < entries[i - 1].offset + entries[i - 1].bytes)
      return bad(fmt::format("tensors '{}' and '{}' share bytes", entries[i - 1].name, entries[i].name));
  return file;
}

}  // namespace cameo::gguf
