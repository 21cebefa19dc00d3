// Finds the layers of encoders in models built for a GPU, at shapes of few rows, and compares what they say with the graph, on the
// host; needs no GPU.
//   cuda_encoder_graph_test {MODEL LAYERS}...
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "backends/cuda/encoder_graph.h"
#include "backends/cuda/kernels/encoder_layers.h"
#include "base/error.h"
#include "cameo/builder.h"
#include "ops/evaluate.h"
#include "plan/content.h"

namespace cameo::cuda {
namespace {

constexpr DeviceTraits kDevice{.capability = 90, .multiprocessors = 132, .shared_memory = 227 * 1024};

using Rows = std::vector<float>;

// What the kernel is to compute of a chain, from what the graph makes.
class Plain {
 public:
  Plain(const EncoderChain& chain, const std::vector<ops::RtValue>& values) : chain_(chain), a_(chain.args), values_(values) {}

  Rows run() const {
    const int rows = a_.batch * a_.tokens, h = a_.hidden;
    Rows x = rows_of(chain_.inputs[0]);
    if (chain_.first.value != ir::kNoValue) x = norm(x, chain_.first, chain_.first_bias);
    for (const EncoderChain::Layer& l : chain_.layers) {
      const Rows in = a_.pre ? norm(x, l.norm1, l.norm1_bias) : x;
      Rows y = times(attention(in, l), l.out, l.out_bias, h, h);
      for (int i = 0; i < rows * h; ++i) y[i] += x[i];
      x = a_.pre ? y : norm(y, l.norm1, l.norm1_bias);
      Rows u = times(a_.pre ? norm(x, l.norm2, l.norm2_bias) : x, l.up, l.up_bias, a_.ffn, h);
      for (float& f : u) f = activated(f);
      y = times(u, l.down, l.down_bias, h, a_.ffn);
      for (int i = 0; i < rows * h; ++i) y[i] += x[i];
      x = a_.pre ? y : norm(y, l.norm2, l.norm2_bias);
    }
    return x;
  }
  Rows rows_of(ir::ValueId id) const {
    const Tensor& t = values_[id].tensor;
    return Rows(t.data<float>(), t.data<float>() + t.num_elements());
  }

