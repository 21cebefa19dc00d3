// NonMaxSuppression with kept boxes in lists by their left edges: a box is compared with those kept boxes alone that may
// reach it, instead of with all. Detectors that shift each class to a place of its own, so that one call serves all classes,
// then compare within a class. The comparisons are the reference's, and so is the result, bit by bit.
//
// Scores are sorted as integers of the same order, with the box's number below.
#include <array>
#include <bit>

#include "ops/non_max_suppression.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

using ops::Box;

constexpr int kLists = 512;

// The lists of left edges that boxes [0, n) span.
struct Grid {
  double origin = 0, lists_per_unit = 0, widest = 0;

  // One list of all boxes where an edge is no finite number: comparisons with NaN have an order of their own.
  explicit Grid(std::span<const Box> boxes) {
    double low = INFINITY, high = -INFINITY, reach = 0;
    for (const Box& b : boxes) {
      if (!std::isfinite(b.x0) || !std::isfinite(b.x1)) return;
      low = std::min<double>(low, b.x0);
      high = std::max<double>(high, b.x0);
      reach = std::max(reach, double{b.x1} - b.x0);
    }
    if (!(high > low)) return;
    origin = low;
    widest = reach;
    lists_per_unit = kLists / (high - low);
  }
  // Never falls as x grows, so that a box between two edges is in a list between theirs.
  int list_of(double x) const {
    return lists_per_unit == 0 ? 0 : static_cast<int>(std::clamp((x - origin) * lists_per_unit, 0.0, kLists - 1.0));
  }
  // The first list with a box that may reach x; one earlier than computed, for what rounding may take.
  int first_reaching(double x) const { return std::max(list_of(x - widest) - 1, 0); }
};

// Larger for larger scores; equal scores, also 0 and -0, have equal keys.
uint32_t key_of(float score) {
  const auto bits = std::bit_cast<int32_t>(score + 0.f);
  return static_cast<uint32_t>(bits ^ (bits >> 31 & 0x7fffffff)) ^ 0x80000000u;
}

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  const ir::Type& boxes = facts[node.inputs[0]].type;
  if (boxes.shape && (*boxes.shape)[1].is_const() && (*boxes.shape)[1].value() > INT32_MAX) return refuse("there are too many boxes");
  return {};
}

Status run(ops::KernelContext& c) {
  const Tensor &boxes = c.input(0), &scores = c.input(1);
  const auto scalar = [&](size_t i) { return c.has_input(i) && c.input(i).num_elements() > 0; };
  const int64_t batches = boxes.dim(0), n = boxes.dim(1), classes = scores.dim(1);
  const int64_t limit = scalar(2) ? std::clamp<int64_t>(c.input(2).data<int64_t>()[0], 0, n) : 0;
  const float iou_threshold = scalar(3) ? c.input(3).data<float>()[0] : 0.f;
  // What the reference reports or leaves out.
  if (n > INT32_MAX || limit == 0 || !(iou_threshold >= 0 && iou_threshold <= 1)) return c.node().op->reference(c);
  const bool center = c.attrs<ops::NonMaxSuppressionAttrs>().center_point_box != 0;

  const auto box = c.scratch<Box>(n), kept = c.scratch<Box>(limit);
  const auto order = c.scratch<uint64_t>(n);
  const auto next = c.scratch<int32_t>(limit);
  int32_t heads[kLists];
  std::vector<std::array<int64_t, 3>> all;
  for (int64_t b = 0; b < batches; ++b) {
    for (int64_t i = 0; i < n; ++i) box[static_cast<size_t>(i)] = ops::box_of(boxes.data<float>() + (b * n + i) * 4, center);
    const Grid grid(box);
    for (int64_t group = 0; group < classes; ++group) {
      CAMEO_TRY(c.check_cancelled());
      const float* score = scores.data<float>() + (b * classes + group) * n;
      size_t candidates = 0;
      for (int64_t i = 0; i < n; ++i)
        if (scalar(4) ? score[i] > c.input(4).data<float>()[0] : !std::isnan(score[i]))
          order[candidates++] = uint64_t{~key_of(score[i])} << 32 | static_cast<uint64_t>(i);
      std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(candidates));
      std::fill(std::begin(heads), std::end(heads), -1);
      int64_t count = 0;
      for (size_t i = 0; i < candidates && count < limit; ++i) {
        const auto index = static_cast<size_t>(order[i] & 0xffffffff);
        const Box& candidate = box[index];
        const int first = grid.first_reaching(candidate.x0), last = grid.list_of(candidate.x1);
        bool suppressed = false;
        for (int list = first; list <= last && !suppressed; ++list)
          for (int32_t k = heads[list]; k >= 0 && !suppressed; k = next[static_cast<size_t>(k)])
            suppressed = ops::overlaps(candidate, kept[static_cast<size_t>(k)], iou_threshold);
        if (suppressed) continue;
        int32_t& head = heads[grid.list_of(candidate.x0)];
        kept[static_cast<size_t>(count)] = candidate;
        next[static_cast<size_t>(count)] = head;
        head = static_cast<int32_t>(count++);
        all.push_back({b, group, static_cast<int64_t>(index)});
      }
    }
  }
  CAMEO_TRY(c.allocate_output(0, DType::kInt64, {static_cast<int64_t>(all.size()), 3}));
  if (!all.empty()) std::copy_n(all[0].data(), all.size() * 3, c.output(0).data<int64_t>());
  return {};
}

}  // namespace

CAMEO_DEFINE_TACTIC(non_max_suppression_grid) = {
    .name = "non_max_suppression_grid",
    .op = "NonMaxSuppression",
    .supports = &supports,
    .run = &run,
};

}  // namespace cameo::tactics
