// Runs the tree of a template.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "jinja/ast.h"

namespace cameo::jinja {

class Interpreter;

// What a function is called with.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // By place or by name; null if not given.
  const Value* get(size_t index, std::string_view name) const;
  const Value* get(std::string_view name) const { return get(positional.size(), name); }
};

// Filters and methods get what they are applied to as `self`.
using Builtin = Result<Value> (*)(Interpreter&, const Value& self, const Arguments&);
using Test = Result<bool> (*)(Interpreter&, const Value& self, const Arguments&);

// By name; null if there is none.
Builtin find_filter(std::string_view name);
Builtin find_global(std::string_view name);
Builtin find_method(const Value& self, std::string_view name);
Test find_test(std::string_view name);

// Names of one block of the template.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::unordered_map<std::string, Value> names;

  const Value* find(const std::string& name) const;
};

struct Function : Object {
  Function(Builtin call, Value self) : Object("function"), call(call), self(std::move(self)) { depth = this->self.depth() + 1; }
  Builtin call;
  Value self;
};

struct Namespace : Object {
  Namespace() : Object("namespace") {}
  std::map<std::string, Value> attributes;
};

struct Macro : Object {
  Macro(const Stmt& stmt, std::shared_ptr<Scope> scope) : Object("macro"), stmt(&stmt), scope(std::move(scope)) {}
  const Stmt* stmt;
  std::shared_ptr<Scope> scope;  // in which it was defined
};

struct Loop : Object {
  Loop() : Object("loop") {}
  std::vector<Value> items;
  size_t index = 0;
  int level = 0;  // of recursion
  const Stmt* stmt = nullptr;
  std::shared_ptr<Scope> scope;
  std::string changed;  // what changed() was last called with
};

class Interpreter {
 public:
  Interpreter(const Meter::Limits& limits, std::unordered_map<std::string, Value> variables);
  ~Interpreter();

  Result<std::string> render(const Body& body);

  // ---- for functions, filters and tests ----
  Meter& meter() { return meter_; }
  // Values whose memory counts.
  Result<Value> text(std::string s);
  Result<Value> list(std::vector<Value> items, bool tuple = false);
  // A list that is true when empty too, as Python's generators are.
  Result<Value> generator(std::vector<Value> items);
  Result<Value> dict(std::shared_ptr<Dict> dict);
  Result<Value> make_namespace(std::map<std::string, Value> attributes);
  // What a for loop goes over. Errors: for values that cannot be gone over.
  Result<std::vector<Value>> iterate(const Value& value);
  Result<size_t> size(const Value& value);
  Result<Value> attribute(const Value& value, const std::string& name);
  Result<Value> item(const Value& value, const Value& key);
  // An attribute as filters name it: "a.b", 0. `otherwise` takes the place of what is undefined on the way.
  Result<Value> path(const Value& value, const Value& path, const Value* otherwise = nullptr);
  Result<Value> filter(const std::string& name, const Value& self, const Arguments& arguments);
  Result<bool> test(const std::string& name, const Value& self, const Arguments& arguments);
  Result<Value> call(const Value& function, Arguments arguments);
  Result<Value> call_loop(Loop& loop, std::vector<Value> items);

 private:
  enum class Flow { kNext, kBreak, kContinue };
  class Level;

  Result<Flow> run(const Body& body);
  Result<Flow> run(const Stmt& s);
  Result<Flow> run_if(const Stmt& s);
  Result<Flow> run_for(const Stmt& s);
  Status run_loop(const Stmt& s, std::vector<Value> items, int level);
  Status run_set(const Stmt& s);
  Status run_call(const Stmt& s);
  Status run_with(const Stmt& s);
  // The text that a body makes in a scope of its own.
  Result<std::string> capture(const Body& body, std::shared_ptr<Scope> scope);
  Status assign(const Target& target, const Value& value, Scope& scope);
  Result<Value> call_macro(const Macro& macro, Arguments arguments);
  Result<std::vector<Value>> filtered(const Stmt& s, std::vector<Value> items);

  Result<Value> eval(const Expr& e);
  Result<Value> eval_items(const Expr& e);
  Result<Value> eval_compare(const Expr& e);
  Result<Value> eval_call(const Expr& e, const Value* caller);
  Result<Value> eval_filter(const Expr& e, const Value* input);
  Result<Value> slice(const Value& value, const Expr& e);
  Result<Arguments> arguments(const Expr& e);
  Value lookup(const std::string& name);
  std::shared_ptr<Scope> inner() const;

  Meter meter_;
  std::shared_ptr<Scope> scope_;
  std::string* out_ = nullptr;
  int depth_ = 0;
  bool located_ = false;  // the error says its line
  // Made so far: emptied at the end, because they may hold each other.
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<std::shared_ptr<Macro>> macros_;
};

// Python's operators. Errors: kInvalidModel for operands that do not go together.
Result<Value> binary(Interpreter& in, std::string_view op, const Value& a, const Value& b);
// < of values that are ordered.
Result<bool> less(const Value& a, const Value& b, Meter& meter);
Result<bool> contains(Interpreter& in, const Value& container, const Value& value);
// "%s is %d" % values
Result<Value> percent_format(Interpreter& in, const std::string& format, const std::vector<Value>& values, bool may_be_too_many = false);

// An error of the template's own making.
template <class... Args>
Error fault(fmt::format_string<Args...> format, Args&&... args) {
  return error(ErrorCode::kInvalidModel, format, std::forward<Args>(args)...);
}

}  // namespace cameo::jinja
