// Runs a graph on parts of a batch in turn, where what lies between its nodes would not fit in the cache for the whole.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/executor.h"

namespace cameo::runtime {

// The size of the last-level cache that the first processor uses; 16 MiB where the system does not say.
size_t cache_bytes();

class BatchRun {
 public:
  // `batch`: the symbol whose rows are independent (plan::Content::batch); empty: all runs are whole.
  BatchRun(const ir::Graph& graph, std::string_view batch, size_t weight_bytes, Executor& executor, Allocator& allocator,
           size_t cache = cache_bytes());

  // As Executor::run().
  Status run(std::span<const ops::RtValue> inputs, std::span<const Executor::OutputBinding> bindings, std::span<ops::RtValue> outputs);

  // The specialisation that a run on inputs of these types uses: of a part, or of the whole.
  Result<const Specialization*> specialization_used(std::span<const ops::Fact> inputs);

 private:
  // How the last input shapes are run.
  struct Parts {
    int64_t batch = 0, rows = 0;    // rows of a part; 0: the whole at once
    std::vector<Dims> input_dims;   // that this is for
    std::vector<size_t> row_bytes;  // of each output
    std::vector<DType> dtypes;
    std::vector<Dims> output_dims;
  };

  Status plan(std::span<const ops::Fact> inputs);
  std::vector<ops::Fact> part_of(std::span<const ops::Fact> inputs) const;

  const ir::Graph& graph_;
  size_t weight_bytes_;
  Executor& executor_;
  size_t cache_;
  std::vector<char> has_rows_;  // by input
  bool splits_ = false;         // some input has rows
  Parts parts_;
  std::vector<GrowingBlock> memory_;  // one per output
  std::vector<ops::RtValue> inputs_, outputs_;
  std::vector<Executor::OutputBinding> bindings_;
};

}  // namespace cameo::runtime
