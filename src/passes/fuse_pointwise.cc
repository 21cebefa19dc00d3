// Element-by-element float32 nodes become ai.cameo.Pointwise: a node and those of its producers, and of theirs, whose results
// have the same shape and are used nowhere else. What is computed on fewer elements and then broadcast stays apart, or it would
// be computed many times. Lone nodes become one too, so that a single kernel runs them all.
// Results differ in rounding: products that are added to something are fused.
#include <algorithm>
#include <unordered_map>

#include "passes/pass.h"
#include "passes/program_builder.h"
#include "passes/region.h"

namespace cameo::passes {
namespace {

class Fuser {
 public:
  explicit Fuser(PassContext& context) : context_(context), editor_(context.editor) {}

  Status run() {
    std::vector<uint32_t> order;
    for (uint32_t index = editor_.first(); index != Editor::kEnd; index = editor_.next(index)) {
      position_[index] = order.size();
      order.push_back(index);
    }
    // From the end, so that a chain is met at its last node.
    for (size_t i = order.size(); i-- > 0;)
      if (editor_.alive(order[i]) && ProgramBuilder::is_pointwise(editor_, editor_.node(order[i]))) CAMEO_TRY(fuse(order[i]));
    return {};
  }

 private:
  Status fuse(uint32_t root) {
    std::vector<uint32_t> region = {root};
    std::optional<FusedProgram> fused = program_of(region, root);
    if (!fused) return {};
    for (bool grows = true; grows;) {
      grows = false;
      for (size_t i = 0; i < region.size() && !grows; ++i)
        for (ir::ValueId id : std::vector<ir::ValueId>(editor_.node(region[i]).inputs)) {
          const int32_t producer = editor_.producer_index(id);
          if (producer < 0 || !joins(static_cast<uint32_t>(producer), region, root)) continue;
          region.push_back(static_cast<uint32_t>(producer));
          std::ranges::sort(region, {}, [&](uint32_t index) { return position_[index]; });
          auto larger = program_of(region, root);
          if (larger) {
            fused = std::move(larger);
            grows = true;
            break;
          }
          context_.note(editor_.node(root), "a fused program cannot be longer or have more inputs");
          std::erase(region, static_cast<uint32_t>(producer));
        }
    }
    if (region.size() == 1 && is_cameo(editor_.node(root), "Pointwise")) return {};
    Patch patch(editor_);
    patch.replace(editor_.node(root).outputs[0], patch.node(pointwise_node(*fused))[0]);
    auto applied = editor_.apply(std::move(patch), root, region);
    if (applied.ok())
      ++context_.report.changes;
    else
      context_.note(editor_.node(root), applied.error().message());
    return {};
  }

  bool joins(uint32_t producer, const std::vector<uint32_t>& region, uint32_t root) const {
    const ir::Node& node = editor_.node(producer);
    if (std::ranges::find(region, producer) != region.end() || !position_.contains(producer) ||
        !ProgramBuilder::is_pointwise(editor_, node))
      return false;
    const ir::ValueId y = node.outputs[0];
    size_t uses = 0;
    bool same_shape = editor_.same_shape(y, editor_.node(root).outputs[0]);
    for (uint32_t index : region) {
      uses += static_cast<size_t>(std::ranges::count(editor_.node(index).inputs, y));
      same_shape |= index == root && has_one_operand(editor_.node(root), y);
    }
    return same_shape && uses == editor_.uses(y);
  }

  // Whether the value and numbers are all that the node reads: then their shapes are the same, known or not.
  bool has_one_operand(const ir::Node& node, ir::ValueId id) const {
    if (!editor_.shape(id)) return false;
    return std::ranges::all_of(node.inputs, [&](ir::ValueId input) {
      return input == id || input == ir::kNoValue || (number_of(editor_, input) && editor_.shape(input)->size() <= editor_.shape(id)->size());
    });
  }

  std::optional<FusedProgram> program_of(const std::vector<uint32_t>& region, uint32_t root) const {
    ProgramBuilder builder(editor_);
    for (uint32_t index : region)
      if (!builder.add(editor_.node(index))) return std::nullopt;
    auto fused = builder.finish(editor_.node(root).outputs[0]);
    return fused && !fused->inputs.empty() ? std::move(fused) : std::nullopt;
  }

  PassContext& context_;
  Editor& editor_;
  std::unordered_map<uint32_t, size_t> position_;
};

Status run(PassContext& context) { return Fuser(context).run(); }

}  // namespace

CAMEO_DEFINE_PASS(fuse_pointwise) = {
    .name = "fuse_pointwise",
    .summary = "merges element-by-element operators into one program",
    .run = &run,
    .late = true,
};

}  // namespace cameo::passes
