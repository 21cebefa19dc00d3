#!/usr/bin/env python3
"""Compares Cameo's templates with the PyPI package jinja2, set up as transformers sets it up for chat templates.

  compare.py RENDER_LINES [--random N] [--seed S] [--summary FILE]

RENDER_LINES is the program of render_lines.cc. Three kinds of templates: those in templates/ for many conversations, single
expressions and statements, and random ones. Whatever jinja2 renders has to be rendered the same; what it refuses has to be
refused, but for random ones, where Python's accidents would count.
"""
import argparse
import copy
import datetime
import itertools
import json
import os
import random
import subprocess
import sys
import warnings

import jinja2
import jinja2.ext
import jinja2.sandbox

warnings.simplefilter("ignore")  # of Python, about what the random templates do
HERE = os.path.dirname(os.path.abspath(__file__))


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def environment():
    def refuse(message):
        raise jinja2.exceptions.TemplateError(message)

    def to_json(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = to_json
    env.globals["raise_exception"] = refuse
    env.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return env


# In a text: the way Python writes an object that JSON does not have.
PYTHONS_OWN = ["object at 0x", "built-in method", "<generator", "<bound method", "dict_items(", "dict_keys(", "dict_values(", "range(", "undefined"]
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "the weather\nof a place", "parameters": {"type": "object", "properties": {
        "place": {"type": "string", "description": "where <it> is"}, "days": {"type": ["integer", "null"]}, "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["place"]}}},
    {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}, "return": {"type": "number"}}},
]
USER, ANSWER = {"role": "user", "content": "  What is 2 + 2?\n"}, {"role": "assistant", "content": "It is 4 – “four”. 😀"}
SYSTEM = {"role": "system", "content": "Be brief & 'kind'."}
CALL = {"role": "assistant", "content": "", "tool_calls": [{"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": {"place": "Köln", "days": 3, "x": 1.5}}}]}
CALLS = {"role": "assistant", "content": None, "tool_calls": CALL["tool_calls"] + [{"id": "123456789", "function": {"name": "add", "arguments": {}}}]}
RESULT = {"role": "tool", "content": "12 °C", "tool_call_id": "abcdefghi", "name": "weather"}
THINK = {"role": "assistant", "content": "<think>\nlet me see\n</think>\n\nParis"}
PARTS = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " and this? "}]}
CONVERSATIONS = [
    [USER], [SYSTEM, USER], [USER, ANSWER], [USER, ANSWER, USER], [SYSTEM, USER, ANSWER, USER, ANSWER], [SYSTEM], [ANSWER, USER], [USER, USER], [USER, SYSTEM],
    [USER, CALL, RESULT], [SYSTEM, USER, CALL, RESULT, ANSWER, USER], [USER, CALLS, RESULT, RESULT], [USER, THINK, USER, THINK], [PARTS], [SYSTEM, PARTS, ANSWER],
    [{"role": "user", "content": ""}], [{"role": "user", "content": "{{ messages }} {% if %}<|im_end|>"}], [{"role": "bot", "content": "x"}], [],
]

