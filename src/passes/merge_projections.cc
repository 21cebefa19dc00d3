// Products of one matrix with several constant ones, such as the query, key and value of an attention, become one product with
// the columns of all, whose result is split as it is written. Their epilogues must be the same but for constants that have one
// number a column. Weights that are also read elsewhere stay apart, for they would be kept twice.
// A product whose result is split along its columns, and read by that Split alone, is split as it is written likewise.
#include <algorithm>
#include <cstring>
#include <map>

#include "ops/cameo_matmul.h"
#include "passes/pass.h"
#include "passes/program_builder.h"

namespace cameo::passes {
namespace {

constexpr size_t kMaxMerged = 4;

// What products must have in common.
struct Key {
  ir::ValueId a;
  int64_t trans_a, trans_b, depth;
  float alpha;
  std::vector<int64_t> program;
  std::vector<float> constants;
  friend auto operator<=>(const Key&, const Key&) = default;
};

struct Part {
  uint32_t index;
  int64_t columns;
};

// The columns of a constant matrix, as it stands in B or B'.
int64_t columns_of(const Tensor& b, bool transposed) { return b.dim(transposed ? 0 : 1); }

class Merger {
 public:
  explicit Merger(PassContext& context) : context_(context), editor_(context.editor) {}

  Status run() {
    std::map<Key, std::vector<Part>> groups;
    std::vector<Key> order;  // of their first products, so that the result does not depend on ids
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index)) {
      const ir::Node& node = editor_.node(index);
      if (!editor_.alive(index) || !is_cameo(node, "MatMul")) continue;
      const auto key = key_of(node);
      if (!key) continue;
      auto& parts = groups[*key];
      if (parts.empty()) order.push_back(*key);
      parts.push_back({index, columns_of(*editor_.constant(node.inputs[1]), key->trans_b != 0)});
    }
    for (const Key& key : order) {
      const auto& parts = groups[key];
      for (size_t first = 0; first + 1 < parts.size(); first += kMaxMerged)
        merge(key, std::span(parts).subspan(first, std::min(kMaxMerged, parts.size() - first)));
    }
    return {};
  }

 private:
  std::optional<Key> key_of(const ir::Node& node) {
    const auto& attrs = node.attrs_as<ops::CameoMatMulAttrs>();
    const Tensor* b = editor_.constant(node.inputs[1]);
    if (b == nullptr || b->rank() != 2 || !attrs.splits.empty()) return std::nullopt;
    const int64_t columns = columns_of(*b, attrs.trans_b != 0);
    for (size_t i = 2; i < node.inputs.size(); ++i) {
      const Tensor* e = editor_.constant(node.inputs[i]);
      if (e == nullptr || e->rank() == 0 || e->num_elements() != columns || e->dims().back() != columns) return std::nullopt;
    }
    if (editor_.uses(node.inputs[1]) != 1) {
      if (editor_.uses(node.inputs[0]) > 1) context_.note(node, "its weights are also used elsewhere");
      return std::nullopt;
    }
    return Key{node.inputs[0], attrs.trans_a, attrs.trans_b, b->dim(attrs.trans_b ? 1 : 0), attrs.alpha, attrs.program, attrs.constants};
  }

