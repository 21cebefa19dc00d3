// Weight-only quantisation of a graph's matrix products.
#include "passes/quantize_weights.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <tuple>

#include "base/error.h"
#include "base/thread_pool.h"
#include "ops/cameo_matmul.h"
#include "ops/cameo_quantized_weight_matmul.h"
#include "ops/cast.h"
#include "ops/move_attrs.h"

namespace cameo::passes {
namespace {

constexpr int64_t kLeastElements = 4096;
constexpr float kLargestHalf = 65504;

// A product with a constant right side.
struct Product {
  ir::ValueId b = ir::kNoValue;
  bool trans_b = false;
  ops::ProgramAttrs program;
  std::vector<ir::ValueId> operands;  // of the program
  std::vector<int64_t> splits;
};

using MaybeProduct = std::variant<NoMatch, Product, Reject>;

MaybeProduct read_gemm(const ir::Node& node) {
  if (node.version < 7 || attr<int64_t>(node, "transA").value_or(0) != 0)
    return Reject{"its left side is transposed, or its version is below 7"};
  Product p = {.b = node.inputs[1], .trans_b = attr<int64_t>(node, "transB").value_or(0) != 0, .program = {}, .operands = {}, .splits = {}};
  const float alpha = attr<float>(node, "alpha").value_or(1), beta = attr<float>(node, "beta").value_or(1);
  ops::PointProgram program;
  const ir::ValueId c = GraphView::input(node, 2);
  program.num_inputs = c == ir::kNoValue ? 1 : 2;
  auto product = int16_t{0};
  if (alpha != 1) {
    program.constants.push_back(alpha);
    program.code.push_back({ops::PointOp::kMul, 0, -1, 0});
    product = static_cast<int16_t>(program.num_inputs);
  }
  if (c != ir::kNoValue) {
    p.operands = {c};
    if (beta == 1) {
      program.code.push_back({ops::PointOp::kAdd, product, 1, 0});
    } else {
      program.constants.push_back(beta);
      program.code.push_back({ops::PointOp::kFma, 1, static_cast<int16_t>(-static_cast<int>(program.constants.size())), product});
    }
  }
  p.program = {ops::encode(program), program.constants};
  return p;
}

MaybeProduct read_product(const ir::Node& node) {
  if (node.op->domain.empty() && node.op->name == "MatMul")
    return Product{.b = node.inputs[1], .trans_b = false, .program = {}, .operands = {}, .splits = {}};
  if (node.op->domain.empty() && node.op->name == "Gemm") return read_gemm(node);
  if (node.op->domain != ops::kCameoDomain || node.op->name != "MatMul") return NoMatch{};
  const auto& attrs = node.attrs_as<ops::CameoMatMulAttrs>();
  if (attrs.trans_a != 0 || attrs.alpha != 1) return Reject{"its left side is transposed, or the product is scaled"};
  return Product{.b = node.inputs[1],
                 .trans_b = attrs.trans_b != 0,
                 .program = attrs,
                 .operands = {node.inputs.begin() + 2, node.inputs.end()},
                 .splits = attrs.splits};
}

class Quantizer {
 public:
  Quantizer(Editor& editor, const ChooseWeightType& choose, int64_t group_size, PassReport& report)
      : editor_(editor), choose_(choose), group_size_(group_size), report_(report) {}

  Status visit(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    if (node.op->domain.empty() && node.op->name == "Gather") return visit_table(index);
    MaybeProduct read = read_product(node);
    if (std::holds_alternative<NoMatch>(read)) return {};
    const WeightType type = choose_(node);
    if (type == WeightType::kFloat32) return {};
    if (const auto* reject = std::get_if<Reject>(&read)) return note(node, reject->reason);
    const auto& product = std::get<Product>(read);
    const Tensor* b = editor_.constant(product.b);
    if (b == nullptr || b->rank() != 2 || b->dtype() != DType::kFloat32) return note(node, "its right side is no constant float32 matrix");
    const auto& a = editor_.shape(node.inputs[0]);
    if (!a || a->empty()) return note(node, "the rank of its left side is not known");
    if (b->num_elements() < kLeastElements || b->dim(0) < 16 || b->dim(1) < 16)
      return note(node, fmt::format("its weight of {} is too small to gain", b->dims().to_string()));
    auto weight = quantized(product, *b, type);
    if (!weight.ok()) return note(node, weight.error().message());
    return replace(index, product, *weight);
  }

 private:
  // Rows of a constant matrix by number (embeddings): kept as halves and widened once looked up.
  Status visit_table(uint32_t index) {
    const ir::Node& node = editor_.node(index);
    const WeightType type = choose_(node);
    const Tensor* table = editor_.constant(node.inputs[0]);
    const bool rows = node.attrs_as<ops::GatherAttrs>().axis == 0;
    if (type == WeightType::kFloat32 || !rows || table == nullptr || table->dtype() != DType::kFloat32 || table->rank() != 2 ||
        table->num_elements() < kLeastElements)
      return {};
    Tensor& halves = tables_[{table->raw(), type}];
    if (!halves.defined()) {
      const bool fits =
          std::all_of(table->span<float>().begin(), table->span<float>().end(), [](float v) { return std::fabs(v) <= kLargestHalf; });
      if (!fits && type != WeightType::kBfloat16) return note(node, "its table does not fit float16");
      CAMEO_ASSIGN(halves, Tensor::allocate(type == WeightType::kBfloat16 ? DType::kBfloat16 : DType::kFloat16, table->dims()));
      CAMEO_TRY(ops::cast_tensor(*table, halves, {}));
    }
    Patch patch(editor_);
    const ir::ValueId found = patch.node("Gather", {patch.constant(halves), node.inputs[1]});
    patch.replace(node.outputs[0], patch.node("Cast", {found}, {{"to", static_cast<int64_t>(DType::kFloat32)}}));
    auto applied = editor_.apply(std::move(patch), index, std::vector<uint32_t>{index});
    if (!applied.ok()) return std::move(applied).error().in(editor_.node(index).describe());
    ++report_.changes;
    return {};
  }

