#include "pipelines/embed_batches.h"

#include <algorithm>
#include <string>

namespace cameo {
namespace {

// What starting a run costs, in tokens: the weights are read once a run, and short matrices multiply less well.
constexpr int64_t kRunCost = 32;

void restrict_to(ShapeRange& range, int64_t least_rows, int64_t most_rows, int64_t least_length, int64_t most_length) {
  range.least_rows = std::max(range.least_rows, least_rows);
  range.most_rows = std::min(range.most_rows, most_rows);
  range.least_length = std::max(range.least_length, least_length);
  range.most_length = std::min(range.most_length, most_length);
}

// The range that takes most texts of that length at once, of those the one with least padding; null when none takes any.
const ShapeRange* best_range(std::span<const ShapeRange> ranges, int64_t length) {
  const ShapeRange* best = nullptr;
  for (const ShapeRange& r : ranges) {
    if (r.most_length < length) continue;
    if (best == nullptr || r.most_rows > best->most_rows ||
        (r.most_rows == best->most_rows && std::max(r.least_length, length) < std::max(best->least_length, length)))
      best = &r;
  }
  return best;
}

}  // namespace

std::vector<ShapeRange> shape_ranges(const Engine& engine, std::span<const std::string> inputs) {
  const auto is_used = [&](const std::string& name) { return std::find(inputs.begin(), inputs.end(), name) != inputs.end(); };
  ShapeRange of_model;
  for (const TensorInfo& info : engine.inputs()) {
    if (!is_used(info.name) || info.dims.size() != 2) continue;
    const int64_t rows = info.dims[0].value, length = info.dims[1].value;
    if (rows >= 0) restrict_to(of_model, rows, rows, 1, INT64_MAX);
    if (length >= 0) restrict_to(of_model, 1, INT64_MAX, length, length);
  }
  std::vector<ShapeRange> ranges;
  const auto add = [&](const ShapeRange& r) {
    if (r.least_rows <= r.most_rows && r.least_length <= r.most_length) ranges.push_back(r);
  };
  if (engine.profiles().empty()) add(of_model);
  for (const Profile& profile : engine.profiles()) {
    ShapeRange range = of_model;
    for (const InputRange& r : profile.inputs)
      if (is_used(r.name) && r.min.rank() == 2 && r.max.rank() == 2) restrict_to(range, r.min[0], r.max[0], r.min[1], r.max[1]);
    add(range);
  }
  return ranges;
}

std::vector<EmbedBatch> make_batches(std::span<const int64_t> lengths, std::span<const ShapeRange> ranges, int64_t pad_to,
                                     int64_t batch_tokens) {
  // best[i] is the least cost of the texts from i on; cut[i] is their first run.
  const size_t count = lengths.size();
  std::vector<int64_t> best(count + 1, 0);
  std::vector<EmbedBatch> cut(count);
  for (size_t i = count; i-- > 0;) {
    const int64_t wanted = std::max(lengths[i], pad_to);
    const ShapeRange* range = best_range(ranges, wanted);
    const int64_t length = std::max(wanted, range->least_length);
    const int64_t most =
        std::clamp<int64_t>(batch_tokens / length, 1, std::min<int64_t>(range->most_rows, static_cast<int64_t>(count - i)));
    best[i] = INT64_MAX;
    for (int64_t texts = most; texts >= 1; --texts) {
      const int64_t rows = std::max(texts, range->least_rows);
      const int64_t cost = rows * length + kRunCost + best[i + static_cast<size_t>(texts)];
      if (cost < best[i]) {
        best[i] = cost;
        cut[i] = {i, static_cast<size_t>(texts), rows, length};
      }
    }
  }
  std::vector<EmbedBatch> batches;
  for (size_t i = 0; i < count; i += cut[i].texts) batches.push_back(cut[i]);
  return batches;
}

}  // namespace cameo