EXPRESSIONS = r"""
1 + 2 * 3 - 4 / 2 | 7 // 2 | -7 // 2 | -7 % 3 | 7 % -3 | 2 ** 10 | 2 ** -1 | -2 ** 2 | 2 ** 3 ** 2 | 1.0 | 1e3 | 1e16 | 1.5e-7 | 0.1 + 0.2 | 100.0 / 3 | 7.5 // 2 | -7.5 % 2 | 1_000
'a' + 'b' | 'a' ~ 1 ~ none ~ true | 'ab' * 3 | [1, 2] + [3] | (1, 2) + (3,) | [0] * 3 | 'x' 'y' "z" | "a\tb\n\x41\u00e9\\" | 'it\'s' | "\q"
1 < 2 < 3 | 1 < 3 < 2 | 1 == 1.0 | 1 == true | 'a' == "a" | 'b' > 'a' | [1, 2] < [1, 3] | none == none | 1 != 2 | x == none | not x | not 1 == 2
1 in [1, 2] | 'b' in 'abc' | 'k' in {'k': 1} | 3 not in [1, 2] | 1 in x | (1, 2) | (1,) | () | [] | {} | {'a': 1, 'b': [true, none, 'x']} | ['it\'s', "q\"", 1.0, none]
1 if true else 2 | 1 if false | 'y' if x else 'n' | (1 if false) is undefined | true and 'a' | false or 'b' | '' or [] or 'c' | 0 and 1 | not true and false
s[0] | s[-1] | s[99] is undefined | s[1:3] | s[::-1] | s[-3:] | s[:-1] | s[1:99:2] | s[5:1:-2] | l[0] | l[-1] | l[1:] | l[::-1] | l[10:] | l[:2] | d['k'] | d.k | d.missing is defined | d['missing'] | d.items() | d.keys() | d.values() | d.get('k') | d.get('zz') | d.get('zz', 7) | l[none:2]
s.upper() | s.lower() | s.title() | s.capitalize() | s.strip() | ' a '.strip() | 'xxaxx'.strip('x') | ' a'.lstrip() | 'a '.rstrip() | 'a,b,,c'.split(',') | ' a  b '.split() | 'a b c'.split(none, 1) | 'a,b,c'.split(',', 1) | 'a,b,c'.rsplit(',', 1) | ' a b c '.rsplit(none, 1) | s.startswith('He') | s.endswith(('x', 'o')) | s.replace('l', 'L') | s.replace('l', 'L', 1) | 'aaa'.replace('', '-') | '-'.join(['a', 'b']) | s.find('l') | s.find('z') | s.rfind('l') | s.count('l') | 'a\nb\r\nc'.splitlines() | '42'.isdigit() | 'ab'.isalpha() | 'a1'.isalnum() | ' '.isspace() | 'ABC'.isupper() | 'a{}b{}'.format(1, 'x') | '{0}{1}{0}'.format(1, 2) | '{a}'.format(a=3) | 'x'.center(5) | 'x'.ljust(3) + '|' | '7'.zfill(3) | 'a-b-c'.partition('-') | 'a-b-c'.rpartition('-') | 'prefix-x'.removeprefix('prefix-') | 'é😀'.upper() | 'straße'.upper()
l | length | s | length | 'é😀' | length | d | length | x | length | l | first | l | last | [] | first | l | join(', ') | l | join | l | sum | l | max | l | min | l | sort | [3, 1, 2] | sort(reverse=true) | ['b', 'A', 'c'] | sort | ['b', 'A'] | sort(case_sensitive=true) | l | reverse | list | 'abc' | reverse | l | list | 'abc' | list | d | list | l | map('string') | list | l | select('odd') | list | l | reject('odd') | list | [1, 0, '', 'a'] | select | list | l | unique | list | [1, 1.0, true, 2] | unique | list | l | batch(2) | list | l | batch(2, 'x') | list
'  a ' | trim | 'xax' | trim('x') | s | upper | s | lower | s | capitalize | 'hello wOrld-foo (bar' | title | s | replace('l', '1') | s | replace('l', '1', 1) | 'a\nb\n\nc' | indent | 'a\nb' | indent(2, true) | 'a\n\nb' | indent(2, false, true) | 'a b c d e f g h' | truncate(9) | 'a b c d e f g h' | truncate(9, true, '!', 0) | '<a href="x">&\'' | escape | '%s-%d' | format('a', 3) | '%5.2f|%-4s|%04d' | format(3.14159, 'ab', 42) | 'a b_c d-e' | wordcount | 'x y/ö' | urlencode | 'abc' | center(9)
'12' | int | '12.7' | int | 'x' | int | 'x' | int(5) | 'ff' | int(0, 16) | 3.9 | int | '1.5' | float | 'x' | float | 'x' | float(2.5) | -3 | abs | -3.5 | abs | 2.5 | round | 3.5 | round | 2.675 | round(2) | 2.1 | round(0, 'ceil') | 2.9 | round(method='floor') | 1234.5 | round(-2) | 5 | round | true | int | none | string | 1.0 | string | [1] | string
x | default('d') | '' | default('d') | '' | default('d', true) | none | default('d') | none | d('e', boolean=true) | d | dictsort | d | items | list | d | tojson | l | tojson(indent=2) | d | tojson(separators=(',', ':')) | {'b': 1, 'a': 2} | tojson(sort_keys=true) | 'é"\\\n\u0001' | tojson | 'é😀' | tojson(ensure_ascii=true) | [] | tojson(indent=2) | {'a': [], 'b': {}} | tojson(indent=1) | 1.0 | tojson | m | map(attribute='role') | list | m | map(attribute='n.k', default='?') | list | m | selectattr('role', 'equalto', 'user') | list | length | m | rejectattr('role', 'in', ['user']) | map(attribute='role') | join(',') | m | selectattr('n') | list | length | m | groupby('role') | list | length | m | sum(attribute='v') | m | sort(attribute='v') | map(attribute='v') | list | m | max(attribute='v')
x is defined | x is undefined | s is string | 1 is number | true is number | 1 is integer | true is integer | 1.5 is float | true is boolean | d is mapping | l is iterable | 1 is iterable | l is sequence | d is sequence | none is none | 4 is even | 3 is odd | 9 is divisibleby 3 | 9 is divisibleby(4) | 'a' is lower | 'A' is upper | 1 is eq 1 | 1 is ne 2 | 1 is lt 2 | 2 is ge(3) | 1 is in [1] | 'a' is sameas 'a' | true is true | 1 is true | false is false | x is not defined | 1 is not string | s is string and true | not s is string | range is callable | s is callable
range(3) | list | range(1, 7, 2) | list | range(3, 0, -1) | list | range(0) | list | dict(a=1, b=2) | dict({'a': 1}, b=2) | namespace(a=1).a | namespace(a=1).b is defined | (l | select('odd')) is sequence | 'a' if (l | select('none')) else 'b' | ['a', 'b'].index('b') | [1, 1].count(1) | {'a': {'b': [1, {'c': 2}]}}.a.b[1].c | l.0 | "%s" % 'a' | "%s %s" % ('a', 1) | 'abc'[1] ~ 'abc'[-1] | -1 | abs | (-1) | abs | 'a' ~ 'b' | upper | 1 + 1 | string | [l, s] | map('length') | list | ['a', 'b'] | map('upper') | join | 'a' in ['a'] and 'b' not in ['a']
"""

