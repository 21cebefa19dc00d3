// Reads what stands between the product of queries and keys and the softmax over it: scale, softcap, masks and biases.
#pragma once

#include <string>
#include <vector>

#include "passes/pass.h"
#include "passes/region.h"

namespace cameo::passes {

// A term that is added to the scores, or a mask that puts `fill` in place of some.
struct ScoreTerm {
  enum class Kind : uint8_t { kAdd, kKeep, kDrop };  // kKeep: fill where the boolean value is false; kDrop: where it is true
  Kind kind = Kind::kAdd;
  ir::ValueId value = ir::kNoValue;
  double fill = 0;
  bool windowed = false;  // it has the rank of the scores taken apart into windows
  bool replaces = false;  // scores are replaced by `fill`; otherwise it is added to them
  double factor = 1;      // what the scores are multiplied by after the term is added: the term is, too (`fill` has it already)
};

// A tensor that scores are multiplied by or divided by, with one element for all keys of a query.
struct ScoreFactor {
  ir::ValueId value = ir::kNoValue;
  bool divides = false;
};

struct Scores {
  const ir::Node* product = nullptr;  // the MatMul of queries and keys
  double scale = 1, softcap = 0;
  std::vector<ScoreFactor> factors;  // of the product, before any term
  std::vector<ScoreTerm> terms;      // in the order in which they are applied
  bool may_broadcast = false;        // a term may, for all that is known, have more rows than the product, which are repeated for it
  // Where scores of shape [n * windows, heads, queries, keys] are seen as [n, windows, heads, …] while terms are added: that view.
  ir::ValueId windows = ir::kNoValue;
};

// Follows `value`, the input of a softmax over the last axis, back to the product. The nodes on the way go to the region.
// Nothing when it does not come from a product through known steps; `problem` says why when it nearly does. With `in_windows` the
// softmax itself is over the scores taken apart into windows.
std::optional<Scores> read_scores(const GraphView& view, ir::ValueId value, bool in_windows, Region& region, std::string& problem);

// Whether `parts` is `whole` with its first extent taken apart in two.
bool splits_first(const ir::Shape& whole, const ir::Shape& parts);

}  // namespace cameo::passes
