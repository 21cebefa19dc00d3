// Compiled kernels on disk are trusted only as they were written, in a folder that is the user's own; needs no GPU.
//   cuda_cubin_cache_test [DIR]
#include "backends/cuda/cubin_cache.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <vector>

#include "backends/cuda/sha256.h"
#include "expect.h"

namespace cameo::cuda {
namespace {

namespace fs = std::filesystem;
using test::expect;

// The cache of a process of its own, which opens its folder once.
bool in_process(const fs::path& folder, const std::function<bool()>& call) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    setenv("CAMEO_CUDA_CACHE", folder.c_str(), 1);
    _exit(call() ? 0 : 1);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void write_all(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes; }

const std::string kSource = "extern \"C\" __global__ void k() {}", kImage(300, 'c');
constexpr int kArch = 90;

bool reads() { return cubin_cache::read(kSource, kArch) == kImage; }
bool reads_nothing() { return cubin_cache::read(kSource, kArch).empty(); }

// A folder with the one kernel; gives its file.
fs::path filled(const fs::path& folder) {
  fs::remove_all(folder);
  expect(in_process(folder, [] { return reads_nothing() && (cubin_cache::write(kSource, kArch, kImage), reads()); }), "written and read");
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename() != "key") return entry.path();
  return {};
}

void check_damage(const fs::path& folder) {
  const fs::path file = filled(folder);
  const std::string whole = read_all(file);
  expect(whole.size() > kSource.size() + kImage.size(), "the file has the source and the code");
  expect(in_process(folder, reads), "read by another process");
  expect(in_process(folder, [] { return cubin_cache::read(kSource, 80).empty() && cubin_cache::read(kSource + " ", kArch).empty(); }),
         "another architecture or source");
  expect(in_process(folder,
                    [&] {
                      for (size_t i = 0; i < whole.size(); ++i) {
                        std::string bytes = whole;
                        bytes[i] = static_cast<char>(bytes[i] ^ (1 << i % 8));
                        write_all(file, bytes);
                        if (!reads_nothing()) return false;
                      }
                      return true;
                    }),
         "every byte changed");
  expect(in_process(folder,
                    [&] {
                      for (size_t length = 0; length < whole.size(); ++length) {
                        write_all(file, whole.substr(0, length));
                        if (!reads_nothing()) return false;
                      }
                      write_all(file, whole + '\0');
                      return reads_nothing();
                    }),
         "cut at every byte, or longer");
  // One kernel's file under another one's name.
  write_all(file, whole);
  expect(in_process(folder,
                    [&] {
                      const std::string other = kSource + "// other";
                      cubin_cache::write(other, kArch, "other");
                      for (const auto& entry : fs::directory_iterator(folder))
                        if (entry.path() != file && entry.path().filename() != "key")
                          fs::copy_file(file, entry.path(), fs::copy_options::overwrite_existing);
                      return cubin_cache::read(other, kArch).empty() && reads();
                    }),
         "a file under another name");
}

void check_folder(const fs::path& folder) {
  const fs::path file = filled(folder), key = folder / "key";
  struct stat info;
  expect(stat(key.c_str(), &info) == 0 && (info.st_mode & 0777) == 0600, "only the user reads the key");
  expect(stat(folder.c_str(), &info) == 0 && (info.st_mode & 0777) == 0700, "only the user reads the folder");
  // The folder's rights are put right; those of a key that others could read are not.
  chmod(key.c_str(), 0644);
  expect(in_process(folder, reads_nothing), "a key that others can read");
  chmod(key.c_str(), 0600);
  expect(in_process(folder, reads), "the same key, private again");
  const std::string bytes = read_all(key);
  write_all(key, std::string(32, 'k'));
  expect(in_process(folder, reads_nothing), "another key");
  write_all(key, bytes.substr(0, 5));
  expect(in_process(folder, [] { return reads_nothing() && (cubin_cache::write(kSource, kArch, kImage), reads()); }),
         "a key that is cut is made anew");
  // Neither folder nor key are followed through links.
  const fs::path linked = folder.string() + "_linked";
  fs::remove(linked);
  fs::create_directory_symlink(folder, linked);
  expect(in_process(linked, [] { return (cubin_cache::write(kSource, kArch, kImage), reads_nothing()); }), "a folder that is a link");
  fs::remove(linked);
  fs::rename(key, folder / "elsewhere");
  fs::create_symlink(folder / "elsewhere", key);
  expect(in_process(folder, reads_nothing), "a key that is a link");
  expect(in_process("", [] { return (cubin_cache::write(kSource, kArch, kImage), reads_nothing()); }), "no folder");
  expect(in_process(file, reads_nothing), "a file in place of the folder");
  expect(in_process("/proc/none", reads_nothing), "a folder that cannot be made");
  fs::remove_all(folder);
}

std::string hex(const Digest& digest) {
  std::string text;
  char two[3];
  for (const uint8_t byte : digest) std::snprintf(two, sizeof two, "%02x", byte), text += two;
  return text;
}

// Vectors of FIPS 180-2, appendix B, and RFC 4231.
void check_hash() {
  expect(hex(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "SHA-256 of abc");
  expect(hex(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "SHA-256 of nothing");
  expect(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) ==
             "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
         "SHA-256 of two blocks");
  expect(hex(sha256(std::string(1'000'000, 'a'))) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
         "SHA-256 of many blocks");
  expect(hex(hmac_sha256("Jefe", "what do ya want for nothing?")) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
         "HMAC, short key");
  expect(hex(hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")) ==
             "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
         "HMAC, long key");
}

}  // namespace
}  // namespace cameo::cuda

int main(int argc, char** argv) {
  using namespace cameo::cuda;
  const fs::path folder = argc > 1 ? fs::path(argv[1]) : fs::temp_directory_path() / "cameo_cubin_cache_test";
  fs::create_directories(folder);
  check_hash();
  check_damage(folder / "cache");
  check_folder(folder / "cache");
  return cameo::test::finish("cubin cache");
}