STATEMENTS = [
    "{% for i in l %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.index0 }},{% endfor %}",
    "{% for i in [] %}a{% else %}none{% endfor %}|{% for i in l if i > 1 %}{{ i }}{{ loop.index }}{{ loop.length }}{% else %}none{% endfor %}",
    "{% for i in l if i > 99 %}x{% else %}none{% endfor %}|{% for a, b in d.items() %}{{ a }}={{ b }};{% endfor %}|{% for c in 'aé' %}{{ c }}.{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}{% for i in x %}y{% endfor %}{% for (a, b) in [(1, 2)] %}{{ a + b }}{% endfor %}",
    "{% for i in l %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% if i == 3 %}{% break %}{% endif %}{% endfor %}",
    "{% set v = 1 %}{% for i in l %}{% set v = v + i %}{{ v }},{% endfor %}{{ v }}",
    "{% set ns = namespace(v=1) %}{% for i in l %}{% set ns.v = ns.v + i %}{% endfor %}{{ ns.v }}",
    "{% if x %}a{% elif l %}b{% else %}c{% endif %}{% if true %}{% set q = 5 %}{% endif %}{{ q }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}{{ 1, 2 }}",
    "{% set v %}  a {{ l[0] }} {% endset %}[{{ v }}]{% set w | upper | trim %} abc {% endset %}[{{ w }}]",
    "{% macro f(a, b=2, c='x') %}({{ a }},{{ b }},{{ c }}){% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(a=5, c=1) }}{{ f() }}{{ f(*[1, 2]) }}{{ f(**{'a': 9}) }}",
    "{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2) }}{{ f(a=1) }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}",
    "{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}body {{ l[0] }}{% endcall %}{% macro g() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) g() %}{{ a }}-{{ b }}{% endcall %}",
    "{% set v = 1 %}{% macro f() %}{{ v }}{% endmacro %}{% set v = 2 %}{{ f() }}",
    "{% with a=1, b=l[1] %}{{ a }}{{ b }}{% set z = 3 %}{{ z }}{% endwith %}{{ a is defined }}{{ z is defined }}",
    "{% filter upper %}ab{{ s }}{% endfilter %}{% filter replace('a', 'b') | upper %}aXa{% endfilter %}",
    "{% raw %}{{ x }} {% if %}{% endraw %}|{%- raw -%}  a  {%- endraw -%}  |",
    "{% for i in [[1, [2]], [3]] recursive %}{% if i is iterable %}[{{ loop(i) }}]{{ loop.depth }}{% else %}{{ i }}{% endif %}{% endfor %}",
    "{% for i in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i // 2) }}{{ loop.previtem }}{{ loop.nextitem }},{% endfor %}",
    "{% generation %}a{{ s }}{% endgeneration %}", "{# comment #}a{#- b -#}  c", "a\n{# c #}\nb\n  {# d #}  \nc", "  {% if true %}\n  a\n  {% endif %}\nb",
    "a  {%- if true -%}  b  {%- endif -%}  c", "  {%+ if true %}x{% endif +%}\n  y", "{{- ' a' }}  {{ 'b' -}}  \n c", "x\n\n{% if true %}\n\ny{% endif %}\n\n", "a\r\nb\rc\r\n",
    "\n  {% set a = 1 %}  \n{{ a }}\n", "{% if true %}  {% endif %}\t{% if true %}a{% endif %}", "{{ 'a' }}\n", "{{ 'a' }}\n\n", "{% for i in l -%}\n  {{ i }}\n{%- endfor %}", "{{+ 'a' }}",
    "{{ x.y }}", "{{ x + 1 }}", "{{ 1 + 'a' }}", "{{ none.a }}|{{ none + 1 }}", "{{ d.nope.more }}", "{{ 1 / 0 }}", "{{ raise_exception('no') }}", "{{ l.append(1) }}", "{{ f() }}", "{{ 'a' | nope }}",
    "{% if %}", "{% for %}", "{{ }}", "{{ 1 +", "{% endif %}", "{% if true %}", "{{ ( }}", "{{ 'a }}", "{# a", "{% raw %}a", "{% nope %}", "{{ a b }}", "{% set 1 = 2 %}", "{% break %}", "{{ [1, }}", "{{ x is nope }}", "{{ {'a' 1} }}",
    "{% set d.k = 1 %}", "{{ range(10 ** 9) }}", "{{ 'a' < 1 }}", "{{ 1 in 5 }}", "{% for i in 5 %}{% endfor %}", "{% include 'x' %}", "{{ l | length() + 1 }}{{ (l)[0] }}{{ l|first|string|length }}",
    "{{ messages is defined }}{{ true is defined }}{{ loop is defined }}", "{% set x %}{% set y = 1 %}{% endset %}{{ y is defined }}", "{{ {'a': 1}['a'] }}{{ {1: 2}[1] }}{{ {'x': {'y': 3}}.x['y'] }}",
]


