// Files of the GGUF format (ggml): metadata by key, then tensors, many of them in blocks of few bits.
//
//   "GGUF", version (2 or 3), number of tensors, number of metadata entries; the entries: key, type, value;
//   for each tensor: name, extents (innermost first), type, offset; padding; the tensors' bytes. All little endian.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cameo/types.h"
#include "gguf/blocks.h"

namespace cameo::gguf {

// Views of the file.
struct StringArray {
  std::vector<std::string_view> values;
};
struct NumberArray {
  uint32_t type;  // as the format numbers them
  uint64_t count;
  std::span<const std::byte> bytes;
};
using MetaValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, StringArray, NumberArray>;

struct TensorEntry {
  const BlockType* type = nullptr;
  Dims dims;  // outermost first
  std::span<const std::byte> bytes;
};

class File {
 public:
  // Maps the file and checks everything that it says about sizes. Errors: kIo, kInvalidModel, kUnsupported (a version, or the type of
  // a tensor).
  static Result<File> open(const std::string& path);
  static Result<File> parse(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, const std::string& path);

  const std::map<std::string, MetaValue, std::less<>>& metadata() const { return metadata_; }
  const std::map<std::string, TensorEntry, std::less<>>& tensors() const { return tensors_; }
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  std::map<std::string, MetaValue, std::less<>> metadata_;
  std::map<std::string, TensorEntry, std::less<>> tensors_;
  std::shared_ptr<const void> owner_;
};

}  // namespace cameo::gguf
