#include "onnx/external_data.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "onnx/text.h"

namespace cameo::onnx {
namespace {

Status check_location(std::string_view location) {
  const auto refuse = [&](std::string_view why) {
    return error(ErrorCode::kInvalidModel, "external data location {} {}", quoted(location), why);
  };
  if (location.empty()) return refuse("is empty");
  if (location.find('\0') != std::string_view::npos) return refuse("contains a NUL byte");
  if (location.size() >= PATH_MAX) return refuse("is longer than a path may be");
  if (location.front() == '/' || location.front() == '\\' || (location.size() > 1 && location[1] == ':'))
    return refuse("is an absolute path; it must be relative to the model's folder");
  for (size_t start = 0; start <= location.size();) {
    const size_t end = std::min(location.find_first_of("/\\", start), location.size());
    if (location.substr(start, end - start) == "..") return refuse("contains '..'; it must stay in the model's folder");
    start = end + 1;
  }
  return {};
}

// Where a directory really is, with a slash at the end.
std::optional<std::string> real_directory(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) return std::nullopt;
  std::string real = resolved;
  if (real.back() != '/') real += '/';
  return real;
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

Result<MappedFile> ExternalFiles::open(std::string_view location) {
  if (const auto it = files_.find(location); it != files_.end()) return it->second;
  CAMEO_TRY(check_location(location));
  const std::string shown = quoted(location);
  if (base_dir_.empty())
    return error(ErrorCode::kInvalidModel, "external data {} needs a folder, and the model was read from memory without one", shown);
  const std::string path = base_dir_ + "/" + std::string(location);

  // O_PATH looks at what the name stands for without opening it: no device is touched, no FIFO waits.
  const Descriptor handle{::open(path.c_str(), O_PATH | O_CLOEXEC)};
  if (handle.fd < 0) return error(ErrorCode::kIo, "cannot open external data {} in '{}': {}", shown, base_dir_, std::strerror(errno));
  struct stat info;
  if (::fstat(handle.fd, &info) != 0) return error(ErrorCode::kIo, "cannot look at external data {}: {}", shown, std::strerror(errno));
  if (!S_ISREG(info.st_mode))
    return error(ErrorCode::kInvalidModel, "external data {} is {}, not a regular file", shown,
                 S_ISDIR(info.st_mode)    ? "a directory"
                 : S_ISFIFO(info.st_mode) ? "a FIFO"
                 : S_ISSOCK(info.st_mode) ? "a socket"
                                          : "a device");

  const std::string link = fmt::format("/proc/self/fd/{}", handle.fd);
  char resolved[PATH_MAX];
  const ssize_t length = ::readlink(link.c_str(), resolved, sizeof resolved);
  if (length <= 0 || static_cast<size_t>(length) >= sizeof resolved)
    return error(ErrorCode::kIo, "cannot tell where external data {} really lies: {}", shown, std::strerror(errno));
  const std::string_view real(resolved, static_cast<size_t>(length));
  const auto extra = extra_root_.empty() ? std::nullopt : real_directory(extra_root_);
  const bool in_extra = extra && real.starts_with(*extra);
  if (!in_extra) {
    const auto base = real_directory(base_dir_);
    if (!base || !real.starts_with(*base))
      return error(ErrorCode::kInvalidModel,
                   "external data {} leads out of the model's folder '{}' to '{}' (a symbolic link); allow that folder explicitly if you "
                   "trust the model",
                   shown, base_dir_, real);
    if (info.st_nlink > 1)
      return error(ErrorCode::kInvalidModel,
                   "external data {} has {} hard links, so it may be a file from elsewhere; copy it, or allow its folder '{}' explicitly "
                   "if you trust the model",
                   shown, info.st_nlink, base_dir_);
  }
  const Descriptor file{::open(link.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return error(ErrorCode::kIo, "cannot read external data {}: {}", shown, std::strerror(errno));
  CAMEO_ASSIGN(auto mapped, map_file(file.fd, path));
  files_.emplace(std::string(location), mapped);
  return mapped;
}

}  // namespace cameo::onnx
