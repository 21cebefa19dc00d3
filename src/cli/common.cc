#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <numeric>
#include <random>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "cli/cli.h"
#include "ops/cameo_pointwise.h"
#include "ops/dispatch.h"
#include "passes/pass.h"
#include "plan/layout.h"

namespace cameo::cli {
namespace {

Result<Dims> parse_dims(const std::string& text) {
  Dims dims;
  if (text == "scalar") return dims;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('x', at), text.size());
    const std::string part = text.substr(at, end - at);
    if (part.empty() || part.size() > 18 || part.find_first_not_of("0123456789") != std::string::npos)
      return error(ErrorCode::kInvalidArgument, "'{}' is no shape; write extents as in 1x3x224x224, or scalar", text);
    dims.push_back(std::stoll(part));
    at = end + 1;
  }
  return dims;
}

}  // namespace

Result<std::map<std::string, Dims>> parse_shapes(const std::string& text) {
  std::map<std::string, Dims> shapes;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, end - at);
    at = end + 1;
    const size_t colon = part.rfind(':');
    if (colon == std::string::npos || colon == 0)
      return error(ErrorCode::kInvalidArgument, "'{}' is no name:shape; write for example input_ids:1x16,attention_mask:1x16", part);
    std::string name = part.substr(0, colon);
    if (name.size() >= 2 && name.front() == '\'' && name.back() == '\'') name = name.substr(1, name.size() - 2);
    CAMEO_ASSIGN(Dims dims, parse_dims(part.substr(colon + 1)));
    if (!shapes.emplace(name, std::move(dims)).second)
      return error(ErrorCode::kInvalidArgument, "the shape of '{}' is given twice in '{}'", name, text);
  }
  return shapes;
}

Result<std::map<std::string, Dims>> parse_input_shapes(const std::string& text, const Engine& engine) {
  if (text.empty()) return std::map<std::string, Dims>();
  CAMEO_ASSIGN(auto shapes, parse_shapes(text));
  for (const auto& [name, dims] : shapes) {
    std::string names;
    bool known = false;
    for (const TensorInfo& info : engine.inputs()) {
      known |= info.name == name;
      names += (names.empty() ? "'" : ", '") + info.name + "'";
    }
    if (!known) return error(ErrorCode::kInvalidArgument, "--shapes: the model has no input '{}'; it has {}", name, names);
  }
  return shapes;
}

Result<std::vector<Profile>> make_profiles(const std::vector<std::string>& min, const std::vector<std::string>& opt,
                                           const std::vector<std::string>& max) {
  const size_t count = std::max({min.size(), opt.size(), max.size()});
  std::vector<Profile> profiles(count);
  for (size_t p = 0; p < count; ++p) {
    std::map<std::string, Dims> low, best, high;
    const auto parse = [&](const std::vector<std::string>& texts, std::map<std::string, Dims>& shapes) -> Status {
      if (p < texts.size()) {
        CAMEO_ASSIGN(shapes, parse_shapes(texts[p]));
      }
      return {};
    };
    CAMEO_TRY(parse(min, low));
    CAMEO_TRY(parse(opt, best));
    CAMEO_TRY(parse(max, high));
    std::map<std::string, int> names;
    for (const auto* shapes : {&low, &best, &high})
      for (const auto& [name, dims] : *shapes) names[name];
    for (const auto& known : names) {
      const std::string& name = known.first;
      const auto pick = [&name](const auto& first, const auto& second, const auto& third) {
        for (const auto* shapes : {&first, &second, &third})
          if (const auto it = shapes->find(name); it != shapes->end()) return it->second;
        return Dims();
      };
      profiles[p].inputs.push_back({name, pick(low, best, high), pick(best, high, low), pick(high, best, low)});
    }
  }
  return profiles;
}

const std::map<std::string, WeightType>& weight_types() {
  static const std::map<std::string, WeightType> kTypes = {{"fp32", WeightType::kFloat32},
                                                           {"fp16", WeightType::kFloat16},
                                                           {"bf16", WeightType::kBfloat16},
                                                           {"int8", WeightType::kInt8},
                                                           {"int4", WeightType::kInt4}};
  return kTypes;
}

