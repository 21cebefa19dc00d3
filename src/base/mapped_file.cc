#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cameo {

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string& path) {
  // Non-blocking, so that a FIFO without a writer does not hang.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return error(ErrorCode::kIo, "cannot open '{}': {}", path, std::strerror(errno));
  auto file = map(fd, path);
  ::close(fd);
  return file;
}

Result<std::shared_ptr<const MappedFile>> MappedFile::map(int fd, const std::string& path) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return error(ErrorCode::kIo, "cannot read '{}': {}", path, std::strerror(errno));
  if (!S_ISREG(info.st_mode))
    return error(ErrorCode::kIo, "'{}' is {}, not a file", path, S_ISDIR(info.st_mode) ? "a directory" : "a device or pipe");
  const auto size = static_cast<size_t>(info.st_size);
  void* data = nullptr;
  if (size > 0) {
    data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) return error(ErrorCode::kIo, "cannot map '{}' ({} bytes): {}", path, size, std::strerror(errno));
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(static_cast<const uint8_t*>(data), size, path));
}

MappedFile::~MappedFile() {
  if (size_ > 0) ::munmap(const_cast<uint8_t*>(data_), size_);
}

}  // namespace cameo