def random_template(r):
    names = ["s", "l", "d", "x", "m", "n", "a", "b"]

    def expr(k):
        pick = r.random()
        if k == 0 or pick < 0.25:
            return r.choice(names + ["1", "0", "2.5", "'a b'", "''", "none", "true", "[1, 'q']", "{'k': 2}", "loop.index", "'é'"])
        if pick < 0.4:
            return f"{expr(k - 1)} {r.choice(['+', '-', '*', '~', '//', '%', '==', '!=', '<', '>=', 'and', 'or', 'in', 'not in'])} {expr(k - 1)}"
        if pick < 0.5:
            return f"({expr(k - 1)} if {expr(k - 1)} else {expr(k - 1)})"
        if pick < 0.7:
            f = r.choice(["upper", "lower", "trim", "length", "list", "first", "last", "join('-')", "default('z')", "tojson", "string", "sort", "reverse | list", "int", "float", "title", "map('string') | list",
                          "select | list", "unique | list", "capitalize", "replace('a', 'bb')", "abs", "round", "sum", "max", "min", "dictsort", "items | list", "indent(2)", "batch(2) | list", "escape", "wordcount"])
            return f"({expr(k - 1)}) | {f}"
        if pick < 0.8:
            t = r.choice(["defined", "string", "mapping", "iterable", "number", "none", "odd", "true", "sequence", "integer", "lower", "eq 1", "in l", "not defined", "boolean", "float"])
            return f"({expr(k - 1)}) is {t}"
        if pick < 0.9:
            return f"({expr(k - 1)})[{r.choice(['0', '-1', '1:', '::-1', ':2', repr('k'), '::2', '-2:'])}]"
        return f"({expr(k - 1)}).{r.choice(['upper()', 'strip()', 'split()', 'k', 'items()', 'get(1)', 'title()', 'startswith(s)', 'role', 'find(s)', 'replace(s, s)', 'splitlines()'])}"

    def body(k):
        out = ""
        for _ in range(r.randint(1, 4)):
            pick = r.random()
            sign, end = r.choice(["", "-", "", "+"]), r.choice(["", "-", "", ""])
            if pick < 0.3:
                out += r.choice(["text", "  ", "\n", " a\n  ", "\n\n", "{", "%}", "é "])
            elif pick < 0.6 or k == 0:
                out += "{{" + ("-" if sign == "-" else "") + " " + expr(2) + " " + end + "}}"
            elif pick < 0.7:
                out += f"{{%{sign} if {expr(2)} {end}%}}{body(k - 1)}{{% else %}}{body(k - 1)}{{%{sign} endif {end}%}}"
            elif pick < 0.8:
                out += f"{{%{sign} for n in {expr(1)} {end}%}}{body(k - 1)}{{%{sign} endfor {end}%}}"
            elif pick < 0.9:
                out += f"{{%{sign} set {r.choice(['a', 'b', 'x'])} = {expr(2)} {end}%}}"
            else:
                out += f"{{%{sign} set {r.choice(['a', 'b'])} {end}%}}{body(k - 1)}{{% endset %}}"
        return out

    return body(3)