  void merge(const Key& key, std::span<const Part> parts) {
    if (parts.size() < 2) return;
    int64_t columns = 0;
    for (const Part& part : parts) columns += part.columns;
    const bool by_rows = key.trans_b != 0;
    auto weights = Tensor::allocate(DType::kFloat32, by_rows ? Dims{columns, key.depth} : Dims{key.depth, columns});
    if (!weights.ok()) return;
    const ir::Node& first = editor_.node(parts[0].index);
    std::vector<Tensor> operands;
    for (size_t i = 2; i < first.inputs.size(); ++i) operands.push_back(Tensor::allocate(DType::kFloat32, {columns}).value());
    auto attrs = std::make_shared<ops::CameoMatMulAttrs>(first.attrs_as<ops::CameoMatMulAttrs>());
    int64_t at = 0;
    std::vector<uint32_t> matched;
    for (const Part& part : parts) {
      const ir::Node& node = editor_.node(part.index);
      const float* b = editor_.constant(node.inputs[1])->data<float>();
      float* to = weights->data<float>();
      if (by_rows)
        std::copy_n(b, part.columns * key.depth, to + at * key.depth);
      else
        for (int64_t k = 0; k < key.depth; ++k) std::copy_n(b + k * part.columns, part.columns, to + k * columns + at);
      for (size_t i = 0; i < operands.size(); ++i)
        std::copy_n(editor_.constant(node.inputs[i + 2])->data<float>(), part.columns, operands[i].data<float>() + at);
      attrs->splits.push_back(part.columns);
      matched.push_back(part.index);
      at += part.columns;
    }
    Patch patch(editor_);
    // Not key.a: that may be what an earlier merge has replaced.
    std::vector<ir::ValueId> inputs = {first.inputs[0], patch.constant(*std::move(weights))};
    for (Tensor& operand : operands) inputs.push_back(patch.constant(std::move(operand)));
    const auto outputs = patch.node(cameo_node("MatMul", std::move(inputs), std::move(attrs), parts.size()));
    for (size_t i = 0; i < parts.size(); ++i) patch.replace(editor_.node(parts[i].index).outputs[0], outputs[i]);
    // It stands where the first one stood, before all that reads any of them.
    auto applied = editor_.apply(std::move(patch), parts[0].index, matched);
    if (applied.ok())
      ++context_.report.changes;
    else
      context_.note(editor_.node(parts[0].index), applied.error().message());
  }

  PassContext& context_;
  Editor& editor_;
};

// Split(MatMul) along the last axis.
void merge_split(PassContext& context, uint32_t index) {
  Editor& editor = context.editor;
  const ir::Node& split = editor.node(index);
  const ir::Node* product = editor.producer(split.inputs[0]);
  const auto& shape = editor.shape(split.inputs[0]);
  if (product == nullptr || !is_cameo(*product, "MatMul") || product->outputs.size() != 1 || !shape) return;
  const auto rank = static_cast<int64_t>(shape->size());
  const int64_t axis = attr<int64_t>(split, "axis").value_or(0);
  if (axis != -1 && axis != rank - 1) return;
  if (editor.uses(split.inputs[0]) != 1) return context.note(split, "what it splits is also used elsewhere");
  auto attrs = std::make_shared<ops::CameoMatMulAttrs>(product->attrs_as<ops::CameoMatMulAttrs>());
  for (ir::ValueId id : split.outputs) {
    if (id == ir::kNoValue || !editor.shape(id) || !editor.shape(id)->back().is_const())
      return context.note(split, "the numbers of columns are not known");
    attrs->splits.push_back(editor.shape(id)->back().value());
  }
  Patch patch(editor);
  ir::Node merged = *product;
  merged.attrs = std::move(attrs);
  merged.outputs.assign(split.outputs.size(), 0);
  merged.sources.clear();
  const auto outputs = patch.node(std::move(merged));
  for (size_t i = 0; i < outputs.size(); ++i) patch.replace(split.outputs[i], outputs[i]);
  const uint32_t matched[] = {static_cast<uint32_t>(editor.producer_index(split.inputs[0])), index};
  auto applied = editor.apply(std::move(patch), index, matched);
  if (applied.ok())
    ++context.report.changes;
  else
    context.note(editor.node(index), applied.error().message());
}

Status run(PassContext& context) {
  Editor& editor = context.editor;
  for (uint32_t index = editor.first(); index != Editor::kEnd;) {
    const uint32_t next = editor.next(index);
    if (editor.alive(index) && editor.node(index).op->name == "Split" && editor.node(index).op->domain.empty()) merge_split(context, index);
    index = next;
  }
  return Merger(context).run();
}

}  // namespace

CAMEO_DEFINE_PASS(merge_projections) = {
    .name = "merge_projections",
    .summary = "makes one product of several with the same input, such as query, key and value",
    .run = &run,
    .late = true,
};

}  // namespace cameo::passes
