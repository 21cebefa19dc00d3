#include "ops/trees.h"

#include <gtest/gtest.h>

#include <cmath>

namespace cameo::ops {
namespace {

// x[0] <= 1 ? (x[1] in {2, 3} ? leaf 0 : leaf 1) : leaf 2
Trees small() {
  Trees t;
  t.num_targets = 2;
  t.nodes = {{TreeMode::kLeq, false, 0, 1, 1, ~2}, {TreeMode::kMember, true, 1, 0, ~0, ~1, 0, 2}};
  t.members = {2, 3};
  t.leaves = {{0, 1}, {1, 1}, {2, 2}};
  t.weights = {{0, 10}, {1, 20}, {0, 1}, {1, 2}};
  t.roots = {0, ~1};
  return t;
}

std::vector<double> score(const Trees& t, std::vector<double> row, TreeAggregation aggregation = TreeAggregation::kSum) {
  std::vector<double> scores(static_cast<size_t>(t.num_targets));
  std::vector<char> found(scores.size());
  EXPECT_TRUE(t.check(std::ssize(row)).ok());
  EXPECT_TRUE(t.score(row, aggregation, {}, scores, found).ok());
  return scores;
}

TEST(Trees, FollowComparisonsAndSets) {
  EXPECT_EQ(score(small(), {1, 3}), (std::vector<double>{10, 20}));
  EXPECT_EQ(score(small(), {0, 4}), (std::vector<double>{0, 40}));
  EXPECT_EQ(score(small(), {2, 3}), (std::vector<double>{1, 22}));
  EXPECT_EQ(score(small(), {0, std::nan("")}), (std::vector<double>{10, 20}));
  EXPECT_EQ(score(small(), {std::nan(""), 3}), (std::vector<double>{1, 22}));
}

TEST(Trees, Aggregate) {
  EXPECT_EQ(score(small(), {2, 3}, TreeAggregation::kMin), (std::vector<double>{1, 2}));
  EXPECT_EQ(score(small(), {2, 3}, TreeAggregation::kMax), (std::vector<double>{1, 20}));
  EXPECT_EQ(score(small(), {2, 3}, TreeAggregation::kAverage), (std::vector<double>{0.5, 11}));
}

TEST(Trees, RejectWhatRefersToNothing) {
  EXPECT_FALSE(small().check(1).ok());  // feature 1
  Trees t = small();
  t.nodes[1].when_true = 7;
  EXPECT_FALSE(t.check(2).ok());
  t = small();
  t.weights[0].target = 2;
  EXPECT_FALSE(t.check(2).ok());
}

TEST(Trees, FindCycles) {
  Trees t = small();
  t.nodes[1].when_true = 0;
  std::vector<double> scores(2);
  std::vector<char> found(2);
  EXPECT_TRUE(t.check(2).ok());
  const auto status = t.score(std::vector<double>{1, 2}, TreeAggregation::kSum, {}, scores, found);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message().find("cycle"), std::string::npos);
}

}  // namespace
}  // namespace cameo::ops
