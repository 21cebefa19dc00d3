// Files mapped into memory, read only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"

namespace cameo {

class MappedFile {
 public:
  // Fails with kIo when the file cannot be opened, is not a regular file, or cannot be mapped.
  static Result<std::shared_ptr<const MappedFile>> open(const std::string& path);
  // Maps an open regular file; the descriptor stays the caller's. `path` is for messages.
  static Result<std::shared_ptr<const MappedFile>> map(int fd, const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(const uint8_t* data, size_t size, std::string path) : data_(data), size_(size), path_(std::move(path)) {}

  const uint8_t* data_;
  size_t size_;
  std::string path_;
};

}  // namespace cameo
