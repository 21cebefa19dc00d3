#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(RegexFullMatch) {
  if (!CAMEO_HAVE_PCRE2) {
    return {{.name = "not built in",
             .attributes = {{"pattern", "'a'"}},
             .inputs = {tensor<std::string>({0}, {})},
             .error = "build it with PCRE2"}};
  }
  const std::string many(40, 'a');
  return {
      {.name = "the whole string",
       .attributes = {{"pattern", "'a+|ab'"}},
       .inputs = {tensor<std::string>({5}, {"aa", "ab", "aab", "ba", ""})},
       .outputs = {tensor<bool>({5}, {true, true, false, false, false})}},
      {.name = "characters, not bytes; no newline at the end",
       .attributes = {{"pattern", "'^.$'"}},
       .inputs = {tensor<std::string>({4}, {"ü", "x\n", "\n", "\xff"})},
       .outputs = {tensor<bool>({4}, {true, false, false, false})}},
      {.name = "wrong pattern",
       .attributes = {{"pattern", "'a('"}},
       .inputs = {tensor<std::string>({0}, {})},
       .error = "is wrong at byte 2"},
      {.name = "no pattern", .inputs = {tensor<std::string>({0}, {})}, .error = "lacks the attribute 'pattern'"},
      {.name = "exponential time",
       .attributes = {{"pattern", "'(a|a)*b(?=c)|(a|a)*[bd]'"}},
       .inputs = {tensor<std::string>({1}, {many + "c"})},
       .error = "was given up"},
  };
}

}  // namespace cameo::ops
