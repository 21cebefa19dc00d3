// Methods of strings, lists, dicts and loops. Those that would change a value do not exist: the sandbox of transformers
// refuses them.
#include <algorithm>
#include <span>
#include <utility>

#include "jinja/interpreter.h"
#include "jinja/text.h"

namespace cameo::jinja {
namespace {

using Views = std::vector<std::string_view>;

Result<int64_t> integer_or(const Value* v, int64_t otherwise) {
  if (!v || v->is_none()) return otherwise;
  if (!v->is_integral()) return fault("an argument is a {}, not an integer", v->type_name());
  return v->integer();
}

Result<std::string> string_or(const Value* v, std::string_view otherwise) {
  if (!v || v->is_none()) return std::string(otherwise);
  if (!v->is_string()) return fault("an argument is a {}, not a string", v->type_name());
  return v->string();
}

Result<Value> list_of(Interpreter& in, const Views& parts) {
  if (!in.meter().spend_bytes(parts.size() * 64)) return in.meter().check().error();
  std::vector<Value> items;
  for (const std::string_view part : parts) items.emplace_back(part);
  return in.list(std::move(items));
}

Result<Value> strip_by(Interpreter& in, const Value& v, const Arguments& a, bool left, bool right) {
  const Value* of = a.get(0, "chars");
  if (!of || of->is_none()) return in.text(std::string(strip(v.string(), left, right)));
  CAMEO_ASSIGN(const std::string chars, string_or(of, ""));
  if (!in.meter().spend(v.string().size() * chars.size() / 64)) return in.meter().check().error();
  return in.text(std::string(strip(v.string(), chars, left, right)));
}

Result<Value> split_by(Interpreter& in, const Value& v, const Arguments& a, bool from_right) {
  CAMEO_ASSIGN(const int64_t most, integer_or(a.get(1, "maxsplit"), -1));
  const Value* by = a.get(0, "sep");
  if (!by || by->is_none()) return list_of(in, split_white(v.string(), most, from_right));
  CAMEO_ASSIGN(const std::string separator, string_or(by, ""));
  if (separator.empty()) return fault("the separator of split() is empty");
  return list_of(in, split(v.string(), separator, most, from_right));
}

// startswith() and endswith(): one string, or a tuple of them.
Result<Value> has_affix(const Value& v, const Arguments& a, bool at_end) {
  const Value* affix = a.get(0, "prefix");
  if (!affix) return fault("startswith() and endswith() need a string");
  CAMEO_ASSIGN(const int64_t begin, integer_or(a.get(1, "start"), 0));
  std::string_view text = v.string();
  if (begin > 0) text = text.substr(byte_of(text, static_cast<size_t>(begin)));
  const auto has = [&](const std::string& s) { return at_end ? text.ends_with(s) : text.starts_with(s); };
  if (affix->is_string()) return Value(has(affix->string()));
  if (!affix->is_list() || !affix->list().tuple)
    return fault("startswith() and endswith() need a string or a tuple, not a {}", affix->type_name());
  for (const Value& one : affix->list().items) {
    if (!one.is_string()) return fault("startswith() and endswith() need strings, not a {}", one.type_name());
    if (has(one.string())) return Value(true);
  }
  return Value(false);
}

Result<Value> find_in(Interpreter& in, const Value& v, const Arguments& a, bool from_right, bool must) {
  CAMEO_ASSIGN(const std::string needle, string_or(a.get(0, "sub"), ""));
  CAMEO_ASSIGN(const int64_t from, integer_or(a.get(1, "start"), 0));
  const std::string& text = v.string();
  const size_t begin = byte_of(text, static_cast<size_t>(std::max<int64_t>(from, 0)));
  size_t at = jinja::find(text, needle, begin);
  if (from_right) {
    for (size_t next = at; next != std::string_view::npos && !needle.empty(); next = jinja::find(text, needle, next + 1)) {
      if (!in.meter().spend(1 + needle.size() / 64)) return in.meter().check().error();
      at = next;
    }
    if (needle.empty()) at = text.size();
  }
  if (at != std::string_view::npos) return Value(static_cast<int64_t>(length(std::string_view(text).substr(0, at))));
  if (must) return fault("index(): the text is not in it");
  return Value(-1);
}

Result<Value> partition(Interpreter& in, const Value& v, const Arguments& a, bool from_right) {
  CAMEO_ASSIGN(const std::string by, string_or(a.get(0, "sep"), ""));
  if (by.empty()) return fault("the separator of partition() is empty");
  const Views parts = split(v.string(), by, 1, from_right);
  std::vector<Value> items;
  if (parts.size() == 2)
    items = {Value(parts[0]), Value(by), Value(parts[1])};
  else if (from_right)
    items = {Value(""), Value(""), v};
  else
    items = {v, Value(""), Value("")};
  return in.list(std::move(items), true);
}

Result<Value> join(Interpreter& in, const Value& v, const Arguments& a) {
  if (a.positional.size() != 1) return fault("join() takes one value");
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(a.positional[0]));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_string()) return fault("join(): item {} is a {}, not a string", i, items[i].type_name());
    if (!in.meter().spend_bytes(v.string().size() + items[i].string().size())) return in.meter().check().error();
    if (i > 0) out += v.string();
    out += items[i].string();
  }
  return in.text(std::move(out));
}