VARIABLES = {"s": "Hello", "l": [3, 1, 2], "d": {"k": 1, "a": "x"}, "m": [{"role": "user", "v": 2, "n": {"k": 1}}, {"role": "bot", "v": 1}, {"role": "user", "v": 3, "n": None}], "n": None}


def jobs(count, seed):
    for name in sorted(os.listdir(os.path.join(HERE, "templates"))):
        with open(os.path.join(HERE, "templates", name), encoding="utf-8", newline="") as f:
            template = f.read()
        for messages, ask, tools in itertools.product(CONVERSATIONS, [True, False], [None, TOOLS]):
            variables = {"messages": messages, "add_generation_prompt": ask, "tools": tools, "documents": None, "bos_token": "<s>", "eos_token": "</s>"}
            yield name, template, variables
    for line in EXPRESSIONS.strip().split("\n"):
        # Filters have the same bar: an item ends where the rest of it no longer parses alone, so both readings are run.
        yield "expressions", "".join("{{ " + line + " }}"), VARIABLES
        parts = line.split(" | ")
        for i in range(len(parts)):
            for j in range(i + 1, min(len(parts), i + 4) + 1):
                yield "expressions", "{{ " + " | ".join(parts[i:j]) + " }}", VARIABLES
    for template in STATEMENTS:
        yield "statements", template, VARIABLES
    r = random.Random(seed)
    for _ in range(count):
        yield "random", random_template(r), VARIABLES


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--random", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--summary")
    o = parser.parse_args()
    env = environment()
    work = list(jobs(o.random, o.seed))
    lines = "".join(json.dumps({"template": t, "variables": v}) + "\n" for _, t, v in work)
    done = subprocess.run([o.program], input=lines, capture_output=True, text=True, timeout=600, encoding="utf-8")
    if done.returncode != 0:
        sys.exit(f"{o.program} ended with {done.returncode}: {done.stderr}")
    answers = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(answers) == len(work)
    counts, shown, different = {}, 0, 0
    for (kind, template, variables), answer in zip(work, answers):
        try:
            want = {"text": env.from_string(template).render(**copy.deepcopy(variables))}
        except Exception as e:  # jinja2 lets Python's own errors through
            want = {"error": f"{type(e).__name__}: {e}"}
        n = counts.setdefault(kind, [0, 0, 0])
        n[0] += 1
        n[1] += "text" in want
        if any(name in want.get("text", "").lower() for name in PYTHONS_OWN):
            continue
        same = want.get("text") == answer.get("text") or (kind == "random" and "text" not in want)
        if not same:
            n[2] += 1
            different += 1
            if shown < 40:
                shown += 1
                print(f"--- {kind}: {json.dumps(template if len(template) < 400 else kind)} {'' if len(json.dumps(variables)) > 300 and kind in ('random', 'expressions', 'statements') else json.dumps(variables)[:200]}\n   jinja2: {want}\n   cameo:  {answer}")
    total = sum(n[0] for n in counts.values())
    text = f"templates: {total} renderings ({sum(n[1] for n in counts.values())} that jinja2 {jinja2.__version__} accepts), {different} differences\n"
    text += "".join(f"  {kind}: {n[0]} ({n[1]} accepted), {n[2]} differences\n" for kind, n in counts.items())
    print(text, end="")
    if o.summary:
        with open(o.summary, "w", encoding="utf-8") as f:
            f.write(text)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
