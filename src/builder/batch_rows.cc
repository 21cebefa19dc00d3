#include "builder/batch_rows.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "ops/infer.h"
#include "passes/attributes.h"
#include "passes/elementwise.h"

namespace cameo::builder {
namespace {

using ir::ValueId;
using passes::attr;

// What a value has to do with the batch.
enum class Kind {
  kFixed,  // nothing: the same for every batch
  kRows,   // its first axis is a multiple of the batch, no other axis depends on it, and its rows depend on the same rows only
  kSizes,  // integers computed from the extents of others
};

// Each item of the first axis by itself; other inputs are parameters, or have an item for each.
constexpr std::string_view kPerItem[] = {"AveragePool",
                                         "BatchNormalization",
                                         "Conv",
                                         "ConvTranspose",
                                         "DepthToSpace",
                                         "Float8Conv",
                                         "GlobalAveragePool",
                                         "GlobalMaxPool",
                                         "GroupNormalization",
                                         "InstanceNormalization",
                                         "LRN",
                                         "MaxPool",
                                         "QuantizedConv",
                                         "QuantizedMatMul",
                                         "QuantizedWeightMatMul",
                                         "Resize",
                                         "SpaceToDepth"};
// The first axis is a row of matrices, or the rows of one.
constexpr std::string_view kProducts[] = {"Gemm", "MatMul"};
constexpr std::string_view kAlongAxis[] = {"Concat",  "CumSum", "Hardmax", "LayerNormalization", "LogSoftmax", "RMSNormalization",
                                           "Softmax", "Split",  "TopK"};
constexpr std::string_view kReductions[] = {"ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare"};
constexpr std::string_view kSameElements[] = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"};
constexpr std::string_view kFilled[] = {"ConstantOfShape", "Expand"};

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

class Proof {
 public:
  Proof(const ir::Graph& graph, const std::vector<ops::Fact>& facts, std::string symbol)
      : graph_(graph), facts_(facts), symbol_(std::move(symbol)), kinds_(graph.values.size(), Kind::kFixed) {}

  Status run() {
    for (ValueId id : graph_.inputs) CAMEO_TRY(classify_edge(id, "input"));
    for (const ir::Node& node : graph_.nodes)
      if (auto status = visit(node); !status.ok()) return std::move(status).error().in(node.describe());
    for (ValueId id : graph_.outputs)
      if (kinds_[id] != Kind::kRows) return refuse("output '{}' does not have the batch as its first axis", graph_.value(id).name);
    return {};
  }

 private:
  template <class... Args>
  static Error refuse(fmt::format_string<Args...> text, Args&&... args) {
    return error(ErrorCode::kUnsupported, text, std::forward<Args>(args)...);
  }

  const ir::Shape* shape(ValueId id) const {
    const ir::Type& type = facts_[id].type;
    return type.is_tensor() && type.shape ? &*type.shape : nullptr;
  }
  // The extent for a batch of that size, other symbols being what they may.
  std::optional<int64_t> at(const ir::Dim& dim, int64_t batch) const {
    return dim.evaluate([&](const std::string& symbol) -> std::optional<int64_t> {
      return symbol == symbol_ ? batch : static_cast<int64_t>(64 + std::hash<std::string>()(symbol) % 64);
    });
  }
  bool is_multiple(const ir::Dim& dim) const {
    const auto one = at(dim, 1);
    for (const int64_t batch : kBatches)
      if (!one || *one < 1 || at(dim, batch) != *one * batch) return false;
    return true;
  }
  bool is_fixed(const ir::Dim& dim) const {
    const auto one = at(dim, 1);
    return one && std::all_of(kBatches.begin(), kBatches.end(), [&](int64_t batch) { return at(dim, batch) == one; });
  }
  // Whether the extents are those of rows: the batch in the first axis only.
  bool has_rows(ValueId id) const {
    const ir::Shape* s = shape(id);
    return s != nullptr && !s->empty() && is_multiple(s->front()) &&
           std::all_of(s->begin() + 1, s->end(), [&](const ir::Dim& d) { return is_fixed(d); });
  }
  bool has_fixed(ValueId id) const {
    const ir::Shape* s = shape(id);
    return s != nullptr && std::all_of(s->begin(), s->end(), [&](const ir::Dim& d) { return is_fixed(d); });
  }

  Status classify_edge(ValueId id, std::string_view what) {
    if (has_rows(id))
      kinds_[id] = Kind::kRows;
    else if (!has_fixed(id))
      return refuse("{} '{}' has the batch elsewhere than in its first axis, or extents that are not known", what, graph_.value(id).name);
    return {};
  }

  // Whether sizes are, after all, those of other axes.
  bool is_known(ValueId id) const {
    const ops::Fact& fact = facts_[id];
    if (fact.constant.defined()) return true;
    return fact.values && std::all_of(fact.values->begin(), fact.values->end(), [&](const ir::Dim& d) { return is_fixed(d); });
  }

