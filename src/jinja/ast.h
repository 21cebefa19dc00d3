// The tree of a template.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "jinja/value.h"

namespace cameo::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Argument {
  enum Kind { kPositional, kNamed, kSpread, kSpreadNamed };
  Kind kind = kPositional;
  std::string name;
  ExprPtr value;
};

enum class ExprKind {
  kLiteral,    // value
  kName,       // text
  kList,       // items
  kTuple,      // items
  kDict,       // items: key, value, key, value, …
  kNot,        // items[0]
  kNegative,   // items[0]
  kPositive,   // items[0]
  kBinary,     // items[0] text items[1]: + - * / // % **
  kConcat,     // items, joined as text
  kAnd,        // items[0], items[1]
  kOr,         // items[0], items[1]
  kCompare,    // items[0] names[0] items[1] names[1] …
  kCondition,  // items[1] if items[0] else items[2], which may be null
  kAttribute,  // items[0].text
  kItem,       // items[0][items[1]]
  kSlice,      // begin, end, step, each of which may be null; only within kItem
  kCall,       // items[0](arguments)
  kFilter,     // items[0] | text(arguments); items[0] is null where a block is filtered
  kTest,       // items[0] is text(arguments)
};

struct Expr {
  ExprKind kind = ExprKind::kLiteral;
  int line = 0;
  Value value;
  std::string text;
  std::vector<ExprPtr> items;
  std::vector<std::string> names;
  std::vector<Argument> arguments;
};

struct Stmt;
using Body = std::vector<std::unique_ptr<Stmt>>;

// A name, names in order, or an attribute of a namespace.
struct Target {
  std::string name, attribute;
  std::vector<Target> items;
};

struct Parameter {
  std::string name;
  ExprPtr otherwise;  // may be null
};

enum class StmtKind {
  kText,      // text
  kPrint,     // exprs[0]
  kIf,        // exprs[i]: bodies[i]; one body more is the else
  kFor,       // targets[0] in exprs[0] [if exprs[1], else null]: bodies[0], else bodies[1]; recursive
  kSet,       // targets[0] = exprs[0]
  kSetBlock,  // targets[0] = bodies[0], filtered by exprs[0], which may be null
  kMacro,     // text(parameters): bodies[0]
  kCall,      // exprs[0], a call, with caller(parameters): bodies[0]
  kFilter,    // bodies[0] through exprs[0]
  kWith,      // targets = exprs: bodies[0]
  kScope,     // bodies[0]
  kBreak,
  kContinue,
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 0;
  std::string text;
  std::vector<ExprPtr> exprs;
  std::vector<Body> bodies;
  std::vector<Target> targets;
  std::vector<Parameter> parameters;
  bool recursive = false;
};

}  // namespace cameo::jinja
