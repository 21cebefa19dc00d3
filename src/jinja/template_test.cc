#include "jinja/template.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cameo::jinja {
namespace {

std::string render(std::string_view source, const Meter::Limits& limits = {}) {
  const auto parsed = Template::parse(source);
  if (!parsed.ok()) return "error: " + parsed.error().message();
  const auto json =
      nlohmann::ordered_json::parse(R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}], "n": 3})");
  std::unordered_map<std::string, Value> variables;
  for (const auto& [name, value] : json.items()) variables[name] = Value::from_json(value).value();
  const auto text = parsed->render(variables, limits);
  return text.ok() ? *text : "error: " + text.error().message();
}

// tests/jinja/compare.py compares thousands more with jinja2.
TEST(Template, Renders) {
  const struct {
    const char* source;
    const char* text;
  } cases[] = {
      {"{% for m in messages %}<{{ m.role }}>{{ m['content'] }}{% if not loop.last %}|{% endif %}{% endfor %}", "<user>Hi|<assistant>Ho"},
      {"{%- set ns = namespace(k=0) -%} {% for i in range(n) %}{% set ns.k = ns.k + i %}{% endfor %} {{- ns.k }}", "3"},
      {"{% macro f(x, y=2) %}{{ x * y }}{% endmacro %}{{ f(n) }} {{ f(n, y=5) }}", "6 15"},
      {"a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc"},
      {"{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join }}", "Hi"},
      {"{{ messages[::-1][0].content[:1] ~ messages[-1]['content'][1] }}", "Ho"},
      {"{{ messages[0] | tojson }}", R"({"role": "user", "content": "Hi"})"},
      {"{{ 'é😀' | length }}{{ 'x' if nothing is defined else 'y' }}{{ nothing }}{{ none }}", "2yNone"},
      {"{{ 7 // 2 }} {{ -7 % 3 }} {{ 1e16 }} {{ 0.1 + 0.2 }} {{ 10 / 4 }}", "3 2 1e+16 0.30000000000000004 2.5"},
  };
  for (const auto& c : cases) EXPECT_EQ(render(c.source), c.text) << c.source;
}

TEST(Template, ErrorsSayWhereAndWhat) {
  const struct {
    const char* source;
    const char* part;
  } cases[] = {
      {"a\n{{ nothing.x }}", "line 2: 'nothing' is undefined"},
      {"{{ raise_exception('Roles must take turns') }}", "Roles must take turns"},
      {"\n\n{% if x", "line 3"},
      {"{% if x %}", "the end of the template where {% endif %} should be"},
      {"{% include 'other' %}", "needs another template"},
      {"{{ 'a' | shout }}", "there is no filter 'shout'"},
      {"{{ messages.append(1) }}", "has no attribute 'append'"},
      {"{{ 9223372036854775807 + 1 }}", "too large"},
      {"{{ 1 // 0 }}", "division by zero"},
      {"\xff", "not UTF-8 at byte 0"},
      {"{{ (1, 2) }", "unexpected '}'"},
  };
  for (const auto& c : cases) {
    const std::string text = render(c.source);
    EXPECT_TRUE(text.starts_with("error: ") && text.find(c.part) != std::string::npos) << c.source << " gave " << text;
  }
}

// Whatever a template does, it ends soon and uses little.
TEST(Template, IsBounded) {
  std::string deep, chain = "{{ 1", lists = "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}";
  for (int i = 0; i < 5000; ++i) deep += "(";
  for (int i = 0; i < 5000; ++i) chain += " + 1";
  const std::string sources[] = {
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{{ 'a' * 9999999999 }}",
      "{{ [0] * 9999999999 }}",
      "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x + [] or ns.x | "
      "tojson }}",
      "{% for i in range(99999) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' * 99999 }}{% endfor %}",
      "{{ 'a' | replace('', 'b' * 9999999) | replace('b', 'c' * 9999999) }}",
      "{{ '%9999999999d' % 1 }}{{ '%99999d' % 1 * 99999 }}",
      "{{ 2 ** 9999999999 }}",
      "{{ range(10 ** 12) }}",
      "{{ " + deep,
      "{% if " + deep,
      chain + " }}",
      lists,
  };
  for (const std::string& source : sources) EXPECT_TRUE(render(source).starts_with("error: ")) << source.substr(0, 120);
  // Values that hold each other are freed all the same; leak checkers watch.
  EXPECT_EQ(render("{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = [b] %}{% macro m() %}{% endmacro %}{% set a.m = m "
                   "%}{{ a.b | length }}"),
            "1");
  EXPECT_EQ(render("{% set a = namespace() %}{% for i in [1] %}{% set a.l = loop %}{{ loop.changed(loop) }}{% endfor %}"), "True");
}

}  // namespace
}  // namespace cameo::jinja
