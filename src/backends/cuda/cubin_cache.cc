#include "backends/cuda/cubin_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#ifndef CAMEO_HIP
#include "backends/cuda/libraries.h"
#endif
#include "backends/cuda/sha256.h"
#include "base/error.h"

namespace cameo::cuda::cubin_cache {
namespace {

constexpr size_t kMaxFileBytes = size_t{64} << 20;

// Whether it is the user's own, and nobody else can write (or, for the key, read) it.
bool is_private(const std::string& path, mode_t forbidden) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0 && !S_ISLNK(info.st_mode) && info.st_uid == geteuid() && (info.st_mode & forbidden) == 0;
}

std::string read_file(const std::string& path) {
  std::error_code failed;
  const auto size = std::filesystem::file_size(path, failed);
  if (failed || size > kMaxFileBytes) return "";
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return file ? text.str() : "";
}

// Beside the name first and then renamed, so that nobody reads half a file.
bool write_file(const std::string& path, const std::string& bytes) {
  const std::string part = path + "." + std::to_string(getpid());
  const int file = open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return false;
  const bool written = ::write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  if (close(file) == 0 && written && rename(part.c_str(), path.c_str()) == 0) return true;
  unlink(part.c_str());
  return false;
}

struct Folder {
  std::string path;  // ends in '/'; empty: no cache
  std::string key;
};

Folder open_folder() {
  std::string path;
  if (const char* own = std::getenv("CAMEO_CUDA_CACHE"))
    path = own;
  else if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache)
    path = std::string(cache) + "/cameo/cuda";
  else if (const char* home = std::getenv("HOME"); home && *home)
    path = std::string(home) + "/.cache/cameo/cuda";
  if (path.empty()) return {};
  std::error_code failed;
  if (std::filesystem::create_directories(path, failed)) chmod(path.c_str(), 0700);
  if (failed || !is_private(path, S_IWGRP | S_IWOTH)) return {};
  path += '/';
  const std::string key_path = path + "key";
  std::string key = read_file(key_path);
  if (key.size() == 32) {
    if (is_private(key_path, S_IRWXG | S_IRWXO)) return {path, key};
    return {};
  }
  key.resize(32);
  std::random_device random;
  for (char& c : key) c = static_cast<char>(random());
  if (!write_file(key_path, key)) return {};
  return {path, read_file(key_path)};
}

const Folder& folder() {
  static const Folder opened = open_folder();
  return opened;
}

// What the code depends on besides itself.
std::string identity(const std::string& source, int arch) {
  int major = 0, minor = 0;
#ifndef CAMEO_HIP
  if (const auto nvrtc = Nvrtc::get(); nvrtc.ok()) (*nvrtc)->nvrtcVersion(&major, &minor);
#endif
  return fmt::format("sm_{} nvrtc {}.{}\n", arch, major, minor) + source;
}

std::string path_of(const std::string& what) {
  std::string name;
  for (const uint8_t byte : sha256(what)) name += fmt::format("{:02x}", byte);
  return folder().path + name;
}

std::string tag_of(const std::string& body) {
  const Digest tag = hmac_sha256(folder().key, body);
  return {reinterpret_cast<const char*>(tag.data()), tag.size()};
}

}  // namespace

std::string read(const std::string& source, int arch) {
  if (folder().path.empty()) return "";
  const std::string what = identity(source, arch), file = read_file(path_of(what));
  // tag, length of the identity, identity, code
  uint64_t length = 0;
  if (file.size() < 40) return "";
  std::memcpy(&length, file.data() + 32, 8);
  if (length != what.size() || file.size() - 40 <= length || file.compare(40, length, what) != 0) return "";
  if (tag_of(file.substr(32)) != file.substr(0, 32)) return "";
  return file.substr(40 + length);
}

void write(const std::string& source, int arch, const std::string& image) {
  if (folder().path.empty()) return;
  const std::string what = identity(source, arch);
  std::string body(8, '\0');
  const uint64_t length = what.size();
  std::memcpy(body.data(), &length, 8);
  body += what + image;
  write_file(path_of(what), tag_of(body) + body);
}

}  // namespace cameo::cuda::cubin_cache
