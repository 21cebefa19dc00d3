#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
using ir::Dim;
const Dim kB = Dim::symbol("b"), kT = Dim::symbol("t");

// mask[:, :, :] = updates, as TorchScript's exporter writes it; `start` is where the indices along the last axis begin.
void build(TestGraph& g, int64_t start, bool swapped) {
  const Id data = g.input("data", DType::kFloat32, {kB, 1, kT}), updates = g.input("updates", DType::kFloat32, {kB, 1, kT});
  const Id shape = g.node("Shape", {data});
  const auto extent = [&](int64_t i) { return g.node("Gather", {shape, g.constant<int64_t>({}, {i})}); };
  const auto range = [&](Id first, Id last) { return g.node("Range", {first, last, g.constant<int64_t>({}, {1})}); };
  const auto zero = [&] { return g.constant<int64_t>({}, {0}); };
  const Id rows = g.node("Expand", {g.node("Reshape", {range(zero(), extent(0)), g.ints({-1, 1, 1})}), shape});
  const Id ones = g.node("Expand", {g.constant<int64_t>({1, 1}, {0}), shape});
  const Id first = g.constant<int64_t>({}, {start});
  const Id columns = g.node("Expand", {range(first, g.node("Add", {extent(2), first})), shape});
  const auto last = [&](Id x) { return g.node("Unsqueeze", {x, g.ints({-1})}); };
  const Id indices = g.node("Concat", {last(swapped ? ones : rows), last(swapped ? rows : ones), last(columns)}, {{"axis", int64_t{-1}}});
  g.output(g.node("Neg", {g.node("ScatterND", {data, indices, updates})}));
}

TEST(WholeScatter, EveryElement) {
  TestGraph g;
  build(g, 0, false);
  const ir::Graph left = fused(g.graph, {"dead_code", "shape_computation", "constant_folding", "identity", "chains", "whole_scatter"},
                               {{{"b", 2}, {"t", 5}}, {{"b", 1}, {"t", 0}}});
  EXPECT_EQ(ops_of(left), "Neg");
}

// The indices of one lie outside, and of the other in another order: neither can be run, so they are only looked at.
TEST(WholeScatter, OthersStay) {
  for (const bool swapped : {false, true}) {
    TestGraph g;
    build(g, swapped ? 0 : 1, swapped);
    std::vector<PassReport> reports;
    ASSERT_TRUE(run_passes(g.graph, {}, reports).ok());
    EXPECT_EQ(count(g.graph, "ScatterND"), 1u);
  }
}

}  // namespace
}  // namespace cameo::passes