 private:
  const float* at(const EncoderConstant& c) const { return values_[c.value].tensor.data<float>(); }
  Rows times(const Rows& x, const EncoderConstant& w, const EncoderConstant& bias, int n, int k) const {
    const int rows = static_cast<int>(x.size()) / k;
    const int64_t columns = values_[w.value].tensor.dims()[1];
    Rows y(static_cast<size_t>(rows) * n);
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < k; ++j)
        for (int i = 0; i < n; ++i)
          y[r * n + i] += x[r * k + j] * (w.transposed ? at(w)[(w.first + i) * k + j] : at(w)[j * columns + w.first + i]);
    for (size_t i = 0; i < y.size() && bias.value != ir::kNoValue; ++i) y[i] += at(bias)[bias.first + static_cast<int64_t>(i) % n];
    return y;
  }
  Rows norm(const Rows& x, const EncoderConstant& weight, const EncoderConstant& bias) const {
    const int n = a_.hidden;
    Rows y(x.size());
    for (size_t r = 0; r < x.size(); r += n) {
      double mean = 0, squares = 0;
      for (int i = 0; i < n; ++i) mean += x[r + i] / n;
      for (int i = 0; i < n; ++i) squares += (x[r + i] - mean) * (x[r + i] - mean) / n;
      for (int i = 0; i < n; ++i)
        y[r + i] = static_cast<float>((x[r + i] - mean) / std::sqrt(squares + a_.epsilon)) * at(weight)[i] +
                   (bias.value == ir::kNoValue ? 0.f : at(bias)[i]);
    }
    return y;
  }
  float activated(float x) const {
    if (a_.activation == Activation::kRelu) return std::max(x, 0.f);
    if (a_.activation == Activation::kGeluTanh) return 0.5f * x * (1 + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
    if (a_.activation == Activation::kSilu) return x / (1 + std::exp(-x));
    return 0.5f * x * (1 + std::erf(x * 0.70710678f));
  }
  float score(int b, int head, int i, int j) const {
    float s = 0;
    if (chain_.table.defined()) s += chain_.table.data<float>()[head * a_.relative_stride + a_.relative_origin + j - i];
    if (a_.causal && j > i) return -INFINITY;
    if (a_.bias_type == BiasType::kNone) return s;
    if (j >= a_.bias_keys) return -INFINITY;
    // The graph may repeat what a run does not.
    const Tensor& mask = values_[chain_.inputs[1]].tensor;
    const Dims& dims = mask.dims();
    const int64_t places[] = {b, head, i, j};
    int64_t k = 0;
    for (size_t axis = 0; axis < dims.rank(); ++axis) k = k * dims[axis] + (dims[axis] == 1 ? 0 : places[4 - dims.rank() + axis]);
    if (a_.bias_type == BiasType::kBool) return static_cast<const uint8_t*>(mask.raw())[k] ? s : -INFINITY;
    return s + mask.data<float>()[k];
  }
  Rows attention(const Rows& x, const EncoderChain::Layer& l) const {
    const int h = a_.hidden, d = a_.head_size, t = a_.tokens;
    Rows parts[3], y(x.size());
    for (int i = 0; i < 3; ++i) parts[i] = times(x, l.weight[i], l.bias[i], h, h);
    for (int b = 0; b < a_.batch; ++b)
      for (int head = 0; head < a_.heads; ++head)
        for (int i = 0; i < t; ++i) {
          const auto place = [&](int row) { return (b * t + row) * h + head * d; };
          std::vector<float> e(t);
          float peak = -INFINITY, total = 0;
          for (int j = 0; j < t; ++j) {
            float s = 0;
            for (int c = 0; c < d; ++c) s += parts[0][place(i) + c] * parts[1][place(j) + c];
            peak = std::max(peak, e[j] = s * a_.scale + score(b, head, i, j));
          }
          for (int j = 0; j < t; ++j) e[j] = peak == -INFINITY ? 0 : std::exp(e[j] - peak), total += e[j];
          for (int j = 0; j < t && total > 0; ++j)
            for (int c = 0; c < d; ++c) y[place(i) + c] += e[j] / total * parts[2][place(j) + c];
        }
    return y;
  }

  const EncoderChain& chain_;
  const EncoderArgs& a_;
  const std::vector<ops::RtValue>& values_;
};

// All values of the graph, with tokens drawn and the last of each row but the first masked.
Result<std::vector<ops::RtValue>> evaluate(const ir::Graph& graph, int64_t batch, int64_t tokens) {
  std::vector<ops::RtValue> values(graph.values.size());
  for (size_t id = 0; id < values.size(); ++id)
    if (graph.values[id].is_constant()) values[id] = ops::RtValue::of(graph.values[id].constant);
  for (ir::ValueId id : graph.inputs) {
    CAMEO_ASSIGN(Tensor t, Tensor::allocate(DType::kInt64, {batch, tokens}));
    const std::string& name = graph.value(id).name;
    for (int64_t i = 0; i < batch * tokens; ++i)
      t.data<int64_t>()[i] = name == "attention_mask" ? i < tokens || i % tokens + 1 < tokens : name == "input_ids" ? 5 + i * 37 % 900 : 0;
    values[id] = ops::RtValue::of(std::move(t));
  }
  for (const ir::Node& node : graph.nodes) {
    std::vector<ops::RtValue> inputs;
    for (ir::ValueId id : node.inputs) inputs.push_back(id == ir::kNoValue ? ops::RtValue() : values[id]);
    CAMEO_ASSIGN(std::vector<ops::RtValue> outputs, ops::evaluate_node(node, inputs, {}));
    for (size_t i = 0; i < node.outputs.size(); ++i)
      if (node.outputs[i] != ir::kNoValue) values[node.outputs[i]] = std::move(outputs[i]);
  }
  return values;
}

bool has_chains() {
  EncoderArgs some;
  some.layers = 1, some.batch = 1, some.tokens = 32, some.hidden = 64, some.heads = 1, some.head_size = 64, some.ffn = 64;
  return !encoder_chain_refusal(some, kDevice);
}

// A chain of all the layers takes all steps that it does but one, and leaves the others as they were.
Status find_in(const char* path, size_t layers) {
  CAMEO_ASSIGN(const Plan plan, Builder().build(path, {.device = "cuda", .precision = DevicePrecision::kFloat16}));
  CAMEO_ASSIGN(const plan::Content content, plan::read(plan, false));
  const ir::Graph& graph = content.graph;
  for (const auto& [batch, tokens] : {std::pair<int64_t, int64_t>{1, 1}, {1, 16}, {2, 7}, {4, 4}, {1, 17}, {2, 37}, {1, 129}}) {
    std::vector<ops::Fact> facts;
    for (ir::ValueId id : graph.inputs) {
      const size_t rank = graph.value(id).type.shape ? graph.value(id).type.shape->size() : 0;
      if (rank != 2) return error(ErrorCode::kUnsupported, "inputs are not [batch, tokens]");
      facts.push_back(ops::Fact::of(ir::Type::tensor(graph.value(id).type.dtype, ir::to_shape(Dims{batch, tokens}))));
    }
    CAMEO_ASSIGN(runtime::Specialization spec, runtime::specialize(graph, facts));
    CAMEO_ASSIGN(const Simplified simplified, simplify(graph, spec));
    const size_t before = spec.steps.size();
    const std::vector<EncoderChain> found = find_encoders(graph, spec, simplified, Scalar::kFloat16, kDevice);
    // The chain of kernels is there only where there is a GPU.
    const bool few = batch * tokens <= kEncoderRows && (tokens <= kEncoderFewTokens || !has_chains()),
               more = !few && batch * tokens <= kEncoderChainRows && has_chains();
    const size_t expected = (few || more) && layers > 0 ? 1 : 0;
    if (found.size() != expected) return error(ErrorCode::kInternal, "{} chains at {}x{}", found.size(), batch, tokens);
    if (found.empty()) continue;
    const EncoderChain& chain = found[0];
    if (chain.persistent != few) return error(ErrorCode::kInternal, "the wrong kernels at {}x{}", batch, tokens);
    if (chain.layers.size() != layers) return error(ErrorCode::kInternal, "{} layers at {}x{}", chain.layers.size(), batch, tokens);
    CAMEO_ASSIGN(const std::vector<ops::RtValue> values, evaluate(graph, batch, tokens));
    const Plain plain(chain, values);
    const Rows want = plain.rows_of(chain.output), got = plain.run();
    double difference = 0, size = 0;
    for (size_t i = 0; i < want.size(); ++i) difference += (got[i] - want[i]) * (got[i] - want[i]), size += want[i] * want[i];
    if (got.size() != want.size() || !(difference <= 1e-8 * size))
      return error(ErrorCode::kInternal, "at {}x{} the layers give other numbers than the graph: {}", batch, tokens,
                   std::sqrt(difference / size));
    const uint32_t node = replace_steps(chain, graph, spec);
    if (graph.nodes[node].outputs[0] != chain.output || before - spec.steps.size() != chain.nodes.size() - 1)
      return error(ErrorCode::kInternal, "steps were lost at {}x{}", batch, tokens);
    std::printf("%s %lldx%lld: %zu layers, %d heads of %d, ffn %d, %s norm, %s%s, %zu of %zu steps are left, error %.1e\n", path,
                static_cast<long long>(batch), static_cast<long long>(tokens), chain.layers.size(), chain.args.heads, chain.args.head_size,
                chain.args.ffn, chain.args.pre ? "pre" : "post", chain.inputs[1] == ir::kNoValue ? "no mask" : "a mask",
                chain.table.defined() ? ", a relative bias" : "", spec.steps.size(), before, std::sqrt(difference / size));
  }
  return {};
}

}  // namespace
}  // namespace cameo::cuda

int main(int argc, char** argv) {
  int failed = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    const cameo::Status status = cameo::cuda::find_in(argv[i], static_cast<size_t>(std::atoi(argv[i + 1])));
    if (status.ok()) continue;
    ++failed;
    std::printf("FAIL %s: %s\n", argv[i], status.error().message().c_str());
  }
  return failed == 0 ? 0 : 1;
}
