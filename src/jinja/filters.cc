// What can stand after "|".
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <utility>

#include "jinja/interpreter.h"
#include "jinja/text.h"

namespace cameo::jinja {
namespace {

Result<std::string> str(Interpreter& in, const Value& v) { return to_str(v, in.meter()); }

bool flag(const Arguments& a, size_t index, std::string_view name, bool otherwise = false) {
  const Value* given = a.get(index, name);
  return given ? given->truth() : otherwise;
}

Result<int64_t> integer(const Arguments& a, size_t index, std::string_view name, int64_t otherwise) {
  const Value* given = a.get(index, name);
  if (!given || given->is_none()) return otherwise;
  if (!given->is_integral()) return fault("{} is a {}, not an integer", name, given->type_name());
  return given->integer();
}

// Strings are compared without regard to case unless that is asked for.
Value sort_key(const Value& v, bool case_sensitive) { return v.is_string() && !case_sensitive ? Value(lower(v.string())) : v; }

// ---- text ----

Result<Value> filter_trim(Interpreter& in, const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const std::string text, str(in, v));
  const Value* of = a.get(0, "chars");
  if (!of || !of->is_string()) return in.text(std::string(strip(text, true, true)));
  if (!in.meter().spend(text.size() * of->string().size() / 64)) return in.meter().check().error();
  return in.text(std::string(strip(text, of->string(), true, true)));
}

Result<Value> filter_title(Interpreter& in, const Value& v, const Arguments&) {
  CAMEO_ASSIGN(const std::string text, str(in, v));
  std::string out;
  bool within = false;
  for (const std::string_view c : characters(text)) {
    const bool between = c.size() == 1 && (std::string_view("-({[<").find(c) != std::string_view::npos || is_white(c));
    out += between ? std::string(c) : within ? lower(c) : upper(c);
    within = !between;
  }
  return in.text(std::move(out));
}

Result<Value> filter_replace(Interpreter& in, const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const std::string text, str(in, v));
  const Value *from = a.get(0, "old"), *to = a.get(1, "new");
  if (!from || !to) return fault("it needs two texts");
  CAMEO_ASSIGN(const std::string old_text, str(in, *from));
  CAMEO_ASSIGN(const std::string new_text, str(in, *to));
  CAMEO_ASSIGN(const int64_t most, integer(a, 2, "count", -1));
  const size_t places = old_text.empty() ? text.size() + 1 : text.size() / old_text.size();
  if (places > 0 && new_text.size() > in.meter().limits().output / places) return fault("it would make too long a text");
  return in.text(replace(text, old_text, new_text, most));
}

Result<Value> filter_indent(Interpreter& in, const Value& v, const Arguments& a) {
  if (!v.is_string()) return fault("a {} is no text", v.type_name());
  const std::string& text = v.string();
  const Value* width = a.get(0, "width");
  std::string by(4, ' ');
  if (width && width->is_string()) {
    by = width->string();
  } else if (width) {
    CAMEO_ASSIGN(const int64_t n, integer(a, 0, "width", 4));
    if (n > 10000) return fault("a width of {} is too large", n);
    by.assign(static_cast<size_t>(std::max<int64_t>(n, 0)), ' ');
  }
  const bool first = flag(a, 1, "first"), blank = flag(a, 2, "blank");
  const auto lines = split_lines(text + "\n", false);
  std::string out;
  if (!in.meter().spend_bytes(lines.size() * by.size())) return in.meter().check().error();
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i == 0 ? first : blank || !lines[i].empty()) out += by;
    out += lines[i];
  }
  return in.text(std::move(out));
}

Result<Value> filter_truncate(Interpreter& in, const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const std::string text, str(in, v));
  CAMEO_ASSIGN(const int64_t most, integer(a, 0, "length", 255));
  CAMEO_ASSIGN(const int64_t leeway, integer(a, 3, "leeway", 5));
  std::string end = "...";
  if (const Value* given = a.get(2, "end")) {
    CAMEO_ASSIGN(end, str(in, *given));
  }
  const auto end_length = static_cast<int64_t>(length(end));
  if (most < end_length) return fault("length {} is less than that of the end", most);
  if (static_cast<int64_t>(length(text)) <= (most > INT64_MAX - leeway ? INT64_MAX : most + leeway)) return in.text(text);
  std::string kept = text.substr(0, byte_of(text, static_cast<size_t>(most - end_length)));
  if (!flag(a, 1, "killwords"))
    if (const size_t space = kept.rfind(' '); space != std::string::npos) kept.resize(space);
  return in.text(kept + end);
}

