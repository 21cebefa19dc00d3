// Files: mapped for reading, written whole or not at all.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "cameo/error.h"

namespace cameo {

// A read-only view of a regular file, private to this process.
struct MappedFile {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;  // unmaps the file when the last copy goes
};

// Errors: kIo, naming the path and the reason (also for directories, devices and pipes).
Result<MappedFile> map_file(const std::string& path);
// The same for an open file; the descriptor stays the caller's, and `path` is for messages.
Result<MappedFile> map_file(int descriptor, const std::string& path);

// Writes a file beside `path`, flushes it to disk and renames it, so that `path` holds the old or the new content.
Status write_file(const std::string& path, std::span<const std::byte> bytes);
// The same for bytes in several pieces.
Status write_file(const std::string& path, std::span<const std::span<const std::byte>> pieces);

}  // namespace cameo