DType type_from_name(std::string_view name) {
  if (name == "fp32") return DType::kFloat32;
  if (name == "fp16") return DType::kFloat16;
  if (name == "bf16") return DType::kBfloat16;
  return dtype_from_name(name);
}

Result<std::map<std::string, DType>> parse_types(const std::string& text, std::string_view flag) {
  std::map<std::string, DType> types;
  std::istringstream list(text);
  for (std::string item; std::getline(list, item, ',');) {
    const size_t colon = item.rfind(':');
    const std::string name = colon == std::string::npos ? "*" : item.substr(0, colon);
    const DType type = type_from_name(std::string_view(item).substr(colon == std::string::npos ? 0 : colon + 1));
    if (name.empty() || type == DType::kUndefined)
      return error(ErrorCode::kInvalidArgument, "{}: '{}' must be a type, such as fp16, for all floats, or NAME:TYPE, such as pixels:uint8",
                   flag, item);
    if (!types.emplace(name, type).second) return error(ErrorCode::kInvalidArgument, "{}: '{}' is given twice", flag, name);
  }
  if (types.empty()) return error(ErrorCode::kInvalidArgument, "{} is empty", flag);
  return types;
}

Result<std::vector<std::string>> read_lines(const std::string& file) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file);
    if (!opened) return error(ErrorCode::kIo, "cannot read '{}'", file);
  }
  std::istream& in = file == "-" ? std::cin : opened;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(std::move(line));
  }
  if (in.bad()) return error(ErrorCode::kIo, "cannot read '{}'", file);
  return lines;
}

bool is_plan_file(const std::string& path) {
  const auto file = map_file(path);
  return file.ok() && file->bytes.size() >= sizeof plan::kMagic && std::memcmp(file->bytes.data(), plan::kMagic, sizeof plan::kMagic) == 0;
}

Result<Plan> load_or_build(const std::string& path, const BuildOptions& options, Logger& logger) {
  if (is_plan_file(path)) return Plan::load(path);
  return Builder(logger).build(path, options);
}

void add_device_options(CLI::App& app, BuildOptions& build) {
  app.add_option("--device", build.device, "Where a model is built to run: cpu, or cuda for an NVIDIA GPU (plans know theirs)")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  const auto precision = [&](const char* flag, DevicePrecision value, const char* help) {
    return app.add_flag_callback(
        flag, [&build, value] { build.precision = value; }, help);
  };
  CLI::Option* fp16 =
      precision("--fp16", DevicePrecision::kFloat16, "On a GPU: products, convolutions and activations in float16, sums in float32");
  CLI::Option* bf16 = precision("--bf16", DevicePrecision::kBfloat16, "The same in bfloat16");
  CLI::Option* tf32 = precision("--tf32", DevicePrecision::kTf32, "On a GPU: operands of float32 products rounded to 10 bits of mantissa");
  fp16->excludes(bf16)->excludes(tf32);
  bf16->excludes(tf32);
  app.add_flag("--allow-cpu-fallback", build.cpu_fallback, "What the GPU cannot run may run on the CPU, with the copies that takes");
  app.add_flag("--portable", build.portable, "On a GPU: no choices of kernels in the plan, and none measured where it is loaded");
  app.add_flag("--deterministic", build.deterministic, "On a GPU: the same bits in every run and process");
}

std::vector<std::string> passes_with_own_operators() {
  std::vector<std::string> names;
  // Of the late passes this one works on the operators of ONNX.
  for (const passes::Pass* pass : passes::all_passes())
    if (pass->late && pass->name != "fold_batch_norm") names.emplace_back(pass->name);
  return names;
}

