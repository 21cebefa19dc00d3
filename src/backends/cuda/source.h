// Writes the source of kernels. Extents, strides and the like are arguments of a kernel and no part of its source, so that one
// kernel serves every shape that is computed the same way.
//
// In the source an element is read as what is computed with: float for 16-bit floats, double for double, integers as they are.
// Names: I, the type of indices (32 bits where all tensors are small enough); N0, N1, …, numbers; a0, a1, …, tensors.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "backends/cuda/step.h"

namespace cameo::cuda {

// What elements of the type are computed in: "float", "double", "int", "unsigned long long", "bool", …
const char* compute_type(DType type);
// How they lie in memory; `narrowed` as in Operand.
std::string storage_type(DType type, bool narrowed = false);
bool is_float(DType type);
bool is_small_float(DType type);  // of 8 or 4 bits
bool is_integer(DType type);
// A literal with the value, exact.
std::string literal(float value);
std::string literal(double value);
std::string literal(int64_t value);
// The value as a literal of the type that elements of `type` are computed in.
std::string literal_of(DType type, double value);

class Source {
 public:
  // A tensor's name; the same tensor gets the same one again.
  std::string read(const Operand& operand);
  std::string write(const Operand& operand);
  // A number that is known when the step is made, as an index.
  std::string number(int64_t value);
  // index / divisor for a non-negative index; divisor > 0.
  std::string quotient(const std::string& index, int64_t divisor);
  // A line that reports `named` (or `index`) if `index` is outside of [0, extent); the kernel goes on.
  std::string check_index(const std::string& index, const std::string& extent, const std::string& named = "") {
    checks_ = true;
    return "if ((" + index + ") < 0 || (" + index + ") >= " + extent + ") FAULT(" + (named.empty() ? index : named) + ");";
  }
  // Adds a line to the body.
  void line(const std::string& text) { body_ += "  " + text + "\n"; }
  // Adds text before the kernel: functions.
  void declare(const std::string& text) {
    if (declarations_.find(text) == std::string::npos) declarations_ += text + "\n";
  }
  // A name that no other has.
  std::string name(const char* prefix) { return prefix + std::to_string(names_++); }

  // Splits the index of an element of `dims` into one index an axis; adds lines.
  std::vector<std::string> unravel(const std::string& index, const Dims& dims);
  // The sum of index times stride, and `first`.
  std::string offset(std::span<const std::string> indices, const Dims& strides, int64_t first = 0);

  // Element `index` of a tensor as it is computed with.
  std::string load(const Operand& operand, const std::string& index) { return "get(" + read(operand) + "[" + index + "])"; }
  void store(const Operand& operand, const std::string& index, const std::string& value) {
    line("put(" + write(operand) + "[" + index + "], " + value + ");");
  }

  // Makes it an operation of the step, with a thread for each of `count` elements, whose index is `i`.
  Status launch_elements(StepBuilder& b, int64_t count);
  // With `blocks` blocks of `threads` threads; `block` is the number of the block.
  Status launch_blocks(StepBuilder& b, int64_t blocks, int threads, size_t shared_bytes = 0);

 private:
  std::string parameter(const Operand& operand, bool written);
  Status launch(StepBuilder& b, KernelShape shape, const std::string& head, int threads, int64_t elements);

  struct Parameter {
    Operand operand;
    bool written = false;
  };
  std::vector<Parameter> parameters_;
  std::vector<int64_t> numbers_;
  std::string body_, declarations_;
  int names_ = 0;
  bool wide_ = false, checks_ = false;
};

// An operand of map(): element index -> offset + sum of index times stride, counted in elements.
struct Strided {
  Operand operand;
  Dims strides;
  int64_t offset = 0;
};
// The strides of a dense tensor, and those with which it broadcasts to extents.
Dims dense_strides(const Dims& dims);
Strided broadcast(const Operand& operand, const Dims& to);
Strided dense(const Operand& operand);

// to = f(from…) for all indices of `dims`. `f` gets the elements' names and gives the result's expression, after lines it may
// add. Neighbouring axes are merged, and several elements are read at once, where that can be.
using Formula = std::function<std::string(Source&, std::span<const std::string>)>;
Status map(StepBuilder& b, const Dims& dims, const Strided& to, std::vector<Strided> from, const Formula& f);
// The same between dense tensors that broadcast to `to`.
Status map(StepBuilder& b, const Operand& to, std::span<const Operand> from, const Formula& f);
// to[i] = from[i], converted.
Status copy_elements(StepBuilder& b, const Operand& from, const Operand& to);
Status copy_strided(StepBuilder& b, const Dims& dims, const Strided& from, const Strided& to);
// Output i of the node is the next splits[i] columns of y, as far as it is wanted.
Status copy_splits(StepBuilder& b, const Operand& y, std::span<const int64_t> splits);

}  // namespace cameo::cuda
