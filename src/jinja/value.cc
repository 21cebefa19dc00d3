#include "jinja/value.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "jinja/text.h"
#include "tokenizer/unicode.h"

namespace cameo::jinja {
namespace {

// What a dict finds a key by: equal keys, such as 1, 1.0 and True, have equal ones.
std::string key_text(const Value& key) {
  if (key.is_string()) return "s" + key.string();
  if (key.is_none()) return "n";
  if (key.is_integral()) return "i" + std::to_string(key.integer());
  const double d = key.number();
  if (d != std::floor(d) || std::fabs(d) >= 0x1p62) return "f" + float_repr(d);
  return "i" + std::to_string(static_cast<int64_t>(d));
}

bool hashable(const Value& key) { return key.is_string() || key.is_none() || key.is_number(); }

void append_json_string(std::string& out, std::string_view text, bool ascii) {
  out += '"';
  for (size_t at = 0; at < text.size();) {
    const auto c = tokenizer::decode_at(text, at);
    constexpr std::string_view kEscaped = "\"\\\n\r\t\b\f", kLetters = "\"\\nrtbf";
    const size_t escape = c.value < 0x80 ? kEscaped.find(static_cast<char>(c.value)) : std::string_view::npos;
    if (escape != std::string_view::npos) {
      out += '\\';
      out += kLetters[escape];
    } else if (c.value < 0x20 || (ascii && c.value > 0x7e && c.value < 0x10000)) {
      out += fmt::format("\\u{:04x}", c.value);
    } else if (ascii && c.value >= 0x10000) {
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + ((c.value - 0x10000) >> 10), 0xdc00 + ((c.value - 0x10000) & 0x3ff));
    } else {
      out.append(text.substr(at, c.bytes));
    }
    at += c.bytes;
  }
  out += '"';
}

// A step of writing a value, within the limits.
Status check_output(const std::string& out, Meter& meter) {
  if (!meter.spend(1)) return meter.check();
  if (out.size() > meter.limits().output)
    return error(ErrorCode::kInvalidModel, "the template makes a text of more than {} bytes", meter.limits().output);
  return {};
}

}  // namespace

Value Value::list(std::vector<Value> items, bool tuple) {
  auto made = std::make_shared<List>();
  made->items = std::move(items);
  made->tuple = tuple;
  for (const Value& item : made->items) made->depth = std::max(made->depth, item.depth() + 1);
  return Value(std::shared_ptr<const List>(std::move(made)));
}

Result<Value> Value::from_json(const nlohmann::ordered_json& json) {
  using Type = nlohmann::ordered_json::value_t;
  const auto check_depth = [](const Value& value) -> Status {
    if (value.depth() >= kMaxDepth) return error(ErrorCode::kInvalidInput, "values are nested more than {} deep", kMaxDepth);
    return {};
  };
  switch (json.type()) {
    case Type::boolean:
      return Value(json.get<bool>());
    case Type::number_integer:
      return Value(json.get<int64_t>());
    case Type::number_unsigned:
      if (json.get<uint64_t>() > INT64_MAX) return error(ErrorCode::kInvalidInput, "the number {} is too large", json.get<uint64_t>());
      return Value(json.get<int64_t>());
    case Type::number_float:
      return Value(json.get<double>());
    case Type::string:
      return Value(json.get<std::string>());
    case Type::array: {
      std::vector<Value> items;
      for (const auto& item : json) {
        CAMEO_ASSIGN(Value value, from_json(item));
        CAMEO_TRY(check_depth(value));
        items.push_back(std::move(value));
      }
      return list(std::move(items));
    }
    case Type::object: {
      auto dict = std::make_shared<Dict>();
      for (const auto& [key, item] : json.items()) {
        CAMEO_ASSIGN(Value value, from_json(item));
        CAMEO_TRY(check_depth(value));
        CAMEO_TRY(dict->set(Value(key), std::move(value)));
      }
      return Value(std::shared_ptr<const Dict>(std::move(dict)));
    }
    default:
      return Value();
  }
}

bool Value::truth() const {
  if (is_number()) return number() != 0;
  if (is_string()) return !string().empty();
  if (is_list()) return !list().items.empty() || list().generator;
  if (is_dict()) return !dict().items.empty();
  return is_object();
}

std::string_view Value::type_name() const {
  if (is_none()) return "NoneType";
  if (is_undefined()) return "Undefined";
  if (is_bool()) return "bool";
  if (is_int()) return "int";
  if (is_float()) return "float";
  if (is_string()) return "str";
  if (is_list()) return list().tuple ? "tuple" : "list";
  if (is_dict()) return "dict";
  return object()->kind;
}

int Value::depth() const {
  if (is_list()) return list().depth;
  if (is_dict()) return dict().depth;
  return is_object() ? object()->depth : 0;
}

const Value* Dict::find(const Value& key) const {
  if (!hashable(key)) return nullptr;
  const auto it = index.find(key_text(key));
  return it == index.end() ? nullptr : &items[it->second].second;
}

Status Dict::set(Value key, Value value) {
  if (!hashable(key)) return error(ErrorCode::kInvalidModel, "a {} cannot be the key of a dict here", key.type_name());
  depth = std::max(depth, value.depth() + 1);
  const auto [it, is_new] = index.emplace(key_text(key), items.size());
  if (is_new)
    items.emplace_back(std::move(key), std::move(value));
  else
    items[it->second].second = std::move(value);
  return {};
}

