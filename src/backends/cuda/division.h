// How a run is divided: which of its first and last steps are taken for parts of the batch, one part after the other, so that copies of
// inputs and outputs run beside the computation. Nothing here knows of a device.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace cameo::cuda {

struct Division {
  static constexpr int kLevels = 4, kMostSteps = 127;
  static constexpr size_t kLeastCopied = size_t{2} << 20;  // bytes of inputs or outputs that a run is divided for
  static constexpr int parts_of(int level) { return 2 << level; }

  // By level: how many of the first steps are taken for parts_of(level) or more parts, at most kMostSteps and never more than at the
  // level before. Small images are few operations, so what comes first can be in more parts than what follows.
  using Cuts = std::array<int, kLevels>;
  Cuts head{};
  Cuts tail{};  // the same, of the last steps

  bool none() const { return head[0] == 0 && tail[0] == 0; }
  bool operator==(const Division&) const = default;
};

// Cuts as a number, 0 for none, and back; what is no such number gives none.
int code_of(const Division::Cuts& cuts);
Division::Cuts cuts_of(int code);

// Steps [first, last), which run for one of `parts` parts at a time.
struct Segment {
  size_t first = 0, last = 0;
  int level = -1;  // of a division; -1: for the whole batch
  int parts() const { return level < 0 ? 1 : Division::parts_of(level); }
};
// Of a run of so many steps, in their order.
std::vector<Segment> segments_of(const Division& division, size_t steps);

// A segment's steps for one part.
struct Task {
  size_t segment = 0;
  int part = 0;
  int lane = 0;               // 0 or 1: the tasks of a lane run one after another
  std::vector<size_t> needs;  // tasks before it whose results it reads
};
// In the order in which they are launched: each as soon as what it needs is, and those of the whole batch in lane 0.
std::vector<Task> tasks_of(std::span<const Segment> segments);

}  // namespace cameo::cuda