// Replaced text may be much longer than what it was made of.
Result<Value> replaced(Interpreter& in, const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const std::string from, string_or(a.get(0, "old"), ""));
  CAMEO_ASSIGN(const std::string to, string_or(a.get(1, "new"), ""));
  CAMEO_ASSIGN(const int64_t most, integer_or(a.get(2, "count"), -1));
  const size_t places = from.empty() ? v.string().size() + 1 : v.string().size() / from.size();
  if (places > 0 && to.size() > in.meter().limits().output / places) return fault("replace() would make too long a text");
  return in.text(replace(v.string(), from, to, most));
}

// str.format() with {}, {0} and {name}.
Result<Value> format(Interpreter& in, const Value& v, const Arguments& a) {
  const std::string& f = v.string();
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < f.size(); ++i) {
    if ((f[i] == '{' || f[i] == '}') && i + 1 < f.size() && f[i + 1] == f[i]) {
      out += f[i++];
      continue;
    }
    if (f[i] == '}') return fault("format(): a '}}' stands alone");
    if (f[i] != '{') {
      out += f[i];
      continue;
    }
    const size_t end = f.find('}', i);
    if (end == std::string::npos) return fault("format(): a '{{' has no end");
    const std::string field = f.substr(i + 1, end - i - 1);
    i = end;
    const bool number = field.size() < 6 && field.find_first_not_of("0123456789") == std::string::npos;
    const Value* value =
        number ? a.get(field.empty() ? next++ : static_cast<size_t>(std::atoi(field.c_str())), "") : a.get(a.positional.size(), field);
    if (!value) return fault("format(): there is no value for '{{{}}}'", field);
    CAMEO_TRY(append_str(out, *value, in.meter()));
  }
  return in.text(std::move(out));
}

Result<Value> pad(Interpreter& in, const Value& v, const Arguments& a, bool left, bool right) {
  CAMEO_ASSIGN(const int64_t width, integer_or(a.get(0, "width"), 0));
  CAMEO_ASSIGN(const std::string fill, string_or(a.get(1, "fillchar"), " "));
  const auto have = static_cast<int64_t>(length(v.string()));
  if (width > 1'000'000) return fault("a width of {} is too large", width);
  const int64_t missing = std::max<int64_t>(width - have, 0);
  const int64_t before = left && right ? missing / 2 + (missing & width & 1) : left ? missing : 0;
  std::string out;
  for (int64_t i = 0; i < before; ++i) out += fill;
  out += v.string();
  for (int64_t i = before; i < missing; ++i) out += fill;
  return in.text(std::move(out));
}