  Status note(const ir::Node& node, std::string_view reason) {
    report_.notes.push_back(fmt::format("{}: {}", node.describe(), reason));
    return {};
  }

  // A matrix that several products share is rounded once.
  Result<QuantizedWeight> quantized(const Product& product, const Tensor& b, WeightType type) {
    const auto key = std::tuple(b.raw(), product.trans_b, type);
    if (const auto known = done_.find(key); known != done_.end()) return known->second;
    const int64_t width = b.dim(1);
    const WeightMatrix matrix = product.trans_b ? WeightMatrix{b.data<float>(), b.dim(1), b.dim(0), 1, width}
                                                : WeightMatrix{b.data<float>(), b.dim(0), b.dim(1), width, 1};
    CAMEO_ASSIGN(QuantizedWeight weight, quantize_weight(matrix, type, group_size_, threads_));
    done_.emplace(key, weight);
    return weight;
  }

  Status replace(uint32_t index, const Product& product, const QuantizedWeight& weight) {
    const ir::Node& old = editor_.node(index);
    Patch patch(editor_);
    const auto constant = [&](const Tensor& t) { return t.defined() ? patch.constant(t) : ir::kNoValue; };
    auto attrs = std::make_shared<ops::CameoQuantizedWeightMatMulAttrs>();
    static_cast<ops::QuantizedWeightAttrs&>(*attrs) = weight.attrs;
    static_cast<ops::ProgramAttrs&>(*attrs) = product.program;
    attrs->splits = product.splits;
    ir::Node node;
    node.op = ops::find_op(ops::kCameoDomain, "QuantizedWeightMatMul");
    node.version = 1;
    node.name = old.name;
    node.inputs = {old.inputs[0], constant(weight.tensors.values), constant(weight.tensors.scales), constant(weight.tensors.zeros)};
    node.inputs.insert(node.inputs.end(), product.operands.begin(), product.operands.end());
    while (node.inputs.back() == ir::kNoValue) node.inputs.pop_back();
    node.outputs = old.outputs;
    node.attrs = std::move(attrs);
    const std::vector<ir::ValueId> outputs = patch.node(std::move(node));
    for (size_t i = 0; i < outputs.size(); ++i)
      if (old.outputs[i] != ir::kNoValue) patch.replace(old.outputs[i], outputs[i]);
    auto applied = editor_.apply(std::move(patch), index, std::vector<uint32_t>{index});
    if (!applied.ok()) return std::move(applied).error().in(editor_.node(index).describe());
    ++report_.changes;
    return {};
  }

  Editor& editor_;
  const ChooseWeightType& choose_;
  int64_t group_size_;
  PassReport& report_;
  ThreadPool threads_;
  std::map<std::tuple<const void*, bool, WeightType>, QuantizedWeight> done_;
  std::map<std::pair<const void*, WeightType>, Tensor> tables_;
};

}  // namespace

bool has_constant_weight(const ir::Graph& graph, const ir::Node& node) {
  const MaybeProduct read = read_product(node);
  const auto* product = std::get_if<Product>(&read);
  if (product == nullptr) return false;
  const Tensor& b = graph.value(product->b).constant;
  return b.defined() && b.dtype() == DType::kFloat32 && b.rank() == 2 && b.num_elements() >= kLeastElements && b.dim(0) >= 16 &&
         b.dim(1) >= 16;
}

Status quantize_weights(ir::Graph& graph, const ChooseWeightType& choose, int64_t group_size, PassReport& report) {
  report.name = "quantize_weights";
  if (group_size < 0 || group_size % 16 != 0)
    return error(ErrorCode::kInvalidArgument, "the group size of weights is {}; it must be 0 or a multiple of 16", group_size);
  const auto start = std::chrono::steady_clock::now();
  std::vector<ops::Fact> inputs;
  for (ir::ValueId id : graph.inputs) inputs.push_back(ops::Fact::of(graph.value(id).type));
  CAMEO_ASSIGN(Editor editor, Editor::open(graph, inputs));
  Quantizer quantizer(editor, choose, group_size, report);
  for (uint32_t index = editor.first(); index != Editor::kEnd; index = editor.next(index))
    if (editor.alive(index)) CAMEO_TRY(quantizer.visit(index));
  editor.drop_unused_values();
  CAMEO_TRY(editor.finish());
  CAMEO_TRY(ir::infer_types(graph));
  report.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return {};
}

}  // namespace cameo::passes
