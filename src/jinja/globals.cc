// Functions that every template has, those of transformers among them.
#include <ctime>
#include <utility>

#include "jinja/interpreter.h"
#include "jinja/template.h"

namespace cameo::jinja {
namespace {

// As in Jinja's sandbox.
constexpr int64_t kMostItems = 100000;

Result<Value> global_range(Interpreter& in, const Value&, const Arguments& a) {
  int64_t part[3] = {0, 0, 1};
  if (a.positional.empty() || a.positional.size() > 3) return fault("range() takes one to three integers");
  for (size_t i = 0; i < a.positional.size(); ++i) {
    if (!a.positional[i].is_integral()) return fault("range() takes integers, not a {}", a.positional[i].type_name());
    part[i] = a.positional[i].integer();
  }
  if (a.positional.size() == 1) std::swap(part[0], part[1]);
  const auto [begin, end, step] = part;
  if (step == 0) return fault("the step of range() is 0");
  std::vector<Value> items;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (static_cast<int64_t>(items.size()) >= kMostItems) return fault("range() of more than {} items", kMostItems);
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return in.list(std::move(items));
}

Result<Value> global_namespace(Interpreter& in, const Value&, const Arguments& a) {
  std::map<std::string, Value> attributes;
  for (const Value& v : a.positional) {
    if (!v.is_dict()) return fault("namespace() takes named values or a dict, not a {}", v.type_name());
    for (const auto& [key, value] : v.dict().items)
      if (key.is_string()) attributes[key.string()] = value;
  }
  for (const auto& [name, value] : a.named) attributes[name] = value;
  return in.make_namespace(std::move(attributes));
}

Result<Value> global_dict(Interpreter& in, const Value&, const Arguments& a) {
  auto made = std::make_shared<Dict>();
  for (const Value& v : a.positional) {
    if (!v.is_dict()) return fault("dict() takes named values or a dict, not a {}", v.type_name());
    for (const auto& [key, value] : v.dict().items) CAMEO_TRY(made->set(key, value));
  }
  for (const auto& [name, value] : a.named) CAMEO_TRY(made->set(Value(name), value));
  return in.dict(std::move(made));
}

Result<Value> global_raise_exception(Interpreter& in, const Value&, const Arguments& a) {
  std::string message;
  if (const Value* given = a.get(0, "message")) CAMEO_TRY(append_str(message, *given, in.meter()));
  return error(ErrorCode::kInvalidInput, "{}", message);
}

Result<Value> global_strftime_now(Interpreter& in, const Value&, const Arguments& a) {
  if (a.positional.size() != 1 || !a.positional[0].is_string()) return fault("strftime_now() takes a format");
  const std::string& format = a.positional[0].string();
  if (format.size() > 1000) return fault("strftime_now() with a format of {} bytes", format.size());
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  localtime_r(&now, &local);
  std::string out(100 * format.size() + 100, '\0');
  out.resize(std::strftime(out.data(), out.size(), format.c_str(), &local));
  return in.text(std::move(out));
}

constexpr std::pair<std::string_view, Builtin> kGlobals[] = {
    {"range", &global_range},
    {"namespace", &global_namespace},
    {"dict", &global_dict},
    {"raise_exception", &global_raise_exception},
    {"strftime_now", &global_strftime_now},
};

}  // namespace

Builtin find_global(std::string_view name) {
  for (const auto& [known, global] : kGlobals)
    if (known == name) return global;
  return nullptr;
}

}  // namespace cameo::jinja
