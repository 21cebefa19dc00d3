// Files of the safetensors format: a header of JSON that names tensors, then their bytes.
//
//   8 bytes     length of the header, little endian
//   header      {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …, "__metadata__": {…}}
//   the rest    the tensors' bytes, row-major, little endian; offsets count from here
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "cameo/tensor.h"

namespace cameo::huggingface {

class SafetensorsFile {
 public:
  // Maps the file and checks its header whole: every tensor has a type that is known, lies inside the file, is as long as its type
  // and shape ask for, and shares no byte with another. Errors: kIo, kInvalidModel.
  static Result<SafetensorsFile> open(const std::string& path);
  // The same for bytes that `owner` keeps alive; `path` is for messages.
  static Result<SafetensorsFile> parse(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, const std::string& path);

  // The tensors by name; they view the file, aligned for their type or copied.
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }

 private:
  std::map<std::string, Tensor> tensors_;
};

}  // namespace cameo::huggingface