Result<Value> zfill(Interpreter& in, const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const int64_t width, integer_or(a.get(0, "width"), 0));
  if (width > 1'000'000) return fault("a width of {} is too large", width);
  std::string out = v.string();
  const auto have = static_cast<int64_t>(length(out));
  if (have < width) out.insert(!out.empty() && (out[0] == '-' || out[0] == '+') ? 1 : 0, static_cast<size_t>(width - have), '0');
  return in.text(std::move(out));
}

Result<Value> remove_affix(Interpreter& in, const Value& v, const Arguments& a, bool at_end) {
  CAMEO_ASSIGN(const std::string affix, string_or(a.get(0, "prefix"), ""));
  std::string_view text = v.string();
  if (at_end && text.ends_with(affix))
    text.remove_suffix(affix.size());
  else if (!at_end && text.starts_with(affix))
    text.remove_prefix(affix.size());
  return in.text(std::string(text));
}

Result<Value> occurrences(const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const std::string needle, string_or(a.get(0, "sub"), ""));
  if (needle.empty()) return Value(static_cast<int64_t>(length(v.string()) + 1));
  return Value(static_cast<int64_t>(split(v.string(), needle, -1, false).size()) - 1);
}

#define CAMEO_METHOD(expression)                                             \
  [](Interpreter& in, const Value& v, const Arguments& a) -> Result<Value> { \
    (void)in, (void)v, (void)a;                                              \
    return expression;                                                       \
  }

using Named = std::pair<std::string_view, Builtin>;

constexpr Named kOfStrings[] = {
    {"strip", CAMEO_METHOD(strip_by(in, v, a, true, true))},
    {"lstrip", CAMEO_METHOD(strip_by(in, v, a, true, false))},
    {"rstrip", CAMEO_METHOD(strip_by(in, v, a, false, true))},
    {"split", CAMEO_METHOD(split_by(in, v, a, false))},
    {"rsplit", CAMEO_METHOD(split_by(in, v, a, true))},
    {"splitlines", CAMEO_METHOD(list_of(in, split_lines(v.string(), a.get(0, "keepends") && a.get(0, "keepends")->truth())))},
    {"startswith", CAMEO_METHOD(has_affix(v, a, false))},
    {"endswith", CAMEO_METHOD(has_affix(v, a, true))},
    {"upper", CAMEO_METHOD(in.text(upper(v.string())))},
    {"lower", CAMEO_METHOD(in.text(lower(v.string())))},
    {"casefold", CAMEO_METHOD(in.text(lower(v.string())))},
    {"title", CAMEO_METHOD(in.text(title(v.string())))},
    {"capitalize", CAMEO_METHOD(in.text(capitalize(v.string())))},
    {"replace", &replaced},
    {"join", &join},
    {"format", &format},
    {"find", CAMEO_METHOD(find_in(in, v, a, false, false))},
    {"rfind", CAMEO_METHOD(find_in(in, v, a, true, false))},
    {"index", CAMEO_METHOD(find_in(in, v, a, false, true))},
    {"rindex", CAMEO_METHOD(find_in(in, v, a, true, true))},
    {"count", CAMEO_METHOD(occurrences(v, a))},
    {"partition", CAMEO_METHOD(partition(in, v, a, false))},
    {"rpartition", CAMEO_METHOD(partition(in, v, a, true))},
    {"removeprefix", CAMEO_METHOD(remove_affix(in, v, a, false))},
    {"removesuffix", CAMEO_METHOD(remove_affix(in, v, a, true))},
    {"center", CAMEO_METHOD(pad(in, v, a, true, true))},
    {"rjust", CAMEO_METHOD(pad(in, v, a, true, false))},
    {"ljust", CAMEO_METHOD(pad(in, v, a, false, true))},
    {"zfill", &zfill},
    {"isupper", CAMEO_METHOD(Value(is_upper(v.string())))},
    {"islower", CAMEO_METHOD(Value(is_lower(v.string())))},
    {"isalpha", CAMEO_METHOD(Value(is_alpha(v.string())))},
    {"isdigit", CAMEO_METHOD(Value(is_digit(v.string())))},
    {"isnumeric", CAMEO_METHOD(Value(is_digit(v.string())))},
    {"isdecimal", CAMEO_METHOD(Value(is_digit(v.string())))},
    {"isalnum", CAMEO_METHOD(Value(is_alnum(v.string())))},
    {"isspace", CAMEO_METHOD(Value(is_white(v.string())))},
};

