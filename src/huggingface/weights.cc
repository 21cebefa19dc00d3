#include "huggingface/weights.h"

#include <filesystem>
#include <set>

#include "base/error.h"
#include "huggingface/config.h"
#include "ops/cast.h"

namespace cameo::huggingface {

namespace fs = std::filesystem;

Result<Table> Weights::table(const std::string& name, const Dims& dims) {
  CAMEO_ASSIGN(Tensor values, floats(name, dims));
  return Table{std::move(values), {}, 0};
}

SafetensorsWeights SafetensorsWeights::of(std::map<std::string, Tensor> tensors) {
  SafetensorsWeights weights;
  weights.tensors_ = std::move(tensors);
  return weights;
}

Result<SafetensorsWeights> SafetensorsWeights::open(const std::string& folder) {
  const fs::path root(folder), single = root / "model.safetensors", index = root / "model.safetensors.index.json";
  std::error_code unknown;
  std::set<std::string> files;
  if (fs::exists(single, unknown)) {
    files.insert(single.filename().string());
  } else {
    CAMEO_ASSIGN(const Json json, read_json(index.string()));
    const auto map = json.is_object() ? json.find("weight_map") : json.end();
    if (map == json.end() || !map->is_object()) return error(ErrorCode::kInvalidModel, "'{}' has no weight_map", index.string());
    for (const auto& [name, file] : map->items()) {
      if (!file.is_string() || fs::path(file.get<std::string>()).filename() != fs::path(file.get<std::string>()))
        return error(ErrorCode::kInvalidModel, "'{}' does not say in which file of its folder tensor '{}' is", index.string(), name);
      files.insert(file.get<std::string>());
    }
  }
  SafetensorsWeights weights;
  for (const std::string& file : files) {
    CAMEO_ASSIGN(const SafetensorsFile opened, SafetensorsFile::open((root / file).string()));
    for (const auto& [name, tensor] : opened.tensors())
      if (!weights.tensors_.emplace(name, tensor).second)
        return error(ErrorCode::kInvalidModel, "tensor '{}' is in '{}' and in another file of the folder", name, file);
  }
  return weights;
}

Result<Tensor> SafetensorsWeights::floats(const std::string& name, const Dims& dims) {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) return error(ErrorCode::kInvalidModel, "the files have no tensor '{}'", name);
  const Tensor& tensor = it->second;
  if (tensor.dims() != dims)
    return error(ErrorCode::kInvalidModel, "tensor '{}' has shape {} where the configuration asks for {}", name, tensor.dims().to_string(),
                 dims.to_string());
  if (tensor.dtype() == DType::kFloat32) return tensor;
  if (tensor.dtype() != DType::kFloat16 && tensor.dtype() != DType::kBfloat16 && tensor.dtype() != DType::kFloat64)
    return error(ErrorCode::kUnsupported, "tensor '{}' is {}; float32, float16, bfloat16 and float64 can be read", name,
                 dtype_name(tensor.dtype()));
  CAMEO_ASSIGN(Tensor wide, Tensor::allocate(DType::kFloat32, dims));
  CAMEO_TRY(ops::cast_tensor(tensor, wide, {}));
  return wide;
}

}  // namespace cameo::huggingface