Result<Value> filter_escape(Interpreter& in, const Value& v, const Arguments&) {
  CAMEO_ASSIGN(const std::string text, str(in, v));
  std::string out;
  for (const char c : text)
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&#34;" : c == '\'' ? "&#39;" : std::string(1, c);
  return in.text(std::move(out));
}

Result<Value> filter_urlencode(Interpreter& in, const Value& v, const Arguments&) {
  CAMEO_ASSIGN(const std::string text, str(in, v));
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       (c != '\0' && std::string_view("_.-~/").find(c) != std::string_view::npos);
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return in.text(std::move(out));
}

Result<Value> filter_format(Interpreter& in, const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const std::string text, str(in, v));
  return percent_format(in, text, a.positional);
}

Result<Value> filter_wordcount(Interpreter& in, const Value& v, const Arguments&) {
  CAMEO_ASSIGN(const std::string text, str(in, v));
  int64_t words = 0;
  bool within = false;
  for (const std::string_view c : characters(text)) {
    const bool word = c == "_" || is_alnum(c);
    words += word && !within;
    within = word;
  }
  return Value(words);
}

Result<Value> filter_center(Interpreter& in, const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const std::string text, str(in, v));
  CAMEO_ASSIGN(const int64_t width, integer(a, 0, "width", 80));
  return find_method(Value(""), "center")(in, Value(text), {.positional = {Value(width)}, .named = {}});
}

Result<Value> filter_tojson(Interpreter& in, const Value& v, const Arguments& a) {
  JsonStyle style;
  style.ensure_ascii = flag(a, 0, "ensure_ascii");
  if (const Value* indent = a.get(1, "indent"); indent && !indent->is_none()) {
    style.lines = true;
    style.item_separator = ",";
    if (indent->is_string()) {
      style.indent = indent->string();
    } else {
      CAMEO_ASSIGN(const int64_t n, integer(a, 1, "indent", 0));
      if (n > 1000) return fault("an indent of {} is too large", n);
      style.indent.assign(static_cast<size_t>(std::max<int64_t>(n, 0)), ' ');
    }
  }
  if (const Value* separators = a.get(2, "separators"); separators && !separators->is_none()) {
    if (!separators->is_list() || separators->list().items.size() != 2) return fault("separators are not two texts");
    CAMEO_ASSIGN(style.item_separator, str(in, separators->list().items[0]));
    CAMEO_ASSIGN(style.key_separator, str(in, separators->list().items[1]));
  }
  style.sort_keys = flag(a, 3, "sort_keys");
  std::string out;
  CAMEO_TRY(append_json(out, v, style, in.meter()));
  return in.text(std::move(out));
}

// ---- numbers ----

Result<Value> filter_int(Interpreter& in, const Value& v, const Arguments& a) {
  const Value* otherwise = a.get(0, "default");
  const Value failed = otherwise ? *otherwise : Value(0);
  if (v.is_undefined()) return fault("{}", v.undefined_what());
  if (v.is_integral()) return Value(v.integer());
  double d = 0;
  if (v.is_float()) {
    d = v.number();
  } else if (v.is_string()) {
    std::string text(strip(v.string(), true, true));
    CAMEO_ASSIGN(const int64_t base, integer(a, 1, "base", 10));
    if (text.starts_with('+')) text.erase(0, 1);
    if (base == 16 && text.starts_with("0x")) text.erase(0, 2);
    int64_t n = 0;
    const char* end = text.data() + text.size();
    if (base >= 2 && base <= 36)
      if (const auto r = std::from_chars(text.data(), end, n, static_cast<int>(base)); r.ec == std::errc() && r.ptr == end) return Value(n);
    if (const auto r = std::from_chars(text.data(), end, d); r.ec != std::errc() || r.ptr != end || text.empty()) return failed;
  } else {
    (void)in;
    return failed;
  }
  return std::fabs(d) < 0x1p63 ? Value(static_cast<int64_t>(d)) : failed;
}

