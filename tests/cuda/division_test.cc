// How runs are divided: cuts as numbers, and tasks that cover each step of each row once, behind what they read. Needs no GPU.
#include "backends/cuda/division.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>

#include "expect.h"

namespace cameo::cuda {
namespace {

using test::expect;

constexpr int kRows = 16;

std::string text(const Division& d, size_t steps) {
  std::string s = std::to_string(steps) + " steps, head";
  for (int cut : d.head) s += " " + std::to_string(cut);
  s += ", tail";
  for (int cut : d.tail) s += " " + std::to_string(cut);
  return s;
}

void check(const Division& division, size_t steps) {
  const std::string name = text(division, steps);
  const std::vector<Segment> segments = segments_of(division, steps);
  size_t at = 0;
  for (const Segment& s : segments) {
    expect(s.first == at && s.last > at, name + ": segments do not follow one another");
    at = s.last;
  }
  expect(at == steps, name + ": segments do not end with the steps");
  const std::vector<Task> tasks = tasks_of(segments);
  // done[step][row]: the task that did it.
  std::vector<std::vector<int>> done(steps, std::vector<int>(kRows, -1));
  std::vector<std::set<size_t>> behind(tasks.size());  // what a task certainly runs behind
  size_t last_of_lane[2] = {SIZE_MAX, SIZE_MAX};
  for (size_t i = 0; i < tasks.size(); ++i) {
    const Task& task = tasks[i];
    const Segment& s = segments[task.segment];
    const auto runs_behind = [&](size_t other) {
      behind[i].insert(other);
      behind[i].insert(behind[other].begin(), behind[other].end());
    };
    expect(task.lane == 0 || task.lane == 1, name + ": a lane that there is not");
    expect(i > 0 || task.lane == 0, name + ": the first task is not in lane 0");
    if (last_of_lane[task.lane] != SIZE_MAX) runs_behind(last_of_lane[task.lane]);
    last_of_lane[task.lane] = i;
    for (size_t need : task.needs) {
      expect(need < i, name + ": a task needs a later one");
      if (need < i) runs_behind(need);
    }
    const int rows = kRows / s.parts();
    for (size_t step = s.first; step < s.last; ++step)
      for (int row = task.part * rows; row < (task.part + 1) * rows; ++row) {
        expect(done[step][row] < 0, name + ": a row's step twice");
        for (size_t before = 0; before < step; ++before) {
          const int by = done[before][row];
          expect(by >= 0 && (by == static_cast<int>(i) || behind[i].count(static_cast<size_t>(by)) > 0),
                 name + ": a row's step before it can");
        }
        done[step][row] = static_cast<int>(i);
      }
    // The whole batch runs alone: what lies in its memory is read or written by nothing else meanwhile.
    if (s.parts() == 1)
      for (size_t other = 0; other < i; ++other) expect(behind[i].count(other) > 0, name + ": something runs beside the whole batch");
  }
  for (const auto& rows : done) expect(std::count(rows.begin(), rows.end(), -1) == 0, name + ": a row's step that nobody does");
}

void check_numbers() {
  const Division::Cuts many = {127, 64, 3, 0};
  expect(cuts_of(code_of(many)) == many, "cuts as a number");
  expect(code_of({}) == 0 && cuts_of(0) == Division::Cuts{}, "no cuts are 0");
  for (int bad : {-1, 1 << 28, 1 << 7, 5 | 6 << 7, 0x7fffffff})
    expect(cuts_of(bad) == Division::Cuts{}, "a number that is none of cuts: " + std::to_string(bad));
}

}  // namespace
}  // namespace cameo::cuda

int main() {
  using namespace cameo::cuda;
  check_numbers();
  unsigned state = 1;
  const auto draw = [&](int below) {
    state = state * 1664525u + 1013904223u;
    return static_cast<int>((state >> 8) % static_cast<unsigned>(below));
  };
  for (int round = 0; round < 400; ++round) {
    const int steps = 1 + draw(20);
    Division d;
    for (auto* cuts : {&d.head, &d.tail}) {
      for (int& cut : *cuts) cut = draw(3) == 0 ? 0 : draw(steps + 4);
      std::sort(cuts->rbegin(), cuts->rend());
    }
    check(d, static_cast<size_t>(steps));
  }
  check({.head = {127, 127, 127, 127}}, 130);
  return cameo::test::finish("cuda division");
}
