// What can stand after "is".
#include <array>
#include <cmath>
#include <utility>

#include "jinja/interpreter.h"
#include "jinja/text.h"

namespace cameo::jinja {
namespace {

Result<Value> operand(const Arguments& a) {
  const Value* given = a.get(0, "other");
  if (!given) return fault("the test needs a value to compare with");
  return *given;
}

Result<bool> compare(Interpreter& in, const Value& v, const Arguments& a, bool swapped, bool negated) {
  CAMEO_ASSIGN(const Value other, operand(a));
  CAMEO_ASSIGN(const bool below, swapped ? less(other, v, in.meter()) : less(v, other, in.meter()));
  return below != negated;
}

Result<bool> same(Interpreter& in, const Value& v, const Arguments& a, bool negated) {
  CAMEO_ASSIGN(const Value other, operand(a));
  const bool found = equal(v, other, in.meter());
  CAMEO_TRY(in.meter().check());
  return found != negated;
}

Result<bool> cased(Interpreter& in, const Value& v, bool (*test)(std::string_view)) {
  CAMEO_ASSIGN(const std::string text, to_str(v, in.meter()));
  return test(text);
}

Result<bool> divisible(const Value& v, int64_t by, int64_t rest) {
  if (v.is_float()) return by != 0 && std::fmod(v.number(), static_cast<double>(by)) == static_cast<double>(rest);
  if (!v.is_integral()) return fault("a {} is no number", v.type_name());
  if (by == 0) return fault("division by zero");
  return (by == -1 || v.integer() % by == 0) == (rest == 0);
}

#define CAMEO_TEST(expression)                                              \
  [](Interpreter& in, const Value& v, const Arguments& a) -> Result<bool> { \
    (void)in, (void)v, (void)a;                                             \
    return expression;                                                      \
  }

constexpr std::pair<std::string_view, Test> kTests[] = {
    {"boolean", CAMEO_TEST(v.is_bool())},
    {"callable", CAMEO_TEST(v.is_object() && v.object()->kind != "namespace")},
    {"defined", CAMEO_TEST(!v.is_undefined())},
    {"divisibleby", CAMEO_TEST(a.positional.size() == 1 && a.positional[0].is_integral() ? divisible(v, a.positional[0].integer(), 0)
                                                                                         : fault("divisibleby needs an integer"))},
    {"escaped", CAMEO_TEST(false)},
    {"even", CAMEO_TEST(divisible(v, 2, 0))},
    {"odd", CAMEO_TEST(divisible(v, 2, 1))},
    {"false", CAMEO_TEST(v.is_bool() && !v.truth())},
    {"true", CAMEO_TEST(v.is_bool() && v.truth())},
    {"filter", CAMEO_TEST(v.is_string() && find_filter(v.string()) != nullptr)},
    {"test", CAMEO_TEST(v.is_string() && find_test(v.string()) != nullptr)},
    {"float", CAMEO_TEST(v.is_float())},
    {"integer", CAMEO_TEST(v.is_int())},
    {"number", CAMEO_TEST(v.is_number())},
    {"iterable", CAMEO_TEST(v.is_string() || v.is_list() || v.is_dict() || v.is_undefined())},
    {"sequence", CAMEO_TEST(v.is_string() || (v.is_list() && !v.list().generator) || v.is_dict() || v.is_undefined())},
    {"mapping", CAMEO_TEST(v.is_dict())},
    {"string", CAMEO_TEST(v.is_string())},
    {"none", CAMEO_TEST(v.is_none())},
    {"undefined", CAMEO_TEST(v.is_undefined())},
    {"lower", CAMEO_TEST(cased(in, v, &is_lower))},
    {"upper", CAMEO_TEST(cased(in, v, &is_upper))},
    {"in", CAMEO_TEST(a.positional.size() == 1 ? contains(in, a.positional[0], v) : fault("the test 'in' needs a value"))},
    {"sameas",
     CAMEO_TEST(a.positional.size() == 1 && a.positional[0].type_name() == v.type_name() ? same(in, v, a, false) : Result<bool>(false))},
    {"eq", CAMEO_TEST(same(in, v, a, false))},
    {"equalto", CAMEO_TEST(same(in, v, a, false))},
    {"==", CAMEO_TEST(same(in, v, a, false))},
    {"ne", CAMEO_TEST(same(in, v, a, true))},
    {"!=", CAMEO_TEST(same(in, v, a, true))},
    {"lt", CAMEO_TEST(compare(in, v, a, false, false))},
    {"lessthan", CAMEO_TEST(compare(in, v, a, false, false))},
    {"<", CAMEO_TEST(compare(in, v, a, false, false))},
    {"gt", CAMEO_TEST(compare(in, v, a, true, false))},
    {"greaterthan", CAMEO_TEST(compare(in, v, a, true, false))},
    {">", CAMEO_TEST(compare(in, v, a, true, false))},
    {"le", CAMEO_TEST(compare(in, v, a, true, true))},
    {"<=", CAMEO_TEST(compare(in, v, a, true, true))},
    {"ge", CAMEO_TEST(compare(in, v, a, false, true))},
    {">=", CAMEO_TEST(compare(in, v, a, false, true))},
};

#undef CAMEO_TEST

}  // namespace

Test find_test(std::string_view name) {
  for (const auto& [known, test] : kTests)
    if (known == name) return test;
  return nullptr;
}

}  // namespace cameo::jinja
