// Files that hold a model's large tensors ("external data"), opened so that a model cannot reach other files.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"

namespace cameo::onnx {

// Opens files by their location relative to the model's folder and keeps each mapped once.
//
// A location must be relative, without "..", and name a regular file that really lies in the folder: symbolic links
// are followed and the file that was opened is then checked, so a link (or a folder that is one) cannot lead outside.
// A file with several hard links is refused, because one of them may stand outside. Files below `extra_root`, when it is
// not empty, are allowed too, hard-linked or not: caches of downloaded models often link into another folder.
class ExternalFiles {
 public:
  explicit ExternalFiles(std::string base_dir, std::string extra_root = {})
      : base_dir_(std::move(base_dir)), extra_root_(std::move(extra_root)) {}

  // kInvalidModel for a location that is not allowed, kIo for a file that cannot be read.
  Result<MappedFile> open(std::string_view location);

 private:
  std::string base_dir_, extra_root_;
  std::map<std::string, MappedFile, std::less<>> files_;
};

}  // namespace cameo::onnx
