#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"

namespace cameo {
namespace {

Error io_error(const char* what, const std::string& path) {
  return error(ErrorCode::kIo, "cannot {} '{}': {}", what, path, std::strerror(errno));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

Result<MappedFile> map_file(const std::string& path) {
  // Non-blocking, so that opening a pipe that nobody writes to does not hang.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return io_error("open", path);
  return map_file(file.get(), path);
}

Result<MappedFile> map_file(int descriptor, const std::string& path) {
  struct stat status;
  if (::fstat(descriptor, &status) != 0) return io_error("examine", path);
  if (!S_ISREG(status.st_mode)) return error(ErrorCode::kIo, "cannot read '{}': it is not a regular file", path);
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return MappedFile{};
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (memory == MAP_FAILED) return io_error("map", path);
  std::shared_ptr<const void> owner(memory, [size](const void* p) { ::munmap(const_cast<void*>(p), size); });
  return MappedFile{{static_cast<const std::byte*>(memory), size}, std::move(owner)};
}

Status write_file(const std::string& path, std::span<const std::byte> bytes) { return write_file(path, {&bytes, 1}); }

Status write_file(const std::string& path, std::span<const std::span<const std::byte>> pieces) {
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  {
    const Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.get() < 0) return io_error("create", temporary);
    const auto fail = [&] {
      Error failed = io_error("write", temporary);
      ::unlink(temporary.c_str());
      return failed;
    };
    for (const std::span<const std::byte> bytes : pieces)
      for (size_t at = 0; at < bytes.size();) {
        const ssize_t n = ::write(file.get(), bytes.data() + at, bytes.size() - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail();
        at += static_cast<size_t>(n);
      }
    if (::fsync(file.get()) != 0) return fail();
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    Error failed = io_error("replace", path);
    ::unlink(temporary.c_str());
    return failed;
  }
  return {};
}

}  // namespace cameo