Result<Value> filter_float(Interpreter&, const Value& v, const Arguments& a) {
  const Value* otherwise = a.get(0, "default");
  if (v.is_number()) return Value(v.number());
  if (v.is_undefined()) return fault("{}", v.undefined_what());
  if (v.is_string()) {
    std::string_view text = strip(v.string(), true, true);
    if (text.starts_with('+')) text.remove_prefix(1);
    double d = 0;
    if (const auto r = std::from_chars(text.data(), text.data() + text.size(), d);
        r.ec == std::errc() && r.ptr == text.data() + text.size())
      return Value(d);
  }
  return otherwise ? *otherwise : Value(0.0);
}

Result<Value> filter_abs(Interpreter& in, const Value& v, const Arguments&) {
  if (!v.is_number()) return fault("a {} is no number", v.type_name());
  return v.number() < 0 ? binary(in, "-", Value(0), v) : binary(in, "+", Value(0), v);
}

Result<Value> filter_round(Interpreter&, const Value& v, const Arguments& a) {
  if (!v.is_number()) return fault("a {} is no number", v.type_name());
  CAMEO_ASSIGN(const int64_t precision, integer(a, 0, "precision", 0));
  if (precision > 300 || precision < -300) return fault("a precision of {} is too large", precision);
  const Value* method = a.get(1, "method");
  const std::string how = method && method->is_string() ? method->string() : "common";
  if (how == "common") {
    if (v.is_integral() && precision >= 0) return Value(v.integer());
    if (precision < 0) {
      const double scale = std::pow(10.0, static_cast<double>(-precision));
      return Value(std::nearbyint(v.number() / scale) * scale);
    }
    // The decimal digits are exact, and a tie goes to the even digit, as in Python.
    return Value(std::strtod(fmt::format("{:.{}f}", v.number(), precision).c_str(), nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (how != "ceil" && how != "floor") return fault("the method is '{}'; it has to be common, ceil or floor", how);
  return Value((how == "ceil" ? std::ceil(v.number() * scale) : std::floor(v.number() * scale)) / scale);
}

// ---- lists ----

Result<Value> filter_first(Interpreter& in, const Value& v, const Arguments&) {
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(v));
  return items.empty() ? Value::undefined("there is no first item, the sequence was empty") : items.front();
}

Result<Value> filter_last(Interpreter& in, const Value& v, const Arguments&) {
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(v));
  return items.empty() ? Value::undefined("there is no last item, the sequence was empty") : items.back();
}

Result<Value> filter_length(Interpreter& in, const Value& v, const Arguments&) {
  if (v.is_list() && v.list().generator) return fault("a generator has no length; put 'list' before it");
  CAMEO_ASSIGN(const size_t n, in.size(v));
  return Value(static_cast<int64_t>(n));
}

Result<Value> filter_list(Interpreter& in, const Value& v, const Arguments&) {
  CAMEO_ASSIGN(std::vector<Value> items, in.iterate(v));
  return in.list(std::move(items));
}

Result<Value> filter_reverse(Interpreter& in, const Value& v, const Arguments&) {
  CAMEO_ASSIGN(std::vector<Value> items, in.iterate(v));
  std::reverse(items.begin(), items.end());
  if (!v.is_string()) return in.generator(std::move(items));
  std::string text;
  for (const Value& c : items) text += c.string();
  return in.text(std::move(text));
}

Result<Value> filter_join(Interpreter& in, const Value& v, const Arguments& a) {
  std::string by, out;
  if (const Value* given = a.get(0, "d")) {
    CAMEO_ASSIGN(by, str(in, *given));
  }
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(v));
  const Value* attribute = a.get(1, "attribute");
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) CAMEO_TRY(append_str(out, Value(by), in.meter()));
    Value item = items[i];
    if (attribute) {
      CAMEO_ASSIGN(item, in.path(item, *attribute));
    }
    CAMEO_TRY(append_str(out, item, in.meter()));
  }
  return in.text(std::move(out));
}

