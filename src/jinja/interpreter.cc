#include "jinja/interpreter.h"

#include <algorithm>

#include "jinja/text.h"

namespace cameo::jinja {

const Value* Arguments::get(size_t index, std::string_view name) const {
  if (index < positional.size()) return &positional[index];
  for (const auto& [known, value] : named)
    if (known == name) return &value;
  return nullptr;
}

const Value* Scope::find(const std::string& name) const {
  for (const Scope* s = this; s; s = s->parent.get())
    if (const auto it = s->names.find(name); it != s->names.end()) return &it->second;
  return nullptr;
}

// Counts how deep the interpreter is; each level is a piece of the stack.
class Interpreter::Level {
 public:
  explicit Level(Interpreter& in) : depth_(++in.depth_), limit_(in.meter_.limits().depth), counter_(in.depth_) {}
  ~Level() { --counter_; }
  Status check() const {
    if (depth_ > limit_) return fault("calls and expressions are nested more than {} deep", limit_);
    return {};
  }

 private:
  int depth_, limit_;
  int& counter_;
};

Interpreter::Interpreter(const Meter::Limits& limits, std::unordered_map<std::string, Value> variables)
    : meter_(limits), scope_(std::make_shared<Scope>()) {
  scope_->names = std::move(variables);
  scope_ = inner();
}

Interpreter::~Interpreter() {
  for (const auto& n : namespaces_) n->attributes.clear();
  for (const auto& m : macros_) m->scope.reset();
}

std::shared_ptr<Scope> Interpreter::inner() const {
  auto scope = std::make_shared<Scope>();
  scope->parent = scope_;
  return scope;
}

Result<std::string> Interpreter::render(const Body& body) {
  std::string out;
  out_ = &out;
  CAMEO_TRY(run(body));
  return out;
}

// ---- values ----

Result<Value> Interpreter::text(std::string s) {
  if (!meter_.spend_bytes(s.size() + 32)) return meter_.check().error();
  return Value(std::move(s));
}

Result<Value> Interpreter::list(std::vector<Value> items, bool tuple) {
  if (!meter_.spend_bytes(items.size() * sizeof(Value) + 64)) return meter_.check().error();
  Value made = Value::list(std::move(items), tuple);
  if (made.depth() > Value::kMaxDepth) return fault("values are nested more than {} deep", Value::kMaxDepth);
  return made;
}

Result<Value> Interpreter::generator(std::vector<Value> items) {
  CAMEO_ASSIGN(const Value made, list(std::move(items)));
  auto copy = std::make_shared<List>(made.list());
  copy->generator = true;
  return Value(std::shared_ptr<const List>(std::move(copy)));
}

Result<Value> Interpreter::dict(std::shared_ptr<Dict> dict) {
  if (!meter_.spend_bytes(dict->items.size() * 160 + 128)) return meter_.check().error();
  if (dict->depth > Value::kMaxDepth) return fault("values are nested more than {} deep", Value::kMaxDepth);
  return Value(std::shared_ptr<const Dict>(std::move(dict)));
}

Result<Value> Interpreter::make_namespace(std::map<std::string, Value> attributes) {
  if (!meter_.spend_bytes(1024)) return meter_.check().error();
  namespaces_.push_back(std::make_shared<Namespace>());
  namespaces_.back()->attributes = std::move(attributes);
  return Value(std::shared_ptr<Object>(namespaces_.back()));
}

Result<std::vector<Value>> Interpreter::iterate(const Value& value) {
  std::vector<Value> items;
  if (value.is_list()) {
    items = value.list().items;
  } else if (value.is_dict()) {
    for (const auto& [key, unused] : value.dict().items) items.push_back(key);
  } else if (value.is_string()) {
    if (!meter_.spend_bytes(value.string().size() * 64)) return meter_.check().error();
    for (const std::string_view c : characters(value.string())) items.emplace_back(c);
  } else if (!value.is_undefined()) {
    return fault("a value of type {} cannot be iterated over", value.type_name());
  }
  if (!meter_.spend_bytes(items.size() * sizeof(Value))) return meter_.check().error();
  return items;
}

Result<size_t> Interpreter::size(const Value& value) {
  if (value.is_string()) return length(value.string());
  if (value.is_list()) return value.list().items.size();
  if (value.is_dict()) return value.dict().items.size();
  if (value.is_undefined()) return size_t{0};
  return fault("a value of type {} has no length", value.type_name());
}

Result<Value> Interpreter::attribute(const Value& value, const std::string& name) {
  if (value.is_undefined()) return fault("{}", value.undefined_what());
  if (auto* n = value.as<Namespace>()) {
    const auto it = n->attributes.find(name);
    if (it != n->attributes.end()) return it->second;
  } else if (auto* m = value.as<Macro>()) {
    if (name == "name") return Value(m->stmt->text);
  } else if (auto* loop = value.as<Loop>()) {
    const auto index = static_cast<int64_t>(loop->index), count = static_cast<int64_t>(loop->items.size());
    if (name == "index") return Value(index + 1);
    if (name == "index0") return Value(index);
    if (name == "revindex") return Value(count - index);
    if (name == "revindex0") return Value(count - index - 1);
    if (name == "first") return Value(index == 0);
    if (name == "last") return Value(index == count - 1);
    if (name == "length") return Value(count);
    if (name == "depth") return Value(int64_t{loop->level} + 1);
    if (name == "depth0") return Value(int64_t{loop->level});
    if (name == "previtem") return index > 0 ? loop->items[loop->index - 1] : Value::undefined("there is no previous item");
    if (name == "nextitem") return index + 1 < count ? loop->items[loop->index + 1] : Value::undefined("there is no next item");
  }
  if (const Builtin method = find_method(value, name)) return Value(std::shared_ptr<Object>(std::make_shared<Function>(method, value)));
  if (value.is_dict())
    if (const Value* found = value.dict().find(Value(name))) return *found;
  return Value::undefined(fmt::format("'{} object' has no attribute '{}'", value.type_name(), name));
}

Result<Value> Interpreter::item(const Value& value, const Value& key) {
  if (value.is_undefined()) return fault("{}", value.undefined_what());
  if (value.is_dict())
    if (const Value* found = value.dict().find(key)) return *found;
  if (key.is_integral() && (value.is_list() || value.is_string())) {
    CAMEO_ASSIGN(const size_t count, size(value));
    const int64_t index = key.integer() < 0 ? key.integer() + static_cast<int64_t>(count) : key.integer();
    if (index < 0 || index >= static_cast<int64_t>(count) || (value.is_list() && value.list().generator))
      return Value::undefined(fmt::format("'{} object' has no element {}", value.type_name(), key.integer()));
    if (value.is_list()) return value.list().items[static_cast<size_t>(index)];
    if (!meter_.spend(value.string().size() / 64)) return meter_.check().error();
    const size_t begin = byte_of(value.string(), static_cast<size_t>(index));
    const std::string_view rest = std::string_view(value.string()).substr(begin);
    return Value(rest.substr(0, byte_of(rest, 1)));
  }
  if (key.is_string()) return attribute(value, key.string());
  if (key.is_undefined()) return fault("{}", key.undefined_what());
  return Value::undefined(fmt::format("'{} object' has no such element", value.type_name()));
}

Result<Value> Interpreter::path(const Value& value, const Value& path, const Value* otherwise) {
  Value at = value;
  const auto go = [&](const Value& key) -> Status {
    CAMEO_ASSIGN(at, item(at, key));
    if (otherwise && at.is_undefined()) at = *otherwise;
    return {};
  };
  if (!path.is_string()) {
    CAMEO_TRY(go(path));
    return at;
  }
  for (const std::string_view part : split(path.string(), ".", -1, false)) {
    const bool number = !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string_view::npos;
    CAMEO_TRY(go(number ? Value(int64_t{std::atoi(std::string(part).c_str())}) : Value(part)));
  }
  return at;
}

Result<Value> Interpreter::filter(const std::string& name, const Value& self, const Arguments& arguments) {
  const Builtin fn = find_filter(name);
  if (!fn) return fault("there is no filter '{}'", name);
  if (self.is_string() && !meter_.spend(self.string().size() / 64)) return meter_.check().error();
  auto result = fn(*this, self, arguments);
  return result.ok() ? std::move(result) : Result<Value>(std::move(result).error().in(fmt::format("filter '{}'", name)));
}

Result<bool> Interpreter::test(const std::string& name, const Value& self, const Arguments& arguments) {
  const Test fn = find_test(name);
  if (!fn) return fault("there is no test '{}'", name);
  return fn(*this, self, arguments);
}

// ---- calls ----

Result<Value> Interpreter::call(const Value& function, Arguments arguments) {
  const Level level(*this);
  CAMEO_TRY(level.check());
  if (const auto* f = function.as<Function>()) {
    if (f->self.is_string() && !meter_.spend(f->self.string().size() / 64)) return meter_.check().error();
    return f->call(*this, f->self, arguments);
  }
  if (const auto* m = function.as<Macro>()) return call_macro(*m, std::move(arguments));
  if (auto* loop = function.as<Loop>()) {
    if (arguments.positional.size() != 1) return fault("loop() takes one value");
    CAMEO_ASSIGN(std::vector<Value> items, iterate(arguments.positional[0]));
    return call_loop(*loop, std::move(items));
  }
  if (function.is_undefined()) return fault("{}", function.undefined_what());
  return fault("a value of type {} cannot be called", function.type_name());
}

Result<Value> Interpreter::call_loop(Loop& loop, std::vector<Value> items) {
  if (!loop.stmt->recursive) return fault("loop() is called in a loop that is not marked as recursive");
  std::string out;
  const auto saved_scope = std::exchange(scope_, loop.scope);
  auto* saved_out = std::exchange(out_, &out);
  const Status done = run_loop(*loop.stmt, std::move(items), loop.level + 1);
  scope_ = saved_scope;
  out_ = saved_out;
  CAMEO_TRY(done);
  return text(std::move(out));
}

Result<Value> Interpreter::call_macro(const Macro& macro, Arguments arguments) {
  const Stmt& s = *macro.stmt;
  auto scope = std::make_shared<Scope>();
  scope->parent = macro.scope;
  const auto saved = std::exchange(scope_, scope);
  const auto bind = [&]() -> Status {
    for (size_t i = 0; i < s.parameters.size(); ++i) {
      const Parameter& p = s.parameters[i];
      Value value;
      if (const Value* given = arguments.get(i, p.name)) {
        value = *given;
      } else if (p.otherwise) {
        CAMEO_ASSIGN(value, eval(*p.otherwise));
      } else {
        value = Value::undefined(fmt::format("parameter '{}' was not provided", p.name));
      }
      scope->names[p.name] = std::move(value);
    }
    std::vector<Value> more(
        arguments.positional.begin() + static_cast<ptrdiff_t>(std::min(arguments.positional.size(), s.parameters.size())),
        arguments.positional.end());
    auto rest = std::make_shared<Dict>();
    for (const auto& [name, value] : arguments.named) {
      if (name == "caller")
        scope->names[name] = value;
      else if (std::none_of(s.parameters.begin(), s.parameters.end(), [&name = name](const Parameter& p) { return p.name == name; }))
        CAMEO_TRY(rest->set(Value(name), value));
    }
    CAMEO_ASSIGN(scope->names["varargs"], list(std::move(more), true));
    CAMEO_ASSIGN(scope->names["kwargs"], dict(std::move(rest)));
    return {};
  };
  const Status bound = bind();
  auto made = bound.ok() ? capture(s.bodies[0], scope) : Result<std::string>(bound.error());
  scope_ = saved;
  if (!made.ok()) return std::move(made).error();
  return text(std::move(made).value());
}

Result<std::string> Interpreter::capture(const Body& body, std::shared_ptr<Scope> scope) {
  std::string out;
  const auto saved_scope = std::exchange(scope_, std::move(scope));
  auto* saved_out = std::exchange(out_, &out);
  const auto done = run(body);
  scope_ = saved_scope;
  out_ = saved_out;
  if (!done.ok()) return done.error();
  return out;
}

// ---- statements ----

Result<Interpreter::Flow> Interpreter::run(const Body& body) {
  const Level level(*this);
  CAMEO_TRY(level.check());
  for (const auto& s : body) {
    auto flow = run(*s);
    if (!flow.ok()) {
      if (std::exchange(located_, true)) return flow;
      return std::move(flow).error().in(fmt::format("line {}", s->line));
    }
    if (*flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run(const Stmt& s) {
  if (!meter_.spend(1)) return meter_.check().error();
  switch (s.kind) {
    case StmtKind::kText:
      CAMEO_TRY(append_str(*out_, Value(s.text), meter_));
      return Flow::kNext;
    case StmtKind::kPrint: {
      CAMEO_ASSIGN(const Value value, eval(*s.exprs[0]));
      CAMEO_TRY(append_str(*out_, value, meter_));
      return Flow::kNext;
    }
    case StmtKind::kIf:
      return run_if(s);
    case StmtKind::kFor:
      return run_for(s);
    case StmtKind::kSet:
    case StmtKind::kSetBlock:
      CAMEO_TRY(run_set(s));
      return Flow::kNext;
    case StmtKind::kMacro:
      if (!meter_.spend_bytes(1024)) return meter_.check().error();
      macros_.push_back(std::make_shared<Macro>(s, scope_));
      scope_->names[s.text] = Value(std::shared_ptr<Object>(macros_.back()));
      return Flow::kNext;
    case StmtKind::kCall:
      CAMEO_TRY(run_call(s));
      return Flow::kNext;
    case StmtKind::kFilter: {
      CAMEO_ASSIGN(std::string body, capture(s.bodies[0], inner()));
      CAMEO_ASSIGN(const Value made, text(std::move(body)));
      CAMEO_ASSIGN(const Value filtered, eval_filter(*s.exprs[0], &made));
      CAMEO_TRY(append_str(*out_, filtered, meter_));
      return Flow::kNext;
    }
    case StmtKind::kWith:
      CAMEO_TRY(run_with(s));
      return Flow::kNext;
    case StmtKind::kScope: {
      const auto saved = std::exchange(scope_, inner());
      auto flow = run(s.bodies[0]);
      scope_ = saved;
      return flow;
    }
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run_if(const Stmt& s) {
  for (size_t i = 0; i < s.exprs.size(); ++i) {
    CAMEO_ASSIGN(const Value test, eval(*s.exprs[i]));
    if (test.truth()) return run(s.bodies[i]);
  }
  return s.bodies.size() > s.exprs.size() ? run(s.bodies.back()) : Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run_for(const Stmt& s) {
  CAMEO_ASSIGN(const Value over, eval(*s.exprs[0]));
  CAMEO_ASSIGN(std::vector<Value> items, iterate(over));
  CAMEO_TRY(run_loop(s, std::move(items), 0));
  return Flow::kNext;
}

Result<std::vector<Value>> Interpreter::filtered(const Stmt& s, std::vector<Value> items) {
  std::vector<Value> kept;
  const auto saved = scope_;
  for (Value& item : items) {
    scope_ = saved;
    scope_ = inner();
    CAMEO_TRY(assign(s.targets[0], item, *scope_));
    auto test = eval(*s.exprs[1]);
    if (!test.ok()) return std::move(test).error();
    if (test->truth()) kept.push_back(std::move(item));
  }
  return kept;
}

Status Interpreter::run_loop(const Stmt& s, std::vector<Value> items, int level) {
  const auto saved = scope_;
  if (s.exprs[1]) {
    auto kept = filtered(s, std::move(items));
    scope_ = saved;
    if (!kept.ok()) return std::move(kept).error();
    items = std::move(kept).value();
  }
  if (items.empty() && s.bodies.size() > 1) {
    scope_ = inner();
    const auto done = run(s.bodies[1]);
    scope_ = saved;
    CAMEO_TRY(done);
    return {};
  }
  const auto loop = std::make_shared<Loop>();
  for (const Value& item : items) loop->depth = std::max(loop->depth, item.depth() + 1);
  loop->items = std::move(items);
  loop->level = level;
  loop->stmt = &s;
  loop->scope = saved;
  for (; loop->index < loop->items.size(); ++loop->index) {
    if (!meter_.spend(1)) return meter_.check();
    scope_ = saved;
    scope_ = inner();
    scope_->names["loop"] = Value(std::shared_ptr<Object>(loop));
    const Value item = loop->items[loop->index];
    const Status assigned = assign(s.targets[0], item, *scope_);
    auto flow = assigned.ok() ? run(s.bodies[0]) : Result<Flow>(assigned.error());
    scope_ = saved;
    if (!flow.ok()) return std::move(flow).error();
    if (*flow == Flow::kBreak) break;
  }
  return {};
}

Status Interpreter::run_set(const Stmt& s) {
  if (s.kind == StmtKind::kSet) {
    CAMEO_ASSIGN(const Value value, eval(*s.exprs[0]));
    return assign(s.targets[0], value, *scope_);
  }
  CAMEO_ASSIGN(std::string body, capture(s.bodies[0], inner()));
  CAMEO_ASSIGN(Value value, text(std::move(body)));
  if (s.exprs[0]) {
    CAMEO_ASSIGN(value, eval_filter(*s.exprs[0], &value));
  }
  return assign(s.targets[0], value, *scope_);
}

Status Interpreter::run_call(const Stmt& s) {
  if (!meter_.spend_bytes(1024)) return meter_.check();
  macros_.push_back(std::make_shared<Macro>(s, scope_));
  const Value caller{std::shared_ptr<Object>(macros_.back())};
  CAMEO_ASSIGN(const Value made, eval_call(*s.exprs[0], &caller));
  return append_str(*out_, made, meter_);
}

Status Interpreter::run_with(const Stmt& s) {
  auto scope = inner();
  for (size_t i = 0; i < s.targets.size(); ++i) {
    CAMEO_ASSIGN(const Value value, eval(*s.exprs[i]));
    CAMEO_TRY(assign(s.targets[i], value, *scope));
  }
  const auto saved = std::exchange(scope_, std::move(scope));
  const auto done = run(s.bodies[0]);
  scope_ = saved;
  if (!done.ok()) return done.error();
  return {};
}

Status Interpreter::assign(const Target& target, const Value& value, Scope& scope) {
  if (!target.items.empty()) {
    CAMEO_ASSIGN(const std::vector<Value> values, iterate(value));
    if (values.size() != target.items.size()) return fault("{} values cannot be assigned to {} names", values.size(), target.items.size());
    for (size_t i = 0; i < values.size(); ++i) CAMEO_TRY(assign(target.items[i], values[i], scope));
    return {};
  }
  if (target.attribute.empty()) {
    scope.names[target.name] = value;
    return {};
  }
  const Value holder = lookup(target.name);
  auto* names = holder.as<Namespace>();
  if (!names) return fault("'{}' is no namespace; only attributes of namespaces can be set", target.name);
  if (!meter_.spend_bytes(128)) return meter_.check();
  names->attributes[target.attribute] = value;
  return {};
}

Value Interpreter::lookup(const std::string& name) {
  if (const Value* found = scope_->find(name)) return *found;
  if (const Builtin global = find_global(name)) return Value(std::shared_ptr<Object>(std::make_shared<Function>(global, Value())));
  return Value::undefined(fmt::format("'{}' is undefined", name));
}

// ---- expressions ----

Result<Value> Interpreter::eval(const Expr& e) {
  if (!meter_.spend(1)) return meter_.check().error();
  const Level level(*this);
  CAMEO_TRY(level.check());
  switch (e.kind) {
    case ExprKind::kLiteral:
      return e.value;
    case ExprKind::kName:
      return lookup(e.text);
    case ExprKind::kList:
    case ExprKind::kTuple:
    case ExprKind::kDict:
    case ExprKind::kConcat:
      return eval_items(e);
    case ExprKind::kNot: {
      CAMEO_ASSIGN(const Value value, eval(*e.items[0]));
      return Value(!value.truth());
    }
    case ExprKind::kNegative:
    case ExprKind::kPositive: {
      CAMEO_ASSIGN(const Value value, eval(*e.items[0]));
      return binary(*this, e.kind == ExprKind::kNegative ? "-" : "+", Value(0), value);
    }
    case ExprKind::kBinary: {
      CAMEO_ASSIGN(const Value a, eval(*e.items[0]));
      CAMEO_ASSIGN(const Value b, eval(*e.items[1]));
      return binary(*this, e.text, a, b);
    }
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      CAMEO_ASSIGN(Value a, eval(*e.items[0]));
      return a.truth() == (e.kind == ExprKind::kOr) ? Result<Value>(std::move(a)) : eval(*e.items[1]);
    }
    case ExprKind::kCompare:
      return eval_compare(e);
    case ExprKind::kCondition: {
      CAMEO_ASSIGN(const Value test, eval(*e.items[0]));
      if (test.truth()) return eval(*e.items[1]);
      return e.items[2] ? eval(*e.items[2]) : Value::undefined("a condition without 'else' does not hold");
    }
    case ExprKind::kAttribute: {
      CAMEO_ASSIGN(const Value value, eval(*e.items[0]));
      return attribute(value, e.text);
    }
    case ExprKind::kItem: {
      CAMEO_ASSIGN(const Value value, eval(*e.items[0]));
      if (e.items[1]->kind == ExprKind::kSlice) return slice(value, *e.items[1]);
      CAMEO_ASSIGN(const Value key, eval(*e.items[1]));
      return item(value, key);
    }
    case ExprKind::kSlice:
      return fault("a slice stands alone");
    case ExprKind::kCall:
      return eval_call(e, nullptr);
    case ExprKind::kFilter:
      return eval_filter(e, nullptr);
    case ExprKind::kTest: {
      CAMEO_ASSIGN(const Value value, eval(*e.items[0]));
      CAMEO_ASSIGN(const Arguments given, arguments(e));
      CAMEO_ASSIGN(const bool holds, test(e.text, value, given));
      return Value(holds);
    }
  }
  return Value();
}

Result<Value> Interpreter::eval_items(const Expr& e) {
  std::vector<Value> items;
  for (const ExprPtr& one : e.items) {
    CAMEO_ASSIGN(Value value, eval(*one));
    items.push_back(std::move(value));
  }
  if (e.kind == ExprKind::kConcat) {
    std::string joined;
    for (const Value& value : items) CAMEO_TRY(append_str(joined, value, meter_));
    return text(std::move(joined));
  }
  if (e.kind != ExprKind::kDict) return list(std::move(items), e.kind == ExprKind::kTuple);
  auto made = std::make_shared<Dict>();
  for (size_t i = 0; i < items.size(); i += 2) CAMEO_TRY(made->set(items[i], items[i + 1]));
  return dict(std::move(made));
}

Result<Value> Interpreter::eval_compare(const Expr& e) {
  CAMEO_ASSIGN(Value left, eval(*e.items[0]));
  for (size_t i = 0; i < e.names.size(); ++i) {
    CAMEO_ASSIGN(Value right, eval(*e.items[i + 1]));
    const std::string& op = e.names[i];
    bool holds = false;
    if (op == "==" || op == "!=") {
      holds = equal(left, right, meter_) == (op == "==");
      CAMEO_TRY(meter_.check());
    } else if (op == "in" || op == "not in") {
      CAMEO_ASSIGN(const bool found, contains(*this, right, left));
      holds = found == (op == "in");
    } else {
      // a > b is b < a; a <= b is not b < a for all values but NaN.
      const bool swapped = op == ">" || op == "<=";
      CAMEO_ASSIGN(const bool below, swapped ? less(right, left, meter_) : less(left, right, meter_));
      const bool nan = (left.is_float() && left.number() != left.number()) || (right.is_float() && right.number() != right.number());
      holds = !nan && below == (op == "<" || op == ">");
    }
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Arguments> Interpreter::arguments(const Expr& e) {
  Arguments given;
  for (const Argument& a : e.arguments) {
    CAMEO_ASSIGN(Value value, eval(*a.value));
    if (a.kind == Argument::kPositional) {
      given.positional.push_back(std::move(value));
    } else if (a.kind == Argument::kNamed) {
      given.named.emplace_back(a.name, std::move(value));
    } else if (a.kind == Argument::kSpread) {
      CAMEO_ASSIGN(const std::vector<Value> more, iterate(value));
      given.positional.insert(given.positional.end(), more.begin(), more.end());
    } else {
      if (!value.is_dict()) return fault("what follows ** is a {}, not a dict", value.type_name());
      for (const auto& [key, item] : value.dict().items) {
        if (!key.is_string()) return fault("what follows ** has a key that is no string");
        given.named.emplace_back(key.string(), item);
      }
    }
  }
  return given;
}

Result<Value> Interpreter::eval_call(const Expr& e, const Value* caller) {
  CAMEO_ASSIGN(const Value function, eval(*e.items[0]));
  CAMEO_ASSIGN(Arguments given, arguments(e));
  if (caller) given.named.emplace_back("caller", *caller);
  return call(function, std::move(given));
}

Result<Value> Interpreter::eval_filter(const Expr& e, const Value* input) {
  Value value;
  if (!e.items[0]) {
    value = input ? *input : Value();
  } else if (e.items[0]->kind == ExprKind::kFilter && input) {
    CAMEO_ASSIGN(value, eval_filter(*e.items[0], input));
  } else {
    CAMEO_ASSIGN(value, eval(*e.items[0]));
  }
  CAMEO_ASSIGN(const Arguments given, arguments(e));
  return filter(e.text, value, given);
}

Result<Value> Interpreter::slice(const Value& value, const Expr& e) {
  int64_t part[3] = {0, 0, 1};
  bool has[3] = {};
  for (size_t i = 0; i < 3; ++i) {
    if (!e.items[i]) continue;
    CAMEO_ASSIGN(const Value v, eval(*e.items[i]));
    if (v.is_none()) continue;
    if (!v.is_integral()) return fault("a slice has a {} where an integer should be", v.type_name());
    part[i] = v.integer();
    has[i] = true;
  }
  if (value.is_undefined()) return fault("{}", value.undefined_what());
  if (!value.is_list() && !value.is_string())
    return Value::undefined(fmt::format("a value of type {} cannot be sliced", value.type_name()));
  CAMEO_ASSIGN(const size_t count, size(value));
  const auto n = static_cast<int64_t>(count);
  const int64_t step = part[2];
  if (step == 0) return fault("the step of a slice is 0");
  const auto clamp = [&](int64_t i) {
    if (i < 0) i = std::max<int64_t>(i + n, step < 0 ? -1 : 0);
    return std::min(i, step < 0 ? n - 1 : n);
  };
  const int64_t begin = has[0] ? clamp(part[0]) : step < 0 ? n - 1 : 0;
  const int64_t end = has[1] ? clamp(part[1]) : step < 0 ? -1 : n;
  CAMEO_ASSIGN(const std::vector<Value> items, iterate(value));
  std::vector<Value> kept;
  for (int64_t at = begin; step > 0 ? at < end : at > end;) {
    kept.push_back(items[static_cast<size_t>(at)]);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  if (value.is_list()) return list(std::move(kept), value.list().tuple);
  std::string joined;
  for (const Value& c : kept) joined += c.string();
  return text(std::move(joined));
}

}  // namespace cameo::jinja