std::function<bool(std::string_view, double)> progress_bar() {
  if (!isatty(STDERR_FILENO)) return {};
  return [](std::string_view stage, double done) {
    constexpr int kWidth = 30;
    const int filled = static_cast<int>(done * kWidth);
    std::fprintf(stderr, "\r[%.*s%*s] %3.0f %% %-24.*s", filled, "##############################", kWidth - filled, "", done * 100,
                 static_cast<int>(stage.size()), stage.data());
    if (done >= 1) std::fprintf(stderr, "\r%*s\r", 70, "");
    return true;
  };
}

Result<Tensor> random_tensor(const TensorInfo& info, const Dims& shape, uint64_t seed) {
  CAMEO_ASSIGN(Tensor tensor, Tensor::allocate(info.dtype, shape));
  std::mt19937_64 random(seed ^ std::hash<std::string>{}(info.name));
  const bool mask = info.name.find("mask") != std::string::npos;
  const int64_t n = tensor.num_elements();
  switch (info.dtype) {
    case DType::kString:
      return tensor;
    case DType::kBool:
      std::fill_n(tensor.data<uint8_t>(), n, 1);
      return tensor;
    case DType::kInt4:
    case DType::kUint4:
    case DType::kInt2:
    case DType::kUint2:
    case DType::kFloat4E2M1:
      for (int64_t i = 0; i < n; ++i) tensor.data<uint8_t>()[i] = static_cast<uint8_t>(random() % 2);
      return tensor;
    case DType::kFloat8E4M3FN:
    case DType::kFloat8E4M3FNUZ:
    case DType::kFloat8E5M2:
    case DType::kFloat8E5M2FNUZ:
    case DType::kFloat8E8M0:
      for (int64_t i = 0; i < n; ++i) tensor.data<uint8_t>()[i] = static_cast<uint8_t>(random() % 0x40);
      return tensor;
    case DType::kComplex64:
      for (int64_t i = 0; i < 2 * n; ++i) tensor.data<float>()[i] = static_cast<float>(random() >> 40) * 0x1p-23f - 1.f;
      return tensor;
    default:
      break;
  }
  const auto filled = ops::dispatch_numbers(info.dtype, "a made-up input", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < n; ++i) {
      if constexpr (std::is_integral_v<T>)
        tensor.data<T>()[i] = static_cast<T>(mask ? 1 : random() % 10);
      else
        tensor.data<T>()[i] = static_cast<T>(static_cast<compute_t<T>>(static_cast<double>(random() >> 11) * 0x1p-52 - 1.0));
    }
    return {};
  });
  CAMEO_TRY(filled);
  return tensor;
}

Dims choose_shape(const TensorInfo& info, const std::map<std::string, Dims>& shapes, std::span<const Profile> profiles, size_t profile) {
  if (const auto it = shapes.find(info.name); it != shapes.end()) return it->second;
  if (profile < profiles.size())
    for (const InputRange& r : profiles[profile].inputs)
      if (r.name == info.name) return r.opt;
  Dims dims;
  for (const DimInfo& d : info.dims) dims.push_back(d.value >= 0 ? d.value : 1);
  return dims;
}

std::string attributes_text(const ir::Node& node) {
  const auto* fused = dynamic_cast<const ops::ProgramAttrs*>(node.attrs.get());
  std::string text = ir::to_string(*node.attrs);
  if (fused == nullptr) return text;
  // The operator's own inputs come first; what it makes of them is the program's first input.
  const size_t own = node.op->name == "Pointwise" ? 0 : 2, made = own > 0 ? 1 : 0;
  if (node.inputs.size() < own) return text;
  const auto program = ops::decode_point_program(static_cast<int>(node.inputs.size() - own + made), fused->program, fused->constants);
  if (!program.ok()) return text;
  const size_t at = text.find("program=["), end = text.find(']', text.find("constants=["));
  if (at == std::string::npos || end == std::string::npos) return text;
  const std::string code = ops::to_string(*program);
  return text.replace(at, end + 1 - at, "program: " + (code.empty() ? "none" : code));
}

std::string human_bytes(size_t bytes) {
  const char* units[] = {"bytes", "KB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace cameo::cli
