#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(StringNormalizer) {
  const Tensor days = tensor<std::string>({3}, {"Monday", "tuesday", "Élan"});
  return {
      {.name = "case-sensitive, lower",
       .attributes = {{"case_change_action", "'LOWER'"}, {"is_case_sensitive", "1"}, {"stopwords", "[monday]"}},
       .inputs = {days},
       .outputs = {tensor<std::string>({3}, {"monday", "tuesday", "élan"})}},
      {.name = "case-insensitive, upper",
       .attributes = {{"case_change_action", "'UPPER'"}, {"stopwords", "[monday]"}},
       .inputs = {days.reshaped({1, 3})},
       .outputs = {tensor<std::string>({1, 2}, {"TUESDAY", "ÉLAN"})}},
      {.name = "nothing left",
       .attributes = {{"stopwords", "[Monday, TUESDAY, élan]"}},
       .inputs = {days},
       .outputs = {tensor<std::string>({1}, {""})}},
      {.name = "bytes that are no text stay",
       .attributes = {{"case_change_action", "'UPPER'"}},
       .inputs = {tensor<std::string>({2}, {"a\xff", "b\xe2\x82"})},
       .outputs = {tensor<std::string>({2}, {"A\xff", "B\xe2\x82"})}},
      {.name = "unknown action",
       .attributes = {{"case_change_action", "'TITLE'"}},
       .inputs = {days},
       .error = "case_change_action is 'TITLE'"},
      {.name = "two rows", .inputs = {tensor<std::string>({2, 1}, {"a", "b"})}, .error = "it must be [C] or [1, C]"},
  };
}

}  // namespace cameo::ops
