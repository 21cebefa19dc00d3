#include "passes/reshape_target.h"

namespace cameo::passes {

std::optional<std::vector<int64_t>> reshape_target(const ir::Shape* from, const ir::Shape& to) {
  std::vector<int64_t> target(to.size(), 0);
  size_t inferred = to.size();
  bool copies = false, zero = false;
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i].is_const() && to[i].value() > 0) {
      target[i] = to[i].value();
    } else if (from != nullptr && i < from->size() && to[i] == (*from)[i]) {
      copies = true;  // also the way to write an extent that is 0
      zero |= to[i].is(0);
    } else if (!to[i].is_const() && inferred == to.size()) {
      target[i] = -1;
      inferred = i;
    } else {
      return std::nullopt;
    }
  }
  if (inferred == to.size() || !copies) return target;
  // Where a copied extent is 0, Reshape works -1 out from the extents that are not copied; they must give the same.
  if (zero) return std::nullopt;
  ir::Dim left = 1, others = 1;
  for (size_t i = 0; i < from->size(); ++i)
    if (i >= to.size() || target[i] != 0) left = left * (*from)[i];
  for (int64_t extent : target)
    if (extent > 0) others = others * extent;
  return floor_div(left, others) == to[inferred] ? std::optional(target) : std::nullopt;
}

}  // namespace cameo::passes