Result<Value> dict_items(Interpreter& in, const Value& v, const Arguments&) {
  std::vector<Value> items;
  for (const auto& [key, value] : v.dict().items) {
    CAMEO_ASSIGN(Value pair, in.list({key, value}, true));
    items.push_back(std::move(pair));
  }
  return in.list(std::move(items));
}

Result<Value> dict_values(Interpreter& in, const Value& v, const Arguments&) {
  std::vector<Value> items;
  for (const auto& [key, value] : v.dict().items) items.push_back(value);
  return in.list(std::move(items));
}

Result<Value> dict_keys(Interpreter& in, const Value& v, const Arguments&) {
  CAMEO_ASSIGN(std::vector<Value> keys, in.iterate(v));
  return in.list(std::move(keys));
}

Result<Value> dict_get(Interpreter&, const Value& v, const Arguments& a) {
  const Value* key = a.get(0, "key");
  if (!key) return fault("get() needs a key");
  const Value* found = v.dict().find(*key);
  if (found) return *found;
  const Value* otherwise = a.get(1, "default");
  return otherwise ? *otherwise : Value();
}

constexpr Named kOfDicts[] = {
    {"items", &dict_items}, {"values", &dict_values}, {"keys", &dict_keys}, {"get", &dict_get}, {"copy", CAMEO_METHOD(v)},
};

Result<Value> list_index(Interpreter& in, const Value& v, const Arguments& a) {
  if (a.positional.empty()) return fault("index() needs a value");
  const auto& items = v.list().items;
  for (size_t i = 0; i < items.size(); ++i)
    if (equal(items[i], a.positional[0], in.meter())) return Value(static_cast<int64_t>(i));
  CAMEO_TRY(in.meter().check());
  return fault("index(): the value is not in the list");
}

Result<Value> list_count(Interpreter& in, const Value& v, const Arguments& a) {
  if (a.positional.empty()) return fault("count() needs a value");
  int64_t n = 0;
  for (const Value& item : v.list().items) n += equal(item, a.positional[0], in.meter());
  CAMEO_TRY(in.meter().check());
  return Value(n);
}

constexpr Named kOfLists[] = {{"index", &list_index}, {"count", &list_count}, {"copy", CAMEO_METHOD(v)}};

Result<Value> loop_cycle(Interpreter&, const Value& v, const Arguments& a) {
  if (a.positional.empty()) return fault("cycle() needs values");
  return a.positional[v.as<Loop>()->index % a.positional.size()];
}

Result<Value> loop_changed(Interpreter& in, const Value& v, const Arguments& a) {
  Loop& loop = *v.as<Loop>();
  // Their text, because the values may hold the loop.
  std::string now;
  for (const Value& value : a.positional) {
    CAMEO_TRY(append_repr(now, value, in.meter()));
    now += ',';
  }
  return Value(std::exchange(loop.changed, now) != now);
}

constexpr Named kOfLoops[] = {{"cycle", &loop_cycle}, {"changed", &loop_changed}};

#undef CAMEO_METHOD

}  // namespace

Builtin find_method(const Value& self, std::string_view name) {
  std::span<const Named> methods;
  if (self.is_string())
    methods = kOfStrings;
  else if (self.is_dict())
    methods = kOfDicts;
  else if (self.is_list() && !self.list().generator)
    methods = kOfLists;
  else if (self.as<Loop>())
    methods = kOfLoops;
  for (const auto& [known, method] : methods)
    if (known == name) return method;
  return nullptr;
}

}  // namespace cameo::jinja
