#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(StringSplit) {
  return {
      {.name = "white space",
       .inputs = {tensor<std::string>({3}, {" a  b ", "", "c\u00a0d\u3000e"})},
       .outputs = {tensor<std::string>({3, 3}, {"a", "b", "", "", "", "", "c", "d", "e"}), tensor<int64_t>({3}, {2, 0, 3})}},
      {.name = "a delimiter keeps what is empty",
       .attributes = {{"delimiter", "'--'"}},
       .inputs = {tensor<std::string>({2}, {"a----b", ""})},
       .outputs = {tensor<std::string>({2, 3}, {"a", "", "b", "", "", ""}), tensor<int64_t>({2}, {3, 1})}},
      {.name = "at most once",
       .attributes = {{"maxsplit", "1"}},
       .inputs = {tensor<std::string>({}, {"a b c "})},
       .outputs = {tensor<std::string>({2}, {"a", "b c "}), tensor<int64_t>({}, {2})}},
      {.name = "no strings",
       .inputs = {tensor<std::string>({0}, {})},
       .outputs = {tensor<std::string>({0, 0}, {}), tensor<int64_t>({0}, {})}},
  };
}

}  // namespace cameo::ops
