// Inputs that are given as NAME=VALUE.
#include "base/error.h"
#include "cli/cli.h"

namespace cameo::cli {
namespace {

Result<Tensor> read_value(const std::string& text, const TensorInfo& info) {
  if (text.size() > 4 && text.ends_with(".npy")) {
    CAMEO_ASSIGN(const Tensor tensor, read_npy(text));
    return convert(tensor, info.dtype);
  }
  return parse_literal(text, info.dtype);
}

}  // namespace

Result<std::map<std::string, std::vector<Tensor>>> read_inputs(const Engine& engine, const std::vector<std::string>& texts) {
  std::map<std::string, std::vector<Tensor>> inputs;
  for (const std::string& text : texts) {
    // Names may contain '=', so the longest input name that fits is taken.
    const TensorInfo* best = nullptr;
    for (const TensorInfo& info : engine.inputs())
      if (text.size() > info.name.size() && text.starts_with(info.name) && text[info.name.size()] == '=' &&
          (!best || info.name.size() > best->name.size()))
        best = &info;
    if (!best) {
      std::string names;
      for (const TensorInfo& info : engine.inputs()) names += (names.empty() ? "'" : ", '") + info.name + "'";
      return error(ErrorCode::kInvalidArgument, "--input {}: write NAME=FILE.npy or NAME=[1,2,3]; the model's inputs are {}", text,
                   names.empty() ? "none" : names);
    }
    auto value = read_value(text.substr(best->name.size() + 1), *best);
    if (!value.ok()) return std::move(value).error().in("--input " + best->name);
    inputs[best->name].push_back(std::move(value).value());
    if (best->is_tensor && inputs[best->name].size() > 1)
      return error(ErrorCode::kInvalidArgument, "input '{}' is given twice", best->name);
  }
  return inputs;
}

}  // namespace cameo::cli
