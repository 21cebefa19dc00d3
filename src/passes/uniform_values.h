// What a value is when nothing is padded: the same number everywhere, a count along one axis, or a triangle. Masks and positions of
// language models are such values, whatever operators exporters make them with.
#pragma once

#include <optional>
#include <vector>

#include "ops/infer.h"

namespace cameo::passes {

struct Uniform {
  enum class Kind : uint8_t {
    kSame,      // `inside` everywhere
    kCount,     // i + offset, where i counts along an axis
    kTriangle,  // of its last two axes (i, j): `inside` where j <= i + offset, else `outside`
  };
  Kind kind = Kind::kSame;
  double inside = 0, outside = 0;
  size_t axis_from_end = 0;  // of kCount; 0: the last
  ir::Dim offset;
};

// Finds out of each value of a graph, once. `ones` is an input all of whose elements are taken to be 1: the attention mask.
class UniformValues {
 public:
  UniformValues(const ir::Graph& graph, const std::vector<ops::Fact>& facts, ir::ValueId ones);
  // Nothing when the value is none of these, or it cannot be told.
  std::optional<Uniform> of(ir::ValueId id);

 private:
  std::optional<Uniform> find(ir::ValueId id, int depth);
  std::optional<Uniform> evaluate(ir::ValueId id, const ir::Node& node, int depth);
  std::optional<Uniform> moved(ir::ValueId id, const ir::Node& node, int depth);
  std::optional<Uniform> sliced(const ir::Node& node, int depth);
  std::optional<Uniform> computed(const ir::Node& node, int depth);
  std::optional<ir::Dim> number(ir::ValueId id) const;

  const ir::Graph& graph_;
  const std::vector<ops::Fact>& facts_;
  ir::ValueId ones_;
  std::vector<int32_t> producers_;
  std::vector<std::optional<std::optional<Uniform>>> found_;
};

}  // namespace cameo::passes
