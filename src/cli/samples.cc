// Inputs from folders and .npz files.
#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "cli/cli.h"

namespace cameo::cli {
namespace {

namespace fs = std::filesystem;

// Little-endian numbers of a ZIP archive (PKWARE's APPNOTE.TXT, 4.3), read only where they lie inside.
class Archive {
 public:
  explicit Archive(std::span<const std::byte> bytes) : bytes_(bytes) {}
  uint64_t number(size_t at, size_t size) const {
    uint64_t value = 0;
    if (at <= bytes_.size() && size <= bytes_.size() - at) std::memcpy(&value, bytes_.data() + at, size);
    return value;
  }
  bool holds(uint64_t at, uint64_t size) const { return at <= bytes_.size() && size <= bytes_.size() - at; }
  std::span<const std::byte> part(uint64_t at, uint64_t size) const { return bytes_.subspan(at, size); }
  size_t size() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
};

Result<std::map<std::string, Tensor>> parse_npz(std::span<const std::byte> bytes) {
  constexpr uint64_t kEnd = 0x06054b50, kEntry = 0x02014b50, kLocal = 0x04034b50, kUnknown32 = 0xffffffff;
  const Archive zip(bytes);
  const auto damaged = [] { return error(ErrorCode::kInvalidInput, "not a .npz file, or a damaged one"); };
  if (zip.size() < 22) return damaged();
  size_t end = zip.size() - 22;
  const size_t least = end > 65535 ? end - 65535 : 0;
  while (end > least && zip.number(end, 4) != kEnd) --end;
  if (zip.number(end, 4) != kEnd) return damaged();
  const uint64_t entries = zip.number(end + 10, 2);
  uint64_t at = zip.number(end + 16, 4);
  std::map<std::string, Tensor> tensors;
  for (uint64_t i = 0; i < entries; ++i) {
    if (!zip.holds(at, 46) || zip.number(at, 4) != kEntry) return damaged();
    const uint64_t method = zip.number(at + 10, 2), name_size = zip.number(at + 28, 2), extra_size = zip.number(at + 30, 2);
    uint64_t size = zip.number(at + 24, 4), local = zip.number(at + 42, 4);
    if (!zip.holds(at + 46, name_size + extra_size)) return damaged();
    std::string name(reinterpret_cast<const char*>(zip.part(at + 46, name_size).data()), name_size);
    // Sizes beyond 4 GB stand in an extra field of their own (ZIP64).
    for (uint64_t extra = at + 46 + name_size, last = extra + extra_size; extra + 4 <= last; extra += 4 + zip.number(extra + 2, 2)) {
      if (zip.number(extra, 2) != 1) continue;
      uint64_t field = extra + 4;
      if (size == kUnknown32) size = zip.number(field, 8), field += 8;
      if (zip.number(at + 20, 4) == kUnknown32) field += 8;
      if (local == kUnknown32) local = zip.number(field, 8);
    }
    if (method != 0)
      return error(ErrorCode::kInvalidInput, "'{}' is compressed; write the file with np.savez in place of np.savez_compressed", name);
    if (!zip.holds(local, 30) || zip.number(local, 4) != kLocal) return damaged();
    const uint64_t data = local + 30 + zip.number(local + 26, 2) + zip.number(local + 28, 2);
    if (!zip.holds(data, size)) return damaged();
    auto tensor = parse_npy(zip.part(data, size));
    if (!tensor.ok()) return std::move(tensor).error().in(name);
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    tensors[name] = std::move(tensor).value();
    at += 46 + name_size + extra_size + zip.number(at + 32, 2);
  }
  return tensors;
}

}  // namespace

Result<std::map<std::string, Tensor>> read_npz(const std::string& path) {
  CAMEO_ASSIGN(const MappedFile file, map_file(path));
  auto tensors = parse_npz(file.bytes);
  if (!tensors.ok()) return std::move(tensors).error().in(path);
  return tensors;
}

Result<std::vector<std::map<std::string, Tensor>>> read_samples(const std::string& path) {
  std::vector<std::map<std::string, Tensor>> samples;
  std::error_code failure;
  if (!fs::is_directory(path, failure)) {
    CAMEO_ASSIGN(samples.emplace_back(), read_npz(path));
    return samples;
  }
  std::vector<fs::path> entries;
  for (auto it = fs::directory_iterator(path, failure); !failure && it != fs::directory_iterator(); it.increment(failure))
    entries.push_back(it->path());
  if (failure) return error(ErrorCode::kIo, "cannot read folder '{}': {}", path, failure.message());
  std::ranges::sort(entries);
  std::map<std::string, Tensor> single;
  for (const fs::path& entry : entries) {
    if (fs::is_directory(entry, failure)) {
      CAMEO_ASSIGN(auto inner, read_samples(entry.string()));
      samples.insert(samples.end(), std::make_move_iterator(inner.begin()), std::make_move_iterator(inner.end()));
    } else if (entry.extension() == ".npz") {
      CAMEO_ASSIGN(samples.emplace_back(), read_npz(entry.string()));
    } else if (entry.extension() == ".npy") {
      CAMEO_ASSIGN(single[entry.stem().string()], read_npy(entry.string()));
    }
  }
  if (!single.empty()) samples.push_back(std::move(single));
  if (samples.empty()) return error(ErrorCode::kInvalidInput, "folder '{}' has neither .npz nor .npy files", path);
  return samples;
}

}  // namespace cameo::cli
