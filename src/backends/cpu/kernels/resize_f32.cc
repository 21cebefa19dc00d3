// Resize of float32 by interpolation, an axis at a time as the reference does it, on vectors and by all threads. Along the
// last axis the vector holds output positions: their elements lie close together when an image grows, so that a load and a
// permutation bring them.
#include <algorithm>

#include "backends/cpu/kernels/resize_f32.h"
#include "base/thread_pool.h"
#include "ops/interpolate.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

constexpr int64_t kTaskElements = 8 << 10;  // of the output, to make a task worth its start

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  if (facts[node.inputs[0]].type.dtype != DType::kFloat32) return refuse("the input is not float32");
  return {};
}

void run_rows(ops::KernelContext& c, const ops::InterpolationPass& p) {
  const int64_t rows = p.outer * p.out, per_task = std::max<int64_t>(1, kTaskElements / p.inner);
  c.threads().parallel_for((rows + per_task - 1) / per_task, [&](int64_t task, int) {
    for (int64_t row = task * per_task; row < std::min(rows, (task + 1) * per_task); ++row) {
      const int64_t i = row % p.out;
      float* to = p.to + row * p.inner;
      if (p.outside[i] != 0)
        std::fill_n(to, p.inner, p.extrapolation);
      else
        cpu::resize_f32_kernels().sum_rows({.from = p.from + row / p.out * p.in * p.inner,
                                            .indices = p.indices + i * p.taps,
                                            .weights = p.weights + i * p.taps,
                                            .taps = p.taps,
                                            .count = p.inner,
                                            .to = to});
    }
  });
}

// Prepares vectors of positions; false where the elements of one lie too far apart.
bool make_plan(ops::KernelContext& c, const ops::InterpolationPass& p, cpu::RowPlan& plan) {
  const int64_t lanes = cpu::resize_f32_kernels().lanes, blocks = (p.out + lanes - 1) / lanes;
  if (p.in > INT32_MAX || std::any_of(p.outside, p.outside + p.out, [](uint8_t v) { return v != 0; })) return false;
  const auto bases = c.scratch<int32_t>(blocks * p.taps), offsets = c.scratch<int32_t>(blocks * p.taps * lanes);
  const auto weights = c.scratch<float>(blocks * p.taps * lanes);
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t t = 0; t < p.taps; ++t) {
      const int64_t first = block * lanes, count = std::min(lanes, p.out - first), at = block * p.taps + t;
      int64_t low = p.in, high = 0;
      for (int64_t i = first; i < first + count; ++i) {
        low = std::min(low, p.indices[i * p.taps + t]);
        high = std::max(high, p.indices[i * p.taps + t]);
      }
      if (high - low >= lanes) return false;
      bases[static_cast<size_t>(at)] = static_cast<int32_t>(low);
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const bool valid = lane < count;
        offsets[static_cast<size_t>(at * lanes + lane)] = valid ? static_cast<int32_t>(p.indices[(first + lane) * p.taps + t] - low) : 0;
        weights[static_cast<size_t>(at * lanes + lane)] = valid ? p.weights[(first + lane) * p.taps + t] : 0;
      }
    }
  plan = {.out = p.out,
          .in = p.in,
          .taps = p.taps,
          .blocks = blocks,
          .bases = bases.data(),
          .offsets = offsets.data(),
          .weights = weights.data()};
  return true;
}

void run_pass(ops::KernelContext& c, const ops::InterpolationPass& p) {
  if (p.inner > 1) return run_rows(c, p);
  cpu::RowPlan plan;
  const bool planned = make_plan(c, p, plan);
  const int64_t per_task = std::max<int64_t>(1, kTaskElements / p.out);
  c.threads().parallel_for((p.outer + per_task - 1) / per_task, [&](int64_t task, int) {
    for (int64_t row = task * per_task; row < std::min(p.outer, (task + 1) * per_task); ++row) {
      const float* from = p.from + row * p.in;
      float* to = p.to + row * p.out;
      if (planned) {
        cpu::resize_f32_kernels().sum_elements(plan, from, to);
        continue;
      }
      for (int64_t i = 0; i < p.out; ++i) {
        float sum = 0;
        for (int64_t t = i * p.taps; t < (i + 1) * p.taps; ++t) sum += p.weights[t] * from[p.indices[t]];
        to[i] = p.outside[i] != 0 ? p.extrapolation : sum;
      }
    }
  });
}

Status run(ops::KernelContext& c) { return ops::resize(c, &run_pass); }

}  // namespace

CAMEO_DEFINE_TACTIC(resize_f32) = {
    .name = "resize_f32",
    .op = "Resize",
    .supports = &supports,
    .run = &run,
};

}  // namespace cameo::tactics
