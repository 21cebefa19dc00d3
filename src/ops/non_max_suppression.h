// What the implementations of NonMaxSuppression share: attributes, and boxes and their overlap.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "ops/op.h"

namespace cameo::ops {

struct NonMaxSuppressionAttrs : ir::AttrsOf<NonMaxSuppressionAttrs> {
  int64_t center_point_box = 0;
  void visit(ir::AttrVisitor& v) override { v("center_point_box", center_point_box); }
};

struct Box {
  float x0, y0, x1, y1;
};

inline Box box_of(const float* at, bool center) {
  if (center) return {at[0] - at[2] / 2, at[1] - at[3] / 2, at[0] + at[2] / 2, at[1] + at[3] / 2};
  return {std::min(at[1], at[3]), std::min(at[0], at[2]), std::max(at[1], at[3]), std::max(at[0], at[2])};
}

// Whether their intersection over union exceeds the threshold.
inline bool overlaps(const Box& a, const Box& b, float threshold) {
  const float width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0), height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  if (!(width > 0 && height > 0)) return false;
  const float both = width * height;
  const float area_a = (a.x1 - a.x0) * (a.y1 - a.y0), area_b = (b.x1 - b.x0) * (b.y1 - b.y0), either = area_a + area_b - both;
  if (!(both > 0 && area_a > 0 && area_b > 0 && either > 0)) return false;
  return both / either > threshold;
}

// The scalar of an optional input, which may be absent or have no element.
template <class T>
std::optional<T> optional_scalar(KernelContext& c, size_t i) {
  if (!c.has_input(i) || c.input(i).num_elements() == 0) return std::nullopt;
  return c.input(i).data<T>()[0];
}

}  // namespace cameo::ops