Result<Value> filter_map(Interpreter& in, const Value& v, const Arguments& a) {
  if (!v.truth()) return in.generator({});
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(v));
  std::vector<Value> made;
  const Value* attribute = a.positional.empty() ? a.get("attribute") : nullptr;
  if (!attribute && (a.positional.empty() || !a.positional[0].is_string())) return fault("it needs a filter's name or an attribute");
  Arguments rest{.positional = {}, .named = a.named};
  if (!attribute) rest.positional.assign(a.positional.begin() + 1, a.positional.end());
  for (const Value& item : items) {
    if (attribute) {
      CAMEO_ASSIGN(Value value, in.path(item, *attribute, a.get("default")));
      made.push_back(std::move(value));
    } else {
      CAMEO_ASSIGN(Value value, in.filter(a.positional[0].string(), item, rest));
      made.push_back(std::move(value));
    }
  }
  return in.generator(std::move(made));
}

// select, reject, selectattr, rejectattr
Result<Value> choose(Interpreter& in, const Value& v, const Arguments& a, bool by_attribute, bool wanted) {
  if (!v.truth()) return in.generator({});
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(v));
  const size_t skipped = by_attribute ? 1 : 0;
  if (a.positional.size() < skipped) return fault("it needs an attribute");
  Arguments rest{.positional = {}, .named = a.named};
  std::string test;
  if (a.positional.size() > skipped) {
    if (!a.positional[skipped].is_string()) return fault("a test's name is a {}", a.positional[skipped].type_name());
    test = a.positional[skipped].string();
    rest.positional.assign(a.positional.begin() + static_cast<ptrdiff_t>(skipped) + 1, a.positional.end());
  }
  std::vector<Value> kept;
  for (const Value& item : items) {
    Value value = item;
    if (by_attribute) {
      CAMEO_ASSIGN(value, in.path(item, a.positional[0]));
    }
    bool holds = value.truth();
    if (!test.empty()) {
      CAMEO_ASSIGN(holds, in.test(test, value, rest));
    }
    if (holds == wanted) kept.push_back(item);
  }
  return in.generator(std::move(kept));
}

// Items in the order of a key; equal ones stay as they were.
Result<std::vector<Value>> sorted(Interpreter& in, const std::vector<Value>& items, const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::optional<Error> failed;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (failed) return false;
    auto below = reverse ? less(keys[b], keys[a], in.meter()) : less(keys[a], keys[b], in.meter());
    if (!below.ok()) failed = std::move(below).error();
    return !failed && *below;
  });
  if (failed) return *failed;
  std::vector<Value> made;
  for (const size_t i : order) made.push_back(items[i]);
  return made;
}

// What items are compared by: an attribute, or several with commas between them.
Result<std::vector<Value>> keys_of(Interpreter& in, const std::vector<Value>& items, const Value* attribute, bool case_sensitive) {
  std::vector<Value> keys;
  for (const Value& item : items) {
    if (!attribute || attribute->is_none()) {
      keys.push_back(sort_key(item, case_sensitive));
      continue;
    }
    std::vector<Value> parts;
    if (attribute->is_string()) {
      for (const std::string_view name : split(attribute->string(), ",", -1, false)) {
        CAMEO_ASSIGN(const Value part, in.path(item, Value(name)));
        parts.push_back(sort_key(part, case_sensitive));
      }
    } else {
      CAMEO_ASSIGN(const Value part, in.path(item, *attribute));
      parts.push_back(sort_key(part, case_sensitive));
    }
    CAMEO_ASSIGN(Value key, in.list(std::move(parts)));
    keys.push_back(std::move(key));
  }
  return keys;
}

Result<Value> filter_sort(Interpreter& in, const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(v));
  CAMEO_ASSIGN(const std::vector<Value> keys, keys_of(in, items, a.get(2, "attribute"), flag(a, 1, "case_sensitive")));
  CAMEO_ASSIGN(std::vector<Value> made, sorted(in, items, keys, flag(a, 0, "reverse")));
  return in.list(std::move(made));
}

Result<Value> filter_dictsort(Interpreter& in, const Value& v, const Arguments& a) {
  if (!v.is_dict()) return fault("a {} is no dict", v.type_name());
  CAMEO_ASSIGN(const Value pairs, find_method(v, "items")(in, v, {}));
  const Value* by = a.get(1, "by");
  const size_t part = by && by->is_string() && by->string() == "value" ? 1 : 0;
  std::vector<Value> keys;
  for (const Value& pair : pairs.list().items) keys.push_back(sort_key(pair.list().items[part], flag(a, 0, "case_sensitive")));
  CAMEO_ASSIGN(std::vector<Value> made, sorted(in, pairs.list().items, keys, flag(a, 2, "reverse")));
  return in.list(std::move(made));
}

