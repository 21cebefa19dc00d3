#include "backends/cuda/division.h"

#include <algorithm>
#include <functional>

namespace cameo::cuda {
namespace {

constexpr int kBits = 7;  // of a cut

}  // namespace

int code_of(const Division::Cuts& cuts) {
  int code = 0;
  for (int level = 0; level < Division::kLevels; ++level) code |= cuts[level] << kBits * level;
  return code;
}

Division::Cuts cuts_of(int code) {
  Division::Cuts cuts{};
  if (code < 0 || code >> kBits * Division::kLevels != 0) return {};
  for (int level = 0; level < Division::kLevels; ++level) {
    cuts[level] = code >> kBits * level & Division::kMostSteps;
    if (level > 0 && cuts[level] > cuts[level - 1]) return {};
  }
  return cuts;
}

std::vector<Segment> segments_of(const Division& division, size_t steps) {
  std::vector<Segment> segments;
  size_t at = 0;
  const auto until = [&](size_t last, int level) {
    if (last <= at) return;
    segments.push_back({at, last, level});
    at = last;
  };
  for (int level = Division::kLevels - 1; level >= 0; --level) until(std::min(steps, static_cast<size_t>(division.head[level])), level);
  for (int level = -1; level < Division::kLevels; ++level) {
    const size_t left = level + 1 < Division::kLevels ? static_cast<size_t>(division.tail[level + 1]) : 0;
    until(steps - std::min(steps, left), level);
  }
  return segments;
}

std::vector<Task> tasks_of(std::span<const Segment> segments) {
  std::vector<Task> tasks;
  std::vector<std::vector<size_t>> index(segments.size());
  for (size_t s = 0; s < segments.size(); ++s) index[s].resize(static_cast<size_t>(segments[s].parts()));
  const auto add = [&](size_t s, int part) {
    index[s][part] = tasks.size();
    tasks.push_back({s, part, 0, {}});
  };
  // The parts of a neighbouring segment that have rows of this part.
  const auto each_part = [&](size_t s, int part, size_t other, const std::function<void(int)>& each) {
    const int parts = segments[s].parts(), others = segments[other].parts();
    if (others <= parts) return each(part / (parts / others));
    for (int c = part * (others / parts); c < (part + 1) * (others / parts); ++c) each(c);
  };
  // Ever fewer parts up to the segment `narrow`: a part follows as soon as those that it consists of are there.
  size_t narrow = 0;
  while (narrow + 1 < segments.size() && segments[narrow + 1].parts() < segments[narrow].parts()) ++narrow;
  const std::function<void(size_t, int)> gather = [&](size_t s, int part) {
    if (s > 0) each_part(s, part, s - 1, [&](int c) { gather(s - 1, c); });
    add(s, part);
  };
  // Behind it ever more: a part's parts follow before the next one.
  const std::function<void(size_t, int)> scatter = [&](size_t s, int part) {
    add(s, part);
    if (s + 1 < segments.size()) each_part(s, part, s + 1, [&](int c) { scatter(s + 1, c); });
  };
  if (segments.empty()) return tasks;
  for (int c = 0; c < segments[narrow].parts(); ++c) gather(narrow, c);
  if (narrow + 1 < segments.size())
    for (int c = 0; c < segments[narrow + 1].parts(); ++c) scatter(narrow + 1, c);
  int lane = 0;
  for (Task& task : tasks) {
    const bool whole = segments[task.segment].parts() == 1;
    task.lane = whole ? 0 : lane;
    lane = whole ? 0 : 1 - lane;
    if (task.segment > 0)
      each_part(task.segment, task.part, task.segment - 1, [&](int c) { task.needs.push_back(index[task.segment - 1][c]); });
  }
  return tasks;
}

}  // namespace cameo::cuda
