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

Result<ModelSource> find_model(const std::string& path) {
  std::error_code unknown;
  if (!fs::is_directory(path, unknown)) return ModelSource{gguf::is_gguf_file(path) ? ModelSource::kGguf : ModelSource::kOnnx, path};
  const fs::path onnx = fs::path(path) / "model.onnx";
  const bool has_onnx = fs::exists(onnx, unknown);
  if (huggingface::is_model_folder(path) && (!has_onnx || huggingface::is_known_folder(path)))
    return ModelSource{ModelSource::kFolder, path};
  if (has_onnx) return ModelSource{ModelSource::kOnnx, onnx.string()};
  if (const std::string file = gguf::only_file(path); !file.empty()) return ModelSource{ModelSource::kGguf, file};
  return error(
      ErrorCode::kIo,
      "the folder '{}' has neither config.json with model.safetensors (or model.safetensors.index.json) nor model.onnx, nor a single "
      "GGUF file",
      path);
}

Result<ir::Graph> read_graph(const std::string& path, const BuildOptions& options) {
  CAMEO_ASSIGN(const ModelSource source, find_model(path));
  if (source.kind == ModelSource::kGguf) return gguf::read_model(source.path, options.hidden_states);
  return source.kind == ModelSource::kFolder ? huggingface::read_folder(source.path, options.hidden_states)
                                             : read_onnx(source.path, options);
}

}  // namespace cameo::builder
