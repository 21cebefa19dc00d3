#include "backends/cpu/kernels/kernel_test.h"

namespace cameo::tactics {
namespace {

struct Op {
  const char *name, *tactic;
};
constexpr Op kOps[] = {{"ReduceSum", "reduce_sum_f32"},
                       {"ReduceMean", "reduce_mean_f32"},
                       {"ReduceMax", "reduce_max_f32"},
                       {"ReduceMin", "reduce_min_f32"},
                       {"ReduceSumSquare", "reduce_sum_square_f32"},
                       {"ReduceL1", "reduce_l1_f32"}};

NodeTest reduction(const Op& op, const Tensor& x, std::initializer_list<int64_t> axes, int keepdims = 1) {
  NodeTest test("", op.name, 18);
  test.set("keepdims", keepdims).input(x).constant(Tensor::of<int64_t>({static_cast<int64_t>(axes.size())}, axes));
  return test;
}

TEST(ReduceKernels, SizesAndAxes) {
  for (const Op& op : kOps) {
    for (int64_t n : {0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 33, 66}) {
      const Tensor x = random_floats({3, n, 5}, 1), y = random_floats({5, 3, n}, 2);
      for (std::initializer_list<int64_t> axes : {std::initializer_list<int64_t>{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}, {}}) {
        reduction(op, x, axes).expect_same(op.tactic, 1e-5, 1e-5);
        reduction(op, y, axes, 0).expect_same(op.tactic, 1e-5, 1e-5);
        if (HasFatalFailure()) return;
      }
    }
    reduction(op, random_floats({2, 3, 4, 5, 6}, 1), {0, 2, 4}).expect_same(op.tactic, 1e-5, 1e-5);
    reduction(op, random_floats({2, 3, 4, 5, 6}, 1), {1, 3}).expect_same(op.tactic, 1e-5, 1e-5);
    reduction(op, random_floats({1, 3136, 96}, 1), {1}).expect_same(op.tactic, 1e-5, 1e-4);
    reduction(op, random_floats({1, 3, 40000}, 1), {2}).expect_same(op.tactic, 1e-5, 1e-3);
    reduction(op, random_floats({}, 1), {}).expect_same(op.tactic, 1e-5, 1e-5);
    reduction(op, special_floats({9, 33}, 1), {0}).expect_same(op.tactic, 1e-5, 1e-5);
    reduction(op, special_floats({30, 9}, 1), {1}).expect_same(op.tactic, 1e-5, 1e-5);
    reduction(op, special_floats({30, 40}, 1), {1}).set("noop_with_empty_axes", 1).expect_same(op.tactic, 1e-5, 1e-5);
    reduction(op, random_floats({30, 40}, 1), {}).set("noop_with_empty_axes", 1).expect_same(op.tactic, 1e-5, 1e-5);
    if (HasFatalFailure()) return;
  }
}

TEST(ReduceKernels, GlobalPools) {
  for (const Op& op : {Op{"GlobalAveragePool", "global_average_pool_f32"}, Op{"GlobalMaxPool", "global_max_pool_f32"}})
    for (const Dims& dims : {Dims{2, 3, 7, 7}, Dims{1, 300, 13, 11}, Dims{1, 2, 1, 1}, Dims{0, 3, 2, 2}, Dims{2, 3, 17}})
      NodeTest("", op.name, 13).input(random_floats(dims, 1)).expect_same(op.tactic, 1e-5, 1e-6);
}

}  // namespace
}  // namespace cameo::tactics
