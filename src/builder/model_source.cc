#include "builder/model_source.h"

#include <filesystem>

#include "base/error.h"
#include "gguf/model.h"
#include "huggingface/model.h"
#include "onnx/import.h"

namespace cameo::builder {
namespace {

namespace fs = std::filesystem;

Result<ir::Graph> read_onnx(const std::string& path, const BuildOptions& options) {
  CAMEO_ASSIGN(const onnx::Model model, onnx::read_model(path));
  auto imported = onnx::import_model(model, {.external_data_root = options.external_data_root});
  if (imported.ok()) return std::move(imported->graph);
  // Import names the file itself.
  if (imported.error().message().starts_with(path)) return std::move(imported).error();
  return std::move(imported).error().in(path);
}

}  // namespace

Result<ir::Graph> read_graph(const std::string& path, const BuildOptions& options) {
  std::error_code unknown;
  if (!fs::is_directory(path, unknown)) return gguf::is_gguf_file(path) ? gguf::read_model(path) : read_onnx(path, options);
  if (huggingface::is_model_folder(path)) return huggingface::read_folder(path);
  const fs::path file = fs::path(path) / "model.onnx";
  if (fs::exists(file, unknown)) return read_onnx(file.string(), options);
  return error(ErrorCode::kIo,
               "the folder '{}' has neither config.json with model.safetensors (or model.safetensors.index.json) nor model.onnx", path);
}

}  // namespace cameo::builder
