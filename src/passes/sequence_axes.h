// Which axes of a value are the rows of a batch and the positions of a sequence, and whether a node treats each row and position by
// itself.
#pragma once

#include <functional>
#include <optional>

#include "ops/infer.h"

namespace cameo::passes {

// Axes of a tensor, counted from 0. Where both are the same, that axis is batch * sequence, row by row.
struct SequenceAxes {
  int batch = 0, sequence = 1;
  bool merged() const { return batch == sequence; }
  friend bool operator==(const SequenceAxes&, const SequenceAxes&) = default;
};

struct SequenceContext {
  const std::vector<ops::Fact>& facts;
  ir::Dim batch, length;  // their extents
  // The axes of a value that has them; nothing for one that is the same for all rows and positions.
  std::function<std::optional<SequenceAxes>(ir::ValueId)> axes;
};

// The axes of all outputs of a node of which some input has axes. Errors (kUnsupported) say how the node mixes rows or positions, or
// that it is not known whether it does. Attention, which mixes them as it should, is not for this.
Result<SequenceAxes> sequence_axes(const ir::Node& node, const SequenceContext& context);

// Whether sequence_axes() knows operators of the node's domain: those of ONNX, and of ours the one that models in few bits come with.
bool is_position_wise_domain(const ir::Node& node);

}  // namespace cameo::passes
