// Fuses the steps of models that put elements elsewhere, at a batch of 2, and compares what the fused steps say with what the graph's
// nodes make, on the host; where NVRTC is there, it compiles their kernels. Needs no GPU.
//   cuda_layout_fusion_test MODEL...
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backends/cuda/layout_fusion.h"
#include "backends/cuda/simplify.h"
#include "base/error.h"
#include "cameo/builder.h"
#include "ops/evaluate.h"
#include "ops/pointwise_program.h"
#include "plan/content.h"

namespace cameo::cuda {
namespace {

using Kind = LayoutExpression::Kind;

// What a fused step reads: numbers that tell elements apart.
Result<Tensor> numbered(const ir::Type& type, const Dims& dims) {
  CAMEO_ASSIGN(Tensor t, Tensor::allocate(type.dtype, dims));
  for (int64_t i = 0; i < t.num_elements(); ++i) {
    const int64_t n = (i * 7919 + 13) % 65521;
    if (type.dtype == DType::kFloat32)
      t.data<float>()[i] = static_cast<float>(n) / 256.f - 100.f;
    else
      std::memset(static_cast<std::byte*>(t.raw()) + static_cast<size_t>(i) * dtype_size(type.dtype), static_cast<int>(n % 2),
                  dtype_size(type.dtype));
  }
  return t;
}

class Check {
 public:
  Check(const ir::Graph& graph, const runtime::Specialization& spec) : graph_(graph), spec_(spec) {}

  // Whether the expression gives what the node does.
  Status compare(uint32_t node, const FusedLayout& layout) {
    values_.assign(spec_.values.size(), {});
    leaves_.clear();
    for (ir::ValueId id : layout.inputs) {
      const auto dims = ir::to_dims(*spec_.facts[id].type.shape);
      if (spec_.facts[id].constant.defined()) {
        values_[id] = ops::RtValue::of(spec_.facts[id].constant);
      } else {
        CAMEO_ASSIGN(Tensor t, numbered(spec_.facts[id].type, *dims));
        values_[id] = ops::RtValue::of(std::move(t));
      }
      leaves_.push_back(values_[id].tensor);
    }
    const ir::ValueId out = graph_.nodes[node].outputs[0];
    CAMEO_TRY(make(out));
    const Tensor& want = values_[out].tensor;
    if (!(want.dims() == layout.expression.dims)) return error(ErrorCode::kInternal, "other extents");
    const size_t size = dtype_size(want.dtype());
    std::vector<int64_t> at(want.rank(), 0);
    const int64_t step = want.num_elements() > 20000 ? 37 : 1;
    for (int64_t i = 0; i < want.num_elements(); i += step) {
      int64_t rest = i;
      for (size_t a = want.rank(); a-- > 0; rest /= want.dims()[a]) at[a] = rest % want.dims()[a];
      const auto* expected = static_cast<const std::byte*>(want.raw()) + static_cast<size_t>(i) * size;
      if (layout.expression.kind == Kind::kProgram) {
        std::vector<float> x;
        for (const LayoutExpression& e : layout.expression.from) {
          float f = 0;
          std::memcpy(&f, element(e, at), sizeof f);
          x.push_back(f);
        }
        const float got = ops::evaluate(layout.expression.program, x.data());
        float f = 0;
        std::memcpy(&f, expected, sizeof f);
        if (!(std::abs(got - f) <= 1e-5f * (1 + std::abs(f))))
          return error(ErrorCode::kInternal, "element {} is {} instead of {}", i, got, f);
      } else if (std::memcmp(element(layout.expression, at), expected, size) != 0) {
        return error(ErrorCode::kInternal, "element {} is another", i);
      }
    }
    return {};
  }

 private:
  Status make(ir::ValueId id) {
    if (values_[id].tensor.defined()) return {};
    if (spec_.facts[id].constant.defined()) {
      values_[id] = ops::RtValue::of(spec_.facts[id].constant);
      return {};
    }
    for (const ir::Node& node : graph_.nodes) {
      if (std::find(node.outputs.begin(), node.outputs.end(), id) == node.outputs.end()) continue;
      std::vector<ops::RtValue> inputs;
      for (ir::ValueId in : node.inputs) {
        if (in != ir::kNoValue) CAMEO_TRY(make(in));
        inputs.push_back(in == ir::kNoValue ? ops::RtValue() : values_[in]);
      }
      CAMEO_ASSIGN(std::vector<ops::RtValue> outputs, ops::evaluate_node(node, inputs, {}));
      for (size_t i = 0; i < node.outputs.size(); ++i)
        if (node.outputs[i] != ir::kNoValue && !values_[node.outputs[i]].tensor.defined()) values_[node.outputs[i]] = std::move(outputs[i]);
      return {};
    }
    return error(ErrorCode::kInternal, "value {} is not made", id);
  }

