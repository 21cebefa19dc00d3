// Values that depend on nothing but the position, such as rows of a table of positions, are the same for all rows of a batch while
// every row begins at 0. Where rows are at different positions they get an axis for the batch, in front.
#pragma once

#include <map>

#include "passes/graph_builder.h"
#include "passes/sequence_axes.h"
#include "passes/uniform_values.h"

namespace cameo::passes {

class PositionLifter {
 public:
  using Axes = std::map<ir::ValueId, SequenceAxes>;
  using Replaced = std::map<ir::ValueId, ir::ValueId>;

  // `positions`: int64[batch, length], where each token stands; in the graph as it was they are i + past for position i. Values that
  // have a batch already are put into `replaced` for what stood there; `axes` is kept up to date.
  PositionLifter(GraphBuilder& builder, UniformValues& uniform, ir::ValueId positions, ir::Dim batch, ir::Dim length, ir::Dim past,
                 Axes& axes, Replaced& replaced)
      : b_(builder),
        uniform_(uniform),
        positions_(positions),
        batch_(batch),
        length_(length),
        past_(past),
        axes_(axes),
        replaced_(replaced) {}

  // Whether the value is a count of positions in the graph as it was.
  bool is_position(ir::ValueId id) const { return count_of(id).has_value(); }

  // `original` is a node as it was, `node` the same with inputs replaced. True when its output depends on positions alone; such
  // an output is kept here until it meets values of tokens. Otherwise inputs of `node` that do are replaced by what they are for each
  // row. Errors (kUnsupported): positions are used in a way that is not known.
  Result<bool> lift(const ir::Node& original, ir::Node& node);

  // Rows of the shortest table that positions are looked up in; 0: there is none.
  int64_t most_positions() const { return most_positions_; }

 private:
  struct Count {
    size_t axis;
    int64_t more;  // what is added to the position
  };
  std::optional<Count> count_of(ir::ValueId id) const;
  Result<bool> lift_count(const ir::Node& original);
  Result<bool> lift_table(const ir::Node& original);
  Result<ir::ValueId> copy(const ir::Node& original);
  Result<ir::ValueId> aligned(ir::ValueId original, size_t rank, const ir::Node& node);
  ir::ValueId with_ones(ir::ValueId lifted, size_t count);
  void keep(ir::ValueId original, ir::ValueId lifted, SequenceAxes axes);
  bool has_batch(ir::ValueId id) const;
  void note_table(const ir::Node& node);

  GraphBuilder& b_;
  UniformValues& uniform_;
  ir::ValueId positions_;
  ir::Dim batch_, length_, past_;
  Axes& axes_;
  Replaced& replaced_;
  std::map<ir::ValueId, ir::ValueId> lifted_;
  int64_t most_positions_ = 0;
};

}  // namespace cameo::passes
