// Values of templates, with Python's meaning: Jinja is defined by it.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"

namespace cameo::jinja {

// What a rendering may use. A template is part of a model that somebody else made: it may loop for ever.
class Meter {
 public:
  struct Limits {
    uint64_t steps = 5'000'000;
    uint64_t bytes = uint64_t{256} << 20;  // of all strings and lists made, kept or not
    size_t output = size_t{64} << 20;
    int depth = 600;  // of expressions, statements and macro calls within each other
  };
  explicit Meter(const Limits& limits) : limits_(limits) {}

  // Whether as much may still be used.
  bool spend(uint64_t steps) {
    steps_ += steps;
    return steps_ <= limits_.steps;
  }
  bool spend_bytes(uint64_t bytes) {
    bytes_ += bytes;
    return bytes_ <= limits_.bytes && spend(bytes / 256);
  }
  // An error if too much was used.
  Status check() const {
    if (steps_ > limits_.steps)
      return error(ErrorCode::kInvalidModel, "the template was stopped after {} steps; does it end?", limits_.steps);
    if (bytes_ > limits_.bytes)
      return error(ErrorCode::kInvalidModel, "the template makes more than {} bytes of text and lists", limits_.bytes);
    return {};
  }
  const Limits& limits() const { return limits_; }

 private:
  Limits limits_;
  uint64_t steps_ = 0, bytes_ = 0;
};

class Value;
struct List;
struct Dict;

// Anything else: namespaces, functions, macros, loops.
struct Object {
  explicit Object(std::string_view kind) : kind(kind) {}
  virtual ~Object() = default;
  std::string_view kind;  // "namespace", "function", "macro", "loop"
  int depth = 0;          // of the values within
};

struct Undefined {
  std::shared_ptr<const std::string> what;  // "'x' is undefined"
};

// Copies share; nothing but namespaces changes once it is made.
class Value {
 public:
  Value() : data_(nullptr) {}  // none
  Value(bool b) : data_(b) {}
  Value(int64_t i) : data_(i) {}
  Value(int i) : data_(int64_t{i}) {}
  Value(double d) : data_(d) {}
  Value(std::string s) : data_(std::make_shared<const std::string>(std::move(s))) {}
  Value(std::string_view s) : Value(std::string(s)) {}
  Value(const char* s) : Value(std::string(s)) {}
  Value(std::shared_ptr<const List> list) : data_(std::move(list)) {}
  Value(std::shared_ptr<const Dict> dict) : data_(std::move(dict)) {}
  Value(std::shared_ptr<Object> object) : data_(std::move(object)) {}
  static Value undefined(std::string what) {
    Value v;
    v.data_ = Undefined{std::make_shared<const std::string>(std::move(what))};
    return v;
  }
  static Value list(std::vector<Value> items, bool tuple = false);
  // From JSON, as json.loads() gives it. Errors: kInvalidInput for what is nested too deep or numbers that are too large.
  static Result<Value> from_json(const nlohmann::ordered_json& json);

  bool is_none() const { return std::holds_alternative<std::nullptr_t>(data_); }
  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<int64_t>(data_); }
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_integral() const { return is_int() || is_bool(); }  // bool is an int in Python
  bool is_number() const { return is_integral() || is_float(); }
  bool is_string() const { return std::holds_alternative<std::shared_ptr<const std::string>>(data_); }
  bool is_list() const { return std::holds_alternative<std::shared_ptr<const List>>(data_); }
  bool is_dict() const { return std::holds_alternative<std::shared_ptr<const Dict>>(data_); }
  bool is_object() const { return std::holds_alternative<std::shared_ptr<Object>>(data_); }

  // Only for the kind asked for.
  int64_t integer() const { return is_bool() ? std::get<bool>(data_) : std::get<int64_t>(data_); }
  double number() const { return is_float() ? std::get<double>(data_) : static_cast<double>(integer()); }
  const std::string& string() const { return *std::get<std::shared_ptr<const std::string>>(data_); }
  const List& list() const { return *std::get<std::shared_ptr<const List>>(data_); }
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  const std::shared_ptr<Object>& object() const { return std::get<std::shared_ptr<Object>>(data_); }
  template <class T>
  T* as() const {
    return is_object() ? dynamic_cast<T*>(object().get()) : nullptr;
  }
  const std::string& undefined_what() const { return *std::get<Undefined>(data_).what; }

  bool truth() const;
  // "str", "int", "NoneType", …
  std::string_view type_name() const;
  // How deep values are nested within; at most kMaxDepth.
  int depth() const;
  static constexpr int kMaxDepth = 100;

 private:
  std::variant<std::nullptr_t, Undefined, bool, int64_t, double, std::shared_ptr<const std::string>, std::shared_ptr<const List>,
               std::shared_ptr<const Dict>, std::shared_ptr<Object>>
      data_;
};

struct List {
  std::vector<Value> items;
  bool tuple = false;
  bool generator = false;  // true when empty too, and not to be indexed
  int depth = 1;
};

// In the order of insertion. Keys are numbers, strings, None and booleans.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  std::unordered_map<std::string, size_t> index;
  int depth = 1;

  const Value* find(const Value& key) const;
  // Errors: kInvalidModel for a key of another kind.
  Status set(Value key, Value value);
};

// Python's ==. Gives false, with the meter exhausted, where it would take too long.
bool equal(const Value& a, const Value& b, Meter& meter);

// str() and repr(); appended to `out`. Errors: the meter's.
Status append_str(std::string& out, const Value& value, Meter& meter);
Status append_repr(std::string& out, const Value& value, Meter& meter);
Result<std::string> to_str(const Value& value, Meter& meter);

struct JsonStyle {
  std::string indent;  // one level of it
  bool lines = false;  // a line for each item
  bool sort_keys = false, ensure_ascii = false;
  std::string item_separator = ", ", key_separator = ": ";
};
// json.dumps(). Errors: kInvalidModel for what JSON cannot hold.
Status append_json(std::string& out, const Value& value, const JsonStyle& style, Meter& meter, int level = 0);

}  // namespace cameo::jinja