bool equal(const Value& a, const Value& b, Meter& meter) {
  if (!meter.spend(1)) return false;
  if (a.is_integral() && b.is_integral()) return a.integer() == b.integer();
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  if (a.is_string() && b.is_string()) return meter.spend(a.string().size() / 64) && a.string() == b.string();
  if (a.is_none() || a.is_undefined()) return a.type_name() == b.type_name();
  if (a.is_list() && b.is_list()) {
    const List &x = a.list(), &y = b.list();
    return x.tuple == y.tuple && std::equal(x.items.begin(), x.items.end(), y.items.begin(), y.items.end(),
                                            [&](const Value& p, const Value& q) { return equal(p, q, meter); });
  }
  if (a.is_dict() && b.is_dict()) {
    const Dict &x = a.dict(), &y = b.dict();
    return x.items.size() == y.items.size() && std::all_of(x.items.begin(), x.items.end(), [&](const auto& item) {
             const Value* other = y.find(item.first);
             return other && equal(item.second, *other, meter);
           });
  }
  return a.is_object() && b.is_object() && a.object() == b.object();
}

Status append_repr(std::string& out, const Value& value, Meter& meter) {
  CAMEO_TRY(check_output(out, meter));
  if (value.is_undefined()) {
    out += "Undefined";
  } else if (value.is_none()) {
    out += "None";
  } else if (value.is_bool()) {
    out += value.truth() ? "True" : "False";
  } else if (value.is_int()) {
    out += std::to_string(value.integer());
  } else if (value.is_float()) {
    out += float_repr(value.number());
  } else if (value.is_string()) {
    if (!meter.spend_bytes(value.string().size())) return meter.check();
    out += string_repr(value.string());
  } else if (value.is_list()) {
    const List& list = value.list();
    out += list.tuple ? '(' : '[';
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out += ", ";
      CAMEO_TRY(append_repr(out, list.items[i], meter));
    }
    if (list.tuple && list.items.size() == 1) out += ',';
    out += list.tuple ? ')' : ']';
  } else if (value.is_dict()) {
    out += '{';
    bool first = true;
    for (const auto& [key, item] : value.dict().items) {
      if (!std::exchange(first, false)) out += ", ";
      CAMEO_TRY(append_repr(out, key, meter));
      out += ": ";
      CAMEO_TRY(append_repr(out, item, meter));
    }
    out += '}';
  } else {
    // Not the values within: a namespace may hold itself.
    out += fmt::format("<{}>", value.object()->kind);
  }
  return {};
}

Status append_str(std::string& out, const Value& value, Meter& meter) {
  if (value.is_undefined()) return {};
  if (!value.is_string()) return append_repr(out, value, meter);
  if (!meter.spend_bytes(value.string().size())) return meter.check();
  out += value.string();
  return check_output(out, meter);
}

Result<std::string> to_str(const Value& value, Meter& meter) {
  std::string out;
  CAMEO_TRY(append_str(out, value, meter));
  return out;
}

Status append_json(std::string& out, const Value& value, const JsonStyle& style, Meter& meter, int level) {
  CAMEO_TRY(check_output(out, meter));
  const auto new_line = [&](int at) {
    if (!style.lines) return;
    out += '\n';
    for (int i = 0; i < at; ++i) out += style.indent;
  };
  if (value.is_none()) {
    out += "null";
  } else if (value.is_bool()) {
    out += value.truth() ? "true" : "false";
  } else if (value.is_int()) {
    out += std::to_string(value.integer());
  } else if (value.is_float()) {
    const double d = value.number();
    out += std::isnan(d) ? "NaN" : std::isinf(d) ? (d > 0 ? "Infinity" : "-Infinity") : float_repr(d);
  } else if (value.is_string()) {
    if (!meter.spend_bytes(value.string().size())) return meter.check();
    append_json_string(out, value.string(), style.ensure_ascii);
  } else if (value.is_list()) {
    const auto& items = value.list().items;
    out += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style.item_separator;
      new_line(level + 1);
      CAMEO_TRY(append_json(out, items[i], style, meter, level + 1));
    }
    if (!items.empty()) new_line(level);
    out += ']';
  } else if (value.is_dict()) {
    std::vector<std::pair<std::string, const Value*>> items;
    for (const auto& [key, item] : value.dict().items) {
      std::string name;
      if (key.is_string())
        name = key.string();
      else
        CAMEO_TRY(append_json(name, key, style, meter, level));
      items.emplace_back(std::move(name), &item);
    }
    if (style.sort_keys) std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    out += '{';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style.item_separator;
      new_line(level + 1);
      append_json_string(out, items[i].first, style.ensure_ascii);
      out += style.key_separator;
      CAMEO_TRY(append_json(out, *items[i].second, style, meter, level + 1));
    }
    if (!items.empty()) new_line(level);
    out += '}';
  } else {
    return error(ErrorCode::kInvalidModel, "a value of type {} cannot be written as JSON", value.type_name());
  }
  return {};
}

}  // namespace cameo::jinja
