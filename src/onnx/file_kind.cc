#include "onnx/file_kind.h"

#include <algorithm>
#include <cstring>

namespace cameo::onnx {
namespace {

struct Magic {
  size_t offset;
  std::string_view bytes;
  const char* kind;
};

using namespace std::string_view_literals;

constexpr Magic kMagics[] = {
    {0, "version https://git-lfs"sv, "a Git LFS pointer, not the file itself; run 'git lfs pull'"},
    {0, "GGUF"sv, "a GGUF file (llama.cpp)"},
    {0, "ggml"sv, "a GGML file (llama.cpp)"},
    {4, "TFL3"sv, "a TensorFlow Lite model; convert it with tf2onnx"},
    {4, "ORTM"sv, "an ONNX Runtime .ort model; use the .onnx file it was made from"},
    {0, "ptrt"sv, "a TensorRT engine; build from the .onnx file it was made from"},
    {0, "ftrt"sv, "a TensorRT engine; build from the .onnx file it was made from"},
    {0, "\x89HDF\r\n\x1a\n"sv, "an HDF5 file (Keras); convert it with tf2onnx"},
    {0, "\x93NUMPY"sv, "a NumPy array (.npy)"},
    {0, "\x80\x02"sv, "a Python pickle (perhaps a PyTorch checkpoint); export the model with torch.onnx.export"},
    {0, "\x80\x03"sv, "a Python pickle; export the model with torch.onnx.export"},
    {0, "\x80\x04"sv, "a Python pickle; export the model with torch.onnx.export"},
    {0, "\x80\x05"sv, "a Python pickle; export the model with torch.onnx.export"},
    {0, "\x1f\x8b"sv, "a gzip archive; unpack it first"},
    {0, "BZh"sv, "a bzip2 archive; unpack it first"},
    {0,
     "\xfd"
     "7zXZ\0"sv,
     "an xz archive; unpack it first"},
    {0, "\x28\xb5\x2f\xfd"sv, "a Zstandard archive; unpack it first"},
    {0, "7z\xbc\xaf\x27\x1c"sv, "a 7-Zip archive; unpack it first"},
    {0, "Rar!"sv, "a RAR archive; unpack it first"},
    {257, "ustar"sv, "a tar archive; unpack it first"},
    {0, "\x89PNG"sv, "a PNG image"},
    {0, "\xff\xd8\xff"sv, "a JPEG image"},
    {0,
     "\x7f"
     "ELF"sv,
     "an ELF program or library"},
    {0, "%PDF"sv, "a PDF document"},
    {0, "ncnn"sv, "an ncnn model"},
    {0, "7767517"sv, "an ncnn model"},
    {0, "\xef\xbb\xbf"sv, "text"},
};

bool contains(std::string_view bytes, std::string_view word) {
  // The words looked for stand near the start or the end (a zip's directory).
  constexpr size_t kWindow = 1 << 20;
  if (bytes.size() <= 2 * kWindow) return bytes.find(word) != std::string_view::npos;
  return bytes.substr(0, kWindow).find(word) != std::string_view::npos ||
         bytes.substr(bytes.size() - kWindow).find(word) != std::string_view::npos;
}

// UTF-8 without control characters; a character cut off at the end is fine.
bool is_text(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const auto c = static_cast<unsigned char>(bytes[i++]);
    if (c < 0x80) {
      if ((c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7f) return false;
      continue;
    }
    if (c < 0xc2 || c > 0xf4) return false;
    for (int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1; more > 0 && i < bytes.size(); --more)
      if ((static_cast<unsigned char>(bytes[i++]) & 0xc0) != 0x80) return false;
  }
  return true;
}

// safetensors: the length of a JSON header in 8 bytes, then the header.
bool is_safetensors(std::string_view bytes) {
  if (bytes.size() < 10 || bytes[8] != '{') return false;
  uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  return length <= bytes.size() - 8;
}

}  // namespace

std::optional<std::string> guess_file_kind(std::string_view bytes) {
  if (bytes.empty()) return "an empty file";
  for (const Magic& magic : kMagics)
    if (bytes.size() >= magic.offset + magic.bytes.size() && bytes.substr(magic.offset, magic.bytes.size()) == magic.bytes)
      return magic.kind;
  if (bytes.starts_with("PK\x03\x04") || bytes.starts_with("PK\x05\x06")) {
    if (contains(bytes, "data.pkl")) return "a PyTorch checkpoint or program (a zip archive); export the model with torch.onnx.export";
    if (contains(bytes, "keras_metadata") || contains(bytes, "model.weights.h5")) return "a Keras model; convert it with tf2onnx";
    if (contains(bytes, ".npy")) return "a NumPy archive (.npz)";
    return "a zip archive; unpack it first";
  }
  if (is_safetensors(bytes)) return "a safetensors file; it holds weights without a graph";
  if (std::all_of(bytes.begin(), bytes.begin() + std::min<size_t>(bytes.size(), 4096), [](char c) { return c == 0; })) return "zero bytes";
  if (bytes.starts_with("\x08\x01\x12") && (contains(bytes, "saved_model") || contains(bytes, "tensorflow")))
    return "a TensorFlow SavedModel; convert it with tf2onnx";
  if (bytes.starts_with("\n") && (contains(bytes, "\x12\x0bPlaceholder") || contains(bytes,
                                                                                     "\x12\x05"
                                                                                     "Const")))
    return "a frozen TensorFlow graph; convert it with tf2onnx";
  const std::string_view head = bytes.substr(0, 4096);
  if (is_text(head)) {
    const size_t start = head.find_first_not_of(" \t\r\n");
    const char first = start == std::string_view::npos ? ' ' : head[start];
    if (first == '{' || first == '[') return "JSON text";
    if (first == '<')
      return head.find("<net") != std::string_view::npos ? "an OpenVINO model (XML)"
                                                         : "HTML or XML (perhaps an error page in place of a download)";
    return "text";
  }
  return std::nullopt;
}

}  // namespace cameo::onnx
