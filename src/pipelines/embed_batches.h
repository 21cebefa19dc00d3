// Which texts run together, so that little time goes to padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cameo/engine.h"

namespace cameo {

// Extents that a run may have: of one profile, or of the model where the plan has none.
struct ShapeRange {
  int64_t least_rows = 1, most_rows = INT64_MAX, least_length = 1, most_length = INT64_MAX;
};

// The ranges of the inputs named, all int [batch, sequence]; one for each profile that leaves any shape.
std::vector<ShapeRange> shape_ranges(const Engine& engine, std::span<const std::string> inputs);

// A run: texts order[first … first + texts), in a tensor of rows × length; rows beyond the texts are there because the profile
// asks for them.
struct EmbedBatch {
  size_t first = 0, texts = 0;
  int64_t rows = 0, length = 0;
};

// Cuts texts of these lengths, longest first, into runs of at most `batch_tokens` tokens (or one text) so that the tokens that
// run, padding included, with kRunCost more for each run are fewest. Every length fits a range.
std::vector<EmbedBatch> make_batches(std::span<const int64_t> lengths, std::span<const ShapeRange> ranges, int64_t pad_to,
                                     int64_t batch_tokens);

}  // namespace cameo
