#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using ir::Dim;
const Dim kB = Dim::symbol("b"), kT = Dim::symbol("t");

std::string left_of(const char* equation, const ir::Shape& a, const ir::Shape& b, std::string* notes = nullptr) {
  TestGraph g;
  g.output(g.node("Einsum", {g.input("a", DType::kFloat32, a), g.input("b", DType::kFloat32, b)}, {{"equation", std::string(equation)}}));
  return ops_of(fused(g.graph, {"lower_einsum"}, {{{"b", 2}, {"t", 5}}, {{"b", 0}, {"t", 1}}}, 4e-6, notes));
}

TEST(LowerEinsum, Products) {
  EXPECT_EQ(left_of("bsij,bsjk->bsik", {kB, 3, kT, 4}, {kB, 3, 4, 6}), "MatMul");
  EXPECT_EQ(left_of("ij,jk", {kT, 4}, {4, 6}), "MatMul");
  EXPECT_EQ(left_of("...d,de->...e", {kB, kT, 4}, {4, 6}), "MatMul");
  EXPECT_EQ(left_of("...d,ed->...e", {kB, kT, 4}, {6, 4}), "Transpose, MatMul");
  EXPECT_EQ(left_of("bthd,bshd->bhts", {kB, kT, 3, 4}, {kB, 7, 3, 4}), "Transpose, Transpose, MatMul");
  EXPECT_EQ(left_of("bhts,bshd->bthd", {kB, 3, kT, 7}, {kB, 7, 3, 4}), "Transpose, MatMul, Transpose");
  EXPECT_EQ(left_of("bij,bjk->bki", {kB, kT, 4}, {kB, 4, 6}), "MatMul, Transpose");
}

TEST(LowerEinsum, WithoutRowsOrColumns) {
  EXPECT_EQ(left_of("bj,bjk->bk", {kB, 4}, {kB, 4, 6}), "Unsqueeze, MatMul, Squeeze");
  EXPECT_EQ(left_of("bij,bj->bi", {kB, kT, 4}, {kB, 4}), "Unsqueeze, MatMul, Squeeze");
  EXPECT_EQ(left_of("bj,bj->b", {kB, 4}, {kB, 4}), "Unsqueeze, Unsqueeze, MatMul, Squeeze, Squeeze");
}

TEST(LowerEinsum, OthersStay) {
  const auto stays = [](const char* equation, const ir::Shape& a, const ir::Shape& b, const std::string& why) {
    std::string notes;
    EXPECT_EQ(left_of(equation, a, b, &notes), "Einsum") << equation;
    EXPECT_NE(notes.find(why), std::string::npos) << equation << ": " << notes;
  };
  stays("ii,ij->j", {3, 3}, {3, 4}, "no single matrix product");
  stays("ij,kl->ijkl", {kB, 3}, {kT, 4}, "no single matrix product");
  stays("bijc,bckl->bijkl", {kB, 3, kT, 4}, {kB, 4, 5, 6}, "no single matrix product");
  stays("ijk,jk->i", {kB, 3, 4}, {3, 4}, "no single matrix product");
  stays("ij,jk->ik", {kB, 4}, {1, 6}, "may differ");
}

}  // namespace
}  // namespace cameo::passes
