// Makes every step of the official ONNX cases ready for a GPU that is not there: each generated kernel is compiled to machine code.
//   cuda_codegen_test CASES_DIR [--filter=TEXT,TEXT] [--precision=fp16] [--amd=gfx90a,gfx1030]
// With --amd it compiles them by hipRTC for these architectures instead.
#include <cstdio>
#include <cstring>
#include <string>

#include "../conformance/case.h"
#include "backends/cuda/hip/rtc.h"
#include "backends/cuda/runner.h"
#include "cameo/builder.h"
#include "ops/value.h"
#include "plan/content.h"

namespace cameo::cuda {
namespace {

// Empty when all is well, "unsupported: …" for what the device does not have.
std::string check(const conformance::Case& c, Device& device, runtime::Precision precision) {
  auto plan = Builder().build(c.model_path, {.device = "cuda", .precision = static_cast<DevicePrecision>(precision)});
  if (!plan.ok()) return (plan.error().code() == ErrorCode::kUnsupported ? "unsupported: " : "build: ") + plan.error().message();
  auto content = plan::read(*plan, false);
  if (!content.ok()) return content.error().message();
  WeightStore weights(device);
  Session session{device, weights, std::make_shared<MemoryPool>()};
  session.precision = precision;
  Runner runner(content->graph, session, true);
  std::vector<ops::Fact> facts;
  for (ir::ValueId id : content->graph.inputs) {
    const std::string& name = content->graph.value(id).name;
    for (const auto& [input, value] : c.inputs)
      if (input == name) facts.push_back(ops::Fact::of(ops::type_of(value)));
  }
  if (facts.size() != content->graph.inputs.size()) return "";
  auto made = runner.specialization(facts);
  if (!made.ok()) return made.error().message();
  // Steps whose extents depend on data are made in the run alone: here for the inputs of the case.
  for (const ir::Node& node : content->graph.nodes) {
    const DeviceOp* op = find_device_op(node);
    if (!op || !op->bound) continue;
    std::vector<View> views;
    for (ir::ValueId id : node.inputs) {
      View& view = views.emplace_back();
      for (const auto& [input, value] : c.inputs)
        if (id != ir::kNoValue && input == content->graph.value(id).name)
          view = {.dtype = value.tensor.dtype(), .storage = value.tensor.dtype(), .dims = value.tensor.dims(), .value = value.tensor};
      if (id != ir::kNoValue && view.dtype == DType::kUndefined) return "";
      if (!(op->host_inputs >> (views.size() - 1) & 1)) view.value = {};
    }
    const auto bound = op->bound(node, Attributes(*node.attrs), views);
    if (!bound.ok()) return bound.error().message();
    const DType type = content->graph.value(node.outputs[0]).type.dtype;
    StepBuilder b(
        node, views,
        {{.dtype = type, .storage = type, .dims = bound->dims}, {.dtype = DType::kInt64, .storage = DType::kInt64, .dims = Dims{1}}},
        precision, device, weights);
    if (const Status status = op->make(b); !status.ok()) return status.error().message();
  }
  return "";
}

// Whether one of the texts of the list, separated by commas, is in the name.
bool matches(const std::string& name, const std::string& list) {
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    if (name.find(list.substr(at, end - at)) != std::string::npos) return true;
    at = end + 1;
  }
  return false;
}

int run(int argc, char** argv) {
  std::string folder, filter;
  std::vector<std::string> amd;
  runtime::Precision precision = runtime::Precision::kFloat32;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--filter="))
      filter = argument.substr(9);
    else if (argument.starts_with("--precision="))
      precision = runtime::precision_from_name(argument.substr(12)).value();
    else if (argument.starts_with("--amd="))
      for (size_t at = 6; at <= argument.size();) {
        const size_t end = std::min(argument.find(',', at), argument.size());
        amd.push_back(argument.substr(at, end - at));
        at = end + 1;
      }
    else
      folder = argument;
  }
  auto index = conformance::read_index(folder);
  if (!index.ok()) {
    std::printf("SKIPPED: no cases in '%s'\n", folder.c_str());
    return 0;
  }
  for (const std::string& architecture : amd)
    if (const auto made = hip::compile("extern \"C\" __global__ void k() {}", architecture); !made.ok()) {
      std::printf("SKIPPED: %s\n", made.error().message().c_str());
      return 0;
    }
  const auto device = Device::without_gpu(90, amd);
  int passed = 0, failed = 0, unsupported = 0;
  for (const auto& entry : *index) {
    if (!matches(entry.name, filter)) continue;
    auto c = conformance::read_case(folder, entry, "model.onnx");
    if (!c.ok()) continue;
    const std::string text = check(*c, *device, precision);
    if (text.empty())
      ++passed;
    else if (text.starts_with("unsupported"))
      ++unsupported;
    else
      ++failed;
    if (!text.empty()) std::printf("%s %s: %.1500s\n", text.starts_with("unsupported") ? "none" : "FAIL", entry.name.c_str(), text.c_str());
  }
  std::printf("kernels of %d cases compile, %d do not, %d cases need what the GPU does not have\n", passed, failed, unsupported);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace cameo::cuda

int main(int argc, char** argv) { return cameo::cuda::run(argc, argv); }
