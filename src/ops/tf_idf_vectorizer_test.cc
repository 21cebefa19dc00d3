#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(TfIdfVectorizer) {
  using Attributes = std::vector<std::pair<std::string, std::string>>;
  // 1-grams 2, 3; 2-grams (2, 3), (3, 3)
  const auto with = [](Attributes more) {
    Attributes all = {{"ngram_counts", "[0, 2]"}, {"ngram_indexes", "[0, 1, 3, 2]"}, {"min_gram_length", "1"}, {"max_gram_length", "2"}};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const Attributes ints = {{"pool_int64s", "[2, 3, 2, 3, 3, 3]"}, {"max_skip_count", "0"}, {"mode", "'TF'"}};
  const Tensor x = tensor<int64_t>({5}, {2, 3, 3, 9, 3});
  return {
      {.name = "counts", .attributes = with(ints), .inputs = {x}, .outputs = {tensor<float>({4}, {1, 3, 1, 1})}},
      {.name = "with skips",
       .attributes = with({{"pool_int64s", "[2, 3, 2, 3, 3, 3]"}, {"max_skip_count", "2"}, {"mode", "'TF'"}}),
       .inputs = {x},
       .outputs = {tensor<float>({4}, {1, 3, 3, 2})}},
      {.name = "weighted presence of strings, by row",
       .attributes =
           with({{"pool_strings", "[a, b, a, b, b, b]"}, {"weights", "[1, 2, 3, 4]"}, {"max_skip_count", "0"}, {"mode", "'IDF'"}}),
       .inputs = {tensor<std::string>({2, 3}, {"a", "b", "b", "x", "b", "x"})},
       .outputs = {tensor<float>({2, 4}, {1, 2, 3, 4, 0, 2, 0, 0})}},
      {.name = "no elements",
       .attributes = with(ints),
       .inputs = {tensor<int32_t>({1, 0}, {})},
       .outputs = {tensor<float>({1, 4}, {0, 0, 0, 0})}},
      {.name = "strings with a pool of numbers",
       .attributes = with(ints),
       .inputs = {tensor<std::string>({1}, {"a"})},
       .error = "does not go with the pool"},
      {.name = "pool beyond its end",
       .attributes = {{"ngram_counts", "[0, 9]"},
                      {"ngram_indexes", "[0]"},
                      {"min_gram_length", "1"},
                      {"max_gram_length", "1"},
                      {"pool_int64s", "[1]"},
                      {"mode", "'TF'"}},
       .inputs = {x},
       .error = "items 0 to 9 of 1"},
  };
}

}  // namespace cameo::ops