  Kind kind(const ir::Node& node, size_t i) const {
    return i < node.inputs.size() && node.inputs[i] != ir::kNoValue ? kinds_[node.inputs[i]] : Kind::kFixed;
  }
  size_t rank(ValueId id) const { return shape(id)->size(); }
  const ir::Dim& first(ValueId id) const { return shape(id)->front(); }

  // An operand beside the first input, for results of that shape: rows for rows, or the same for all.
  bool aligned(ValueId id, ValueId output) const {
    if (id == ir::kNoValue) return true;
    if (kinds_[id] == Kind::kRows) return rank(id) == rank(output) && first(id) == first(output);
    return kinds_[id] == Kind::kFixed && shape(id) != nullptr && (rank(id) < rank(output) || first(id).is(1));
  }

  // Axis `name` of a value of that rank, counted from 0; nothing when it is not set.
  static std::optional<int64_t> axis_of(const ir::Node& node, size_t rank) {
    auto axis = attr<int64_t>(node, "axis");
    if (axis && *axis < 0) *axis += static_cast<int64_t>(rank);
    return axis;
  }

  Status visit(const ir::Node& node) {
    bool fixed = true, sizes = false, rows = false;
    ir::for_each_use(node, [&](ValueId id) {
      fixed = fixed && kinds_[id] == Kind::kFixed;
      sizes = sizes || kinds_[id] == Kind::kSizes;
      rows = rows || kinds_[id] == Kind::kRows;
    });
    if (node.op->flags & (ops::kRandom | ops::kControlFlow | ops::kDataDependent))
      return fixed && !(node.op->flags & ops::kRandom) ? Status() : Status(refuse("works on the batch as a whole"));
    if (fixed) return {};
    Kind result = Kind::kRows;
    if (node.op->name == "Shape" || node.op->name == "Size" || (sizes && !rows && !is_one_of(node.op->name, kFilled))) {
      result = Kind::kSizes;
    } else {
      for (ValueId id : node.outputs)
        if (id != ir::kNoValue && !has_rows(id))
          return refuse("output '{}' does not have the batch as its first axis", graph_.value(id).name);
      if (!keeps_rows(node)) return refuse("is not known to keep the rows of a batch apart");
    }
    for (ValueId id : node.outputs)
      if (id != ir::kNoValue) kinds_[id] = result == Kind::kSizes && is_known(id) ? Kind::kFixed : result;
    return {};
  }

  // Outputs have the extents of rows; is their content that of the same rows of the inputs?
  bool keeps_rows(const ir::Node& node) const {
    const std::string_view op = node.op->name;
    const ValueId y = node.outputs[0];
    const auto others_aligned = [&](size_t from) {
      return std::all_of(node.inputs.begin() + static_cast<std::ptrdiff_t>(std::min(from, node.inputs.size())), node.inputs.end(),
                         [&](ValueId id) { return aligned(id, y); });
    };
    if (y == ir::kNoValue) return false;
    if (passes::is_elementwise(node)) return others_aligned(0);
    if (is_one_of(op, kFilled)) return op == "ConstantOfShape" || aligned(node.inputs[0], y);
    if (kind(node, 0) != Kind::kRows) return op == "Gather" && gathers_rows(node);
    const ValueId x = node.inputs[0];
    if (is_one_of(op, kSameElements)) return true;
    if (op == "Transpose") {
      const auto perm = attr<std::vector<int64_t>>(node, "perm");
      return perm && !perm->empty() && perm->front() == 0;
    }
    if (!(first(x) == first(y))) return false;
    if (op == "BatchNormalization" && (node.outputs.size() > 1 || attr<int64_t>(node, "training_mode").value_or(0) != 0)) return false;
    if (is_one_of(op, kPerItem)) return rank(x) == rank(y) && others_are_parameters(node, y);
    if (is_one_of(op, kProducts)) return multiplies_rows(node);
    if (is_one_of(op, kAlongAxis)) return along_other_axis(node);
    if (is_one_of(op, kReductions)) return reduces_others(node);
    if (op == "Gather") return kind(node, 1) == Kind::kFixed && axis_of(node, rank(x)).value_or(0) > 0;
    if (op == "Pad" || op == "Slice") return no_others(node);
    if (op == "Attention" || op == "RotaryEmbedding") return others_aligned_or_tables(node);
    if (op == "QuantizeLinear" || op == "DequantizeLinear") return no_others(node);
    return false;
  }

