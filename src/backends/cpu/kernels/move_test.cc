#include "backends/cpu/kernels/kernel_test.h"

namespace cameo::tactics {
namespace {

Tensor random_bytes(DType type, const Dims& dims, uint32_t seed) {
  Tensor t = Tensor::allocate(type, dims).value();
  std::mt19937 random(seed);
  for (size_t i = 0; i < t.num_bytes(); ++i) static_cast<uint8_t*>(t.raw())[i] = static_cast<uint8_t>(random() % 2);
  return t;
}
constexpr DType kTypes[] = {DType::kFloat32, DType::kInt64, DType::kBool, DType::kFloat16, DType::kComplex128};

TEST(MoveKernels, Transpose) {
  for (DType type : kTypes) {
    for (int64_t rows : {1, 2, 3, 4, 7, 8, 15, 16, 17, 33, 100})
      for (int64_t columns : {1, 2, 3, 4, 8, 16, 31, 32, 65})
        NodeTest("", "Transpose", 13).input(random_bytes(type, {rows, columns}, 1)).expect_same("transpose_copy");
    for (std::initializer_list<int64_t> perm :
         {std::initializer_list<int64_t>{0, 2, 3, 1}, {0, 3, 1, 2}, {3, 2, 1, 0}, {0, 2, 1, 3}, {1, 0, 2, 3}, {0, 1, 2, 3}, {2, 0, 3, 1}}) {
      NodeTest("", "Transpose", 13).set("perm", perm).input(random_bytes(type, {2, 3, 17, 18}, 1)).expect_same("transpose_copy");
      NodeTest("", "Transpose", 13).set("perm", perm).input(random_bytes(type, {1, 64, 40, 40}, 1)).expect_same("transpose_copy");
      NodeTest("", "Transpose", 13).set("perm", perm).input(random_bytes(type, {2, 0, 3, 4}, 1)).expect_same("transpose_copy");
    }
    NodeTest("", "Transpose", 13).input(random_bytes(type, {}, 1)).expect_same("transpose_copy");
    NodeTest("", "Transpose", 13)
        .set("perm", {0, 1, 3, 2, 4, 5})
        .input(random_bytes(type, {1, 8, 7, 8, 7, 20}, 1))
        .expect_same("transpose_copy");
    if (HasFatalFailure()) return;
  }
}

TEST(MoveKernels, Slice) {
  const auto list = [](std::initializer_list<int64_t> v) { return Tensor::of<int64_t>({static_cast<int64_t>(v.size())}, v); };
  for (DType type : kTypes)
    for (const Dims& dims : {Dims{9, 20, 33}, Dims{3, 300, 120}, Dims{5, 0, 3}}) {
      const Tensor x = random_bytes(type, dims, 1);
      NodeTest("", "Slice", 13).input(x).constant(list({1})).constant(list({8})).constant(list({0})).expect_same("slice_copy");
      NodeTest("", "Slice", 13).input(x).constant(list({-5, 2})).constant(list({1000, 9})).constant(list({1, 2})).expect_same("slice_copy");
      NodeTest("", "Slice", 13)
          .input(x)
          .constant(list({-1, 0}))
          .constant(list({INT64_MIN, 30}))
          .constant(list({1, 2}))
          .constant(list({-2, 3}))
          .expect_same("slice_copy");
      NodeTest("", "Slice", 13).input(x).constant(list({4})).constant(list({4})).constant(list({2})).expect_same("slice_copy");
      if (HasFatalFailure()) return;
    }
}

TEST(MoveKernels, ConcatAndSplit) {
  for (DType type : kTypes)
    for (int axis : {0, 1, 2}) {
      Dims a = {3, 5, 17}, b = a, c = a;
      b[static_cast<size_t>(axis)] = 40;
      c[static_cast<size_t>(axis)] = 0;
      NodeTest("", "Concat", 13)
          .set("axis", axis)
          .input(random_bytes(type, a, 1))
          .input(random_bytes(type, b, 2))
          .input(random_bytes(type, c, 3))
          .expect_same("concat_copy");
      NodeTest("", "Concat", 13)
          .set("axis", axis)
          .input(random_bytes(type, {50, 60, 70}, 1))
          .input(random_bytes(type, {50, 60, 70}, 2))
          .expect_same("concat_copy");
      NodeTest("", "Split", 18)
          .set("axis", axis)
          .set("num_outputs", 2)
          .input(random_bytes(type, {50, 60, 70}, 1))
          .outputs({true, true})
          .expect_same("split_copy");
      NodeTest("", "Split", 18)
          .set("axis", axis)
          .set("num_outputs", 2)
          .input(random_bytes(type, {5, 7, 9}, 1))
          .outputs({false, true})
          .expect_same("split_copy");
      NodeTest("", "Split", 13)
          .set("axis", 1)
          .input(random_bytes(type, {5, 7, 9}, 1))
          .constant(Tensor::of<int64_t>({3}, {1, 0, 6}))
          .outputs({true, true, true})
          .expect_same("split_copy");
      if (HasFatalFailure()) return;
    }
}

TEST(MoveKernels, ExpandAndGather) {
  for (DType type : kTypes) {
    NodeTest("", "Expand", 13)
        .input(random_bytes(type, {3, 1, 5}, 1))
        .constant(Tensor::of<int64_t>({4}, {2, 1, 40, 5}))
        .expect_same("expand_copy");
    NodeTest("", "Expand", 13)
        .input(random_bytes(type, {64, 1}, 1))
        .constant(Tensor::of<int64_t>({2}, {64, 1000}))
        .expect_same("expand_copy");
    NodeTest("", "Expand", 13).input(random_bytes(type, {}, 1)).constant(Tensor::of<int64_t>({2}, {3, 0})).expect_same("expand_copy");
    for (int axis : {0, 1, 2})
      NodeTest("", "Gather", 13)
          .set("axis", axis)
          .input(random_bytes(type, {6, 30, 80}, 1))
          .input(Tensor::of<int64_t>({2, 3}, {0, -1, 5, 2, 2, -6}))
          .expect_same("gather_copy");
    NodeTest("", "Gather", 13).input(random_bytes(type, {100, 768}, 1)).input(Tensor::of<int32_t>({0}, {})).expect_same("gather_copy");
    Tensor many = Tensor::allocate(DType::kInt32, {500}).value();
    for (int i = 0; i < 500; ++i) many.data<int32_t>()[i] = i * 7 % 100;
    NodeTest("", "Gather", 13).input(random_bytes(type, {100, 768}, 1)).input(many).expect_same("gather_copy");
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace cameo::tactics