  const std::byte* element(const LayoutExpression& e, std::vector<int64_t> at) const {
    const auto number = [&] {
      int64_t n = 0;
      for (size_t a = 0; a < e.dims.rank(); ++a) n = n * e.dims[a] + at[a];
      return n;
    };
    switch (e.kind) {
      case Kind::kInput: {
        const Tensor& t = leaves_[e.input];
        return static_cast<const std::byte*>(t.raw()) + static_cast<size_t>(number()) * dtype_size(t.dtype());
      }
      case Kind::kReshape: {
        const Dims& dims = e.from[0].dims;
        std::vector<int64_t> from(dims.rank());
        int64_t rest = number();
        for (size_t a = dims.rank(); a-- > 0; rest /= dims[a]) from[a] = rest % dims[a];
        return element(e.from[0], from);
      }
      case Kind::kTranspose: {
        std::vector<int64_t> from;
        for (const int64_t axis : e.numbers) from.push_back(at[static_cast<size_t>(axis)]);
        return element(e.from[0], from);
      }
      case Kind::kSlice:
        for (size_t a = 0; a < at.size(); ++a) at[a] = at[a] * e.numbers[2 * a + 1] + e.numbers[2 * a];
        return element(e.from[0], at);
      case Kind::kExpand: {
        const Dims& dims = e.from[0].dims;
        at.erase(at.begin(), at.end() - static_cast<ptrdiff_t>(dims.rank()));
        for (size_t a = 0; a < at.size(); ++a)
          if (dims[a] == 1) at[a] = 0;
        return element(e.from[0], at);
      }
      default:
        for (const LayoutExpression& part : e.from) {
          if (at[e.axis] < part.dims[e.axis]) return element(part, at);
          at[e.axis] -= part.dims[e.axis];
        }
        std::abort();
    }
  }

  const ir::Graph& graph_;
  const runtime::Specialization& spec_;
  std::vector<ops::RtValue> values_;
  std::vector<Tensor> leaves_;
};

Status fuse_in(const char* path) {
  CAMEO_ASSIGN(const Plan plan, Builder().build(path, {.device = "cuda", .precision = DevicePrecision::kFloat16}));
  CAMEO_ASSIGN(const plan::Content content, plan::read(plan, false));
  const ir::Graph& graph = content.graph;
  std::vector<ops::Fact> facts;
  for (ir::ValueId id : graph.inputs) {
    Dims dims;
    for (const ir::Dim& extent : *graph.value(id).type.shape) dims.push_back(extent.is_const() ? extent.value() : 2);
    facts.push_back(ops::Fact::of(ir::Type::tensor(graph.value(id).type.dtype, ir::to_shape(dims))));
  }
  CAMEO_ASSIGN(runtime::Specialization spec, runtime::specialize(graph, facts));
  CAMEO_ASSIGN(const Simplified simplified, simplify(graph, spec));
  const size_t before = spec.steps.size();
  const auto fused = fuse_layouts(graph, spec, [&](uint32_t n) {
    std::vector<ir::ValueId> inputs = graph.nodes[n].inputs;
    if (const auto image = simplified.images.find(n); image != simplified.images.end()) inputs[0] = image->second;
    if (const auto bias = simplified.biases.find(n); bias != simplified.biases.end()) inputs[3] = bias->second.mask;
    return inputs;
  });
  Check check(graph, spec);
  size_t reads = 0, most = 0;
  for (const auto& [node, layout] : fused) {
    if (auto status = check.compare(node, layout); !status.ok()) return std::move(status).error().in(graph.nodes[node].describe());
    reads += layout.inputs.size(), most = std::max(most, layout.inputs.size());
  }
  const auto device = Device::without_gpu(90, {});
  WeightStore weights(*device);
  bool compiles = true;
  for (const auto& [node, layout] : fused) {
    std::vector<View> inputs;
    for (ir::ValueId id : layout.inputs) {
      View v{.dtype = spec.facts[id].type.dtype, .storage = spec.facts[id].type.dtype, .dims = *ir::to_dims(*spec.facts[id].type.shape)};
      if (v.dtype == DType::kFloat32 && !spec.facts[id].constant.defined()) v.storage = DType::kFloat16;
      v.value = spec.facts[id].constant;
      inputs.push_back(std::move(v));
    }
    const ir::ValueId out = graph.nodes[node].outputs[0];
    View y{.dtype = spec.facts[out].type.dtype, .storage = spec.facts[out].type.dtype, .dims = layout.expression.dims};
    if (y.dtype == DType::kFloat32) y.storage = DType::kFloat16;
    StepBuilder b(graph.nodes[node], std::move(inputs), {y}, runtime::Precision::kFloat16, *device, weights);
    if (const Status made = make_fused_layout(b, layout); !made.ok()) {
      if (made.error().code() != ErrorCode::kUnsupported) return made;
      compiles = false;
    }
  }
  std::printf("%s: %zu of %zu steps are left, %zu with others in them, which read %zu values, one %zu; %s\n", path, spec.steps.size(),
              before, fused.size(), reads, most, compiles ? "their kernels compile" : "no compiler for their kernels");
  return {};
}

}  // namespace
}  // namespace cameo::cuda

int main(int argc, char** argv) {
  int failed = 0;
  for (int i = 1; i < argc; ++i)
    if (const cameo::Status status = cameo::cuda::fuse_in(argv[i]); !status.ok()) {
      std::printf("FAILED: %s: %s\n", argv[i], status.error().message().c_str());
      ++failed;
    }
  return failed > 0;
}