Result<Value> filter_unique(Interpreter& in, const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(v));
  CAMEO_ASSIGN(const std::vector<Value> keys, keys_of(in, items, a.get(1, "attribute"), flag(a, 0, "case_sensitive")));
  std::vector<Value> kept;
  std::vector<size_t> seen;
  for (size_t i = 0; i < items.size(); ++i) {
    if (std::any_of(seen.begin(), seen.end(), [&](size_t s) { return equal(keys[s], keys[i], in.meter()); })) continue;
    CAMEO_TRY(in.meter().check());
    seen.push_back(i);
    kept.push_back(items[i]);
  }
  return in.generator(std::move(kept));
}

Result<Value> extreme(Interpreter& in, const Value& v, const Arguments& a, bool largest) {
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(v));
  if (items.empty()) return Value::undefined("there is no item, the sequence was empty");
  CAMEO_ASSIGN(const std::vector<Value> keys, keys_of(in, items, a.get(1, "attribute"), flag(a, 0, "case_sensitive")));
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    CAMEO_ASSIGN(const bool better, largest ? less(keys[best], keys[i], in.meter()) : less(keys[i], keys[best], in.meter()));
    if (better) best = i;
  }
  return items[best];
}

Result<Value> filter_sum(Interpreter& in, const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(v));
  const Value* start = a.get(1, "start");
  const Value* attribute = a.get(0, "attribute");
  Value total = start ? *start : Value(0);
  for (const Value& item : items) {
    Value value = item;
    if (attribute && !attribute->is_none()) {
      CAMEO_ASSIGN(value, in.path(item, *attribute));
    }
    CAMEO_ASSIGN(total, binary(in, "+", total, value));
  }
  return total;
}

Result<Value> filter_groupby(Interpreter& in, const Value& v, const Arguments& a) {
  const Value* attribute = a.get(0, "attribute");
  if (!attribute) return fault("it needs an attribute");
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(v));
  std::vector<Value> values, keys;
  for (const Value& item : items) {
    CAMEO_ASSIGN(Value value, in.path(item, *attribute, a.get(1, "default")));
    values.push_back(std::move(value));
    keys.push_back(sort_key(values.back(), flag(a, 2, "case_sensitive")));
  }
  std::vector<Value> places;
  for (size_t i = 0; i < items.size(); ++i) places.emplace_back(static_cast<int64_t>(i));
  CAMEO_ASSIGN(const std::vector<Value> order, sorted(in, places, keys, false));
  std::vector<Value> groups;
  for (size_t i = 0; i < order.size();) {
    const auto first = static_cast<size_t>(order[i].integer());
    std::vector<Value> group;
    for (; i < order.size() && equal(keys[first], keys[static_cast<size_t>(order[i].integer())], in.meter()); ++i)
      group.push_back(items[static_cast<size_t>(order[i].integer())]);
    CAMEO_TRY(in.meter().check());
    if (group.empty()) return fault("a value is not equal to itself");
    CAMEO_ASSIGN(Value members, in.list(std::move(group)));
    CAMEO_ASSIGN(Value pair, in.list({values[first], std::move(members)}, true));
    groups.push_back(std::move(pair));
  }
  return in.list(std::move(groups));
}

Result<Value> filter_batch(Interpreter& in, const Value& v, const Arguments& a) {
  CAMEO_ASSIGN(const std::vector<Value> items, in.iterate(v));
  CAMEO_ASSIGN(const int64_t size, integer(a, 0, "linecount", 0));
  if (size < 1) return fault("the size of a batch is {}", size);
  const Value* fill = a.get(1, "fill_with");
  const auto step = static_cast<size_t>(size);
  std::vector<Value> batches;
  for (size_t i = 0; i < items.size(); i += std::min(step, items.size() - i)) {
    std::vector<Value> batch(items.begin() + static_cast<ptrdiff_t>(i),
                             items.begin() + static_cast<ptrdiff_t>(i + std::min(step, items.size() - i)));
    if (fill && !fill->is_none()) {
      if (step > 100000) return fault("a batch of {} is too large", size);
      batch.resize(step, *fill);
    }
    CAMEO_ASSIGN(Value made, in.list(std::move(batch)));
    batches.push_back(std::move(made));
  }
  return in.generator(std::move(batches));
}