  bool no_others(const ir::Node& node) const {
    for (size_t i = 1; i < node.inputs.size(); ++i)
      if (kind(node, i) != Kind::kFixed) return false;
    return true;
  }
  bool others_are_parameters(const ir::Node& node, ValueId y) const {
    for (size_t i = 1; i < node.inputs.size(); ++i)
      if (kind(node, i) == Kind::kSizes || (kind(node, i) == Kind::kRows && !aligned(node.inputs[i], y))) return false;
    return true;
  }
  bool multiplies_rows(const ir::Node& node) const {
    const ValueId x = node.inputs[0];
    for (const std::string_view name : {"transA", "trans_a"})
      if (rank(x) == 2 && attr<int64_t>(node, name).value_or(0) != 0) return false;
    if (rank(x) < 2) return false;
    if (kind(node, 1) == Kind::kRows && (rank(x) < 3 || rank(node.inputs[1]) != rank(x) || !(first(node.inputs[1]) == first(x))))
      return false;
    if (kind(node, 1) == Kind::kFixed && (shape(node.inputs[1]) == nullptr || (rank(node.inputs[1]) > 2 && rank(x) < 3))) return false;
    for (size_t i = 2; i < node.inputs.size(); ++i)
      if (kind(node, i) == Kind::kSizes || (kind(node, i) == Kind::kRows && !aligned(node.inputs[i], node.outputs[0]))) return false;
    return kind(node, 1) != Kind::kSizes;
  }
  bool along_other_axis(const ir::Node& node) const {
    const bool joins = node.op->name == "Concat";
    std::optional<int64_t> axis = axis_of(node, rank(node.inputs[0]));
    if (node.op->name == "CumSum") {
      const Tensor& along = facts_[node.inputs[1]].constant;
      if (!along.defined() || along.num_elements() != 1) return false;
      axis = along.dtype() == DType::kInt32 ? *along.data<int32_t>() : *along.data<int64_t>();
      if (*axis < 0) *axis += static_cast<int64_t>(rank(node.inputs[0]));
    }
    // Softmax's default is the last axis, or 1 in old versions.
    if (!axis && node.op->name.ends_with("max")) axis = static_cast<int64_t>(rank(node.inputs[0])) - 1;
    if (!axis || *axis <= 0) return false;
    for (size_t i = 1; i < node.inputs.size(); ++i)
      if (kind(node, i) != (joins ? Kind::kRows : Kind::kFixed)) return false;
    return true;
  }
  bool reduces_others(const ir::Node& node) const {
    std::optional<std::vector<int64_t>> axes = attr<std::vector<int64_t>>(node, "axes");
    if (node.inputs.size() > 1 && node.inputs[1] != ir::kNoValue) {
      const Tensor& t = facts_[node.inputs[1]].constant;
      if (!t.defined() || t.dtype() != DType::kInt64) return false;
      axes.emplace(t.data<int64_t>(), t.data<int64_t>() + t.num_elements());
    }
    const auto r = static_cast<int64_t>(rank(node.inputs[0]));
    return axes && !axes->empty() && std::none_of(axes->begin(), axes->end(), [&](int64_t a) { return a == 0 || a == -r; });
  }
  // A table's rows, chosen by indices that are rows.
  bool gathers_rows(const ir::Node& node) const {
    return kind(node, 0) == Kind::kFixed && kind(node, 1) == Kind::kRows && axis_of(node, rank(node.inputs[0])).value_or(0) == 0;
  }
  // Tensors of one batch item each, but for masks and tables that all share.
  bool others_aligned_or_tables(const ir::Node& node) const {
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == ir::kNoValue) continue;
      if (kind(node, i) == Kind::kSizes) return false;
      if (kind(node, i) == Kind::kRows && !(first(node.inputs[i]) == first(node.inputs[0]))) return false;
      // Keys and values are the batch's own; a mask is broadcast to [batch, heads, queries, keys].
      constexpr size_t kMask = 3;
      if (node.op->name != "Attention") continue;
      if (kind(node, i) == Kind::kFixed && i != kMask) return false;
      if (kind(node, i) == Kind::kRows && i == kMask && rank(node.inputs[i]) != 4) return false;
    }
    return true;
  }

  static constexpr std::array<int64_t, 4> kBatches = {2, 3, 5, 8};
  const ir::Graph& graph_;
  const std::vector<ops::Fact>& facts_;
  std::string symbol_;
  std::vector<Kind> kinds_;
};

}  // namespace

Result<std::string> independent_batch(const ir::Graph& graph) {
  std::vector<ops::Fact> inputs;
  for (ValueId id : graph.inputs) inputs.push_back(ops::Fact::of(graph.value(id).type));
  CAMEO_ASSIGN(const std::vector<ops::Fact> facts, ops::infer_graph(graph, inputs));
  for (const ops::Fact& fact : inputs) {
    if (!fact.type.is_tensor() || !fact.type.shape || fact.type.shape->empty()) continue;
    const auto symbol = fact.type.shape->front().symbol_name();
    if (!symbol) continue;
    CAMEO_TRY(Proof(graph, facts, *symbol).run());
    return *symbol;
  }
  return error(ErrorCode::kUnsupported, "no input has a symbol as its first extent");
}

}  // namespace cameo::builder
