// Nodes that read only constants are evaluated, as far as that pays: within a budget of bytes, and not where a small constant
// would become a large one (Expand, Tile, ConstantOfShape, Range), which the node makes faster than a file is read.
#include <algorithm>
#include <cmath>

#include "ops/evaluate.h"
#include "passes/pass.h"

namespace cameo::passes {
namespace {

// A result up to this size is worth its bytes whatever it is made from.
constexpr int64_t kAlwaysKeptBytes = 64 << 10;
// Beyond that a result may have this many times the bytes of what it is made from; 8 lets every Cast through.
constexpr int64_t kMaxGrowth = 8;
// Multiplications that one node may take. The reference implementations make about 1e9 a second.
constexpr double kMaxWork = 2e9;

bool is_any_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Quantised weights stay small, and low-precision kernels look for these nodes.
bool keeps_weights_small(const ir::Node& node) {
  return is_any_of(node.op->name, {"DequantizeLinear", "QuantizeLinear", "DynamicQuantizeLinear", "BlockwiseDequantizeLinear"});
}

// Whether the node's work may be more than a few steps per element that it reads or writes.
bool is_heavy(const ir::Node& node) {
  return is_any_of(node.op->name, {"MatMul",      "MatMulInteger", "QLinearMatMul", "Gemm",       "Einsum",   "Conv",
                                   "ConvInteger", "QLinearConv",   "ConvTranspose", "DeformConv", "LSTM",     "GRU",
                                   "RNN",         "Attention",     "DFT",           "STFT",       "Det",      "NonMaxSuppression",
                                   "LpPool",      "MaxPool",       "AveragePool",   "Resize",     "RoiAlign", "StringNormalizer"});
}

// Whether the node transposes a large constant that is also read as it is, for products alone: those read it either way.
bool shares_weights(const GraphView& view, const ir::Graph& graph, const ir::Node& node) {
  if (node.op->name != "Transpose" || !node.op->domain.empty() || view.uses(node.inputs[0]) < 2 || view.is_output(node.outputs[0]))
    return false;
  const Tensor* weights = view.constant(node.inputs[0]);
  if (weights == nullptr || weights->rank() != 2 || weights->dtype() != DType::kFloat32 ||
      static_cast<int64_t>(weights->num_bytes()) <= kAlwaysKeptBytes)
    return false;
  size_t uses = 0;
  for (const ir::Node& user : graph.nodes)
    if (is_any_of(user.op->name, {"MatMul", "Gemm"}))
      uses += static_cast<size_t>(std::count(user.inputs.begin(), user.inputs.begin() + 2, node.outputs[0]));
  return uses == view.uses(node.outputs[0]);
}

class Folder {
 public:
  explicit Folder(PassContext& context) : context_(context), editor_(context.editor) {}

  Status run() {
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index))
      if (editor_.alive(index)) CAMEO_TRY(fold(index));
    return {};
  }

 private:
  Status fold(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    if ((node.op->flags & (ops::kRandom | ops::kControlFlow | ops::kNotFolded)) || !node.subgraphs.empty() || keeps_weights_small(node))
      return {};
    if (shares_weights(editor_, editor_.graph(), node))
      return note(node, "its input is also read as it is; the products read it so as well");
    int64_t bytes_in = 0;
    int64_t bytes_freed = 0;  // of constants that nothing else reads
    int64_t elements_in = 0;
    double work = 1;
    for (ir::ValueId id : node.inputs) {
      if (id == ir::kNoValue) continue;
      const Tensor* t = editor_.constant(id);
      if (t == nullptr) return {};
      bytes_in += static_cast<int64_t>(t->num_bytes());
      if (editor_.uses(id) == 1) bytes_freed += static_cast<int64_t>(t->num_bytes());
      elements_in += t->num_elements();
      work *= static_cast<double>(std::max<int64_t>(t->num_elements(), 1));
    }
    int64_t bytes_out = 0;
    bool known = true;  // inference has the outputs already
    for (ir::ValueId id : node.outputs) {
      if (id == ir::kNoValue) continue;
      const ops::Fact& fact = editor_.fact(id);
      if (fact.type.kind != ir::Type::Kind::kTensor && fact.type.kind != ir::Type::Kind::kUnknown) return {};
      known &= fact.constant.defined();
      if (!fact.type.is_concrete()) continue;
      const auto elements = ir::to_dims(*fact.type.shape)->checked_num_elements();
      if (!elements.ok() || *elements > (int64_t{1} << 40)) return {};
      bytes_out += *elements * static_cast<int64_t>(dtype_size(fact.type.dtype));
      work *= static_cast<double>(std::max<int64_t>(*elements, 1));
    }
    if (std::string refusal = too_large(bytes_in, bytes_freed, bytes_out); !refusal.empty()) return note(node, refusal);
    // For a product of matrices the root of the three sizes multiplied is the number of multiplications.
    if (!known && is_heavy(node) && elements_in > 4096 && std::sqrt(work) > kMaxWork) return note(node, "it takes too long to evaluate");

    std::vector<Tensor> outputs(node.outputs.size());
    if (known) {
      for (size_t i = 0; i < outputs.size(); ++i)
        if (node.outputs[i] != ir::kNoValue) outputs[i] = *editor_.constant(node.outputs[i]);
    } else {
      std::vector<ops::RtValue> inputs(node.inputs.size());
      for (size_t i = 0; i < inputs.size(); ++i)
        if (node.inputs[i] != ir::kNoValue) inputs[i] = ops::RtValue::of(*editor_.constant(node.inputs[i]));
      auto made = ops::evaluate_node(node, inputs, {}, {.check_cancelled = context_.options.check_cancelled});
      if (context_.options.check_cancelled) CAMEO_TRY(context_.options.check_cancelled());
      // It may stand in a branch that is never taken; if not, running it gives the same error.
      if (!made.ok()) return note(node, made.error().message());
      bytes_out = 0;
      for (size_t i = 0; i < outputs.size(); ++i) {
        if (node.outputs[i] == ir::kNoValue) continue;
        if (!(*made)[i].is_tensor() || !(*made)[i].tensor.defined()) return {};
        outputs[i] = std::move((*made)[i].tensor);
        bytes_out += static_cast<int64_t>(outputs[i].num_bytes());
      }
      if (std::string refusal = too_large(bytes_in, bytes_freed, bytes_out); !refusal.empty()) return note(node, refusal);
    }
    context_.folding_budget_left -= std::max<int64_t>(bytes_out - bytes_freed, 0);
    ++context_.report.changes;
    editor_.fold(index, outputs);
    return {};
  }

  std::string too_large(int64_t bytes_in, int64_t bytes_freed, int64_t bytes_out) const {
    if (bytes_out - bytes_freed > context_.folding_budget_left)
      return fmt::format("its result adds {} bytes, more than the {} left of the folding budget", bytes_out - bytes_freed,
                         context_.folding_budget_left);
    if (bytes_out > kAlwaysKeptBytes && bytes_out / kMaxGrowth > bytes_in)
      return fmt::format("it makes {} bytes out of {}", bytes_out, bytes_in);
    return {};
  }

  Status note(const ir::Node& node, std::string_view reason) {
    context_.note(node, reason);
    return {};
  }

  PassContext& context_;
  Editor& editor_;
};

Status run(PassContext& context) { return Folder(context).run(); }

}  // namespace

CAMEO_DEFINE_PASS(constant_folding) = {
    .name = "constant_folding",
    .summary = "evaluates nodes that read only constants",
    .run = &run,
};

}  // namespace cameo::passes