Result<Value> filter_items(Interpreter& in, const Value& v, const Arguments&) {
  if (v.is_undefined()) return in.generator({});
  if (!v.is_dict()) return fault("a {} is no dict", v.type_name());
  CAMEO_ASSIGN(const Value pairs, find_method(v, "items")(in, v, {}));
  return in.generator(pairs.list().items);
}

Result<Value> filter_default(Interpreter&, const Value& v, const Arguments& a) {
  const Value* otherwise = a.get(0, "default_value");
  if (v.is_undefined() || (flag(a, 1, "boolean") && !v.truth())) return otherwise ? *otherwise : Value("");
  return v;
}

Result<Value> filter_attr(Interpreter& in, const Value& v, const Arguments& a) {
  if (a.positional.empty() || !a.positional[0].is_string()) return fault("it needs a name");
  // Attributes alone, not the keys of dicts.
  if (v.is_dict() && !find_method(v, a.positional[0].string())) return Value::undefined("a dict has no such attribute");
  return in.attribute(v, a.positional[0].string());
}

#define CAMEO_FILTER(expression)                                             \
  [](Interpreter& in, const Value& v, const Arguments& a) -> Result<Value> { \
    (void)in, (void)v, (void)a;                                              \
    return expression;                                                       \
  }
#define CAMEO_TEXT_FILTER(expression)                                      \
  [](Interpreter& in, const Value& v, const Arguments&) -> Result<Value> { \
    CAMEO_ASSIGN(const std::string s, str(in, v));                         \
    return in.text(expression);                                            \
  }

constexpr std::pair<std::string_view, Builtin> kFilters[] = {
    {"abs", &filter_abs},
    {"attr", &filter_attr},
    {"batch", &filter_batch},
    {"capitalize", CAMEO_TEXT_FILTER(capitalize(s))},
    {"center", &filter_center},
    {"count", &filter_length},
    {"d", &filter_default},
    {"default", &filter_default},
    {"dictsort", &filter_dictsort},
    {"e", &filter_escape},
    {"escape", &filter_escape},
    {"first", &filter_first},
    {"float", &filter_float},
    {"forceescape", &filter_escape},
    {"format", &filter_format},
    {"groupby", &filter_groupby},
    {"indent", &filter_indent},
    {"int", &filter_int},
    {"items", &filter_items},
    {"join", &filter_join},
    {"last", &filter_last},
    {"length", &filter_length},
    {"list", &filter_list},
    {"lower", CAMEO_TEXT_FILTER(lower(s))},
    {"map", &filter_map},
    {"max", CAMEO_FILTER(extreme(in, v, a, true))},
    {"min", CAMEO_FILTER(extreme(in, v, a, false))},
    {"reject", CAMEO_FILTER(choose(in, v, a, false, false))},
    {"rejectattr", CAMEO_FILTER(choose(in, v, a, true, false))},
    {"replace", &filter_replace},
    {"reverse", &filter_reverse},
    {"round", &filter_round},
    {"safe", CAMEO_TEXT_FILTER(s)},
    {"select", CAMEO_FILTER(choose(in, v, a, false, true))},
    {"selectattr", CAMEO_FILTER(choose(in, v, a, true, true))},
    {"sort", &filter_sort},
    {"string", CAMEO_TEXT_FILTER(s)},
    {"sum", &filter_sum},
    {"title", &filter_title},
    {"tojson", &filter_tojson},
    {"trim", &filter_trim},
    {"truncate", &filter_truncate},
    {"unique", &filter_unique},
    {"upper", CAMEO_TEXT_FILTER(upper(s))},
    {"urlencode", &filter_urlencode},
    {"wordcount", &filter_wordcount},
};

#undef CAMEO_FILTER
#undef CAMEO_TEXT_FILTER

}  // namespace

Builtin find_filter(std::string_view name) {
  for (const auto& [known, filter] : kFilters)
    if (known == name) return filter;
  return nullptr;
}

}  // namespace cameo::jinja
