// What an operator is: its attributes, shape inference and reference implementation.
#pragma once

#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cameo/tensor.h"
#include "ir/attrs.h"
#include "ir/graph.h"
#include "ir/type.h"

namespace cameo {
class ThreadPool;
}

namespace cameo::ops {

// A value at run time: a tensor, a sequence, or an optional (a sequence or tensor that may be absent).
struct RtValue {
  ir::Type::Kind kind = ir::Type::Kind::kTensor;
  Tensor tensor;                                   // kTensor
  std::shared_ptr<std::vector<RtValue>> elements;  // kSequence; an optional holds none or one
  DType element_dtype = DType::kUndefined;         // of a sequence's tensors, when known; keeps an empty sequence typed

  static RtValue of(Tensor t) { return {ir::Type::Kind::kTensor, std::move(t), nullptr, DType::kUndefined}; }
  static RtValue sequence(std::vector<RtValue> elements, DType element_dtype);
  static RtValue optional(std::optional<RtValue> element);
  bool is_tensor() const { return kind == ir::Type::Kind::kTensor; }
};

// Shape inference sees a node through this. Types may be unknown in part; infer() says as much as it can
// and reports what is certainly wrong. At run time it is called with everything known.
class InferContext {
 public:
  virtual ~InferContext() = default;
  virtual const ir::Node& node() const = 0;

  size_t num_inputs() const { return node().inputs.size(); }
  size_t num_outputs() const { return node().outputs.size(); }
  bool has_input(size_t i) const { return i < num_inputs() && node().inputs[i] != ir::kNoValue; }
  bool has_output(size_t i) const { return i < num_outputs() && node().outputs[i] != ir::kNoValue; }
  int version() const { return node().version; }
  template <class T>
  const T& attrs() const {
    return node().attrs_as<T>();
  }

  // The type of input i; unknown when absent.
  virtual const ir::Type& input(size_t i) const = 0;
  // The value of input i when it is known now; null otherwise.
  virtual const Tensor* constant(size_t i) const = 0;
  // The elements of an integer input of rank 0 or 1 as extents, each possibly symbolic, when known:
  // what Shape gives and shape arithmetic makes of it.
  virtual std::optional<ir::Shape> values(size_t i) const = 0;

  virtual void set_output(size_t i, ir::Type type) = 0;
  // For operators of shape arithmetic: the elements of output i (rank 0 or 1) as extents.
  virtual void set_values(size_t i, ir::Shape values) = 0;

  // Infers subgraph `index` with these types of its formal inputs; gives the types of its outputs.
  virtual Result<std::vector<ir::Type>> infer_subgraph(size_t index, std::span<const ir::Type> formal_inputs) = 0;
  // In how many subgraphs the node stands; an operator that infers its subgraph more than once does so only near the top.
  virtual int subgraph_depth() const { return 0; }

  // Shorthands.
  void set_output(size_t i, DType dtype, ir::Shape shape) { set_output(i, ir::Type::tensor(dtype, std::move(shape))); }
  const std::optional<ir::Shape>& shape(size_t i) const { return input(i).shape; }
  DType dtype(size_t i) const { return input(i).dtype; }
  // An integer tensor input (int32 or int64) as int64 values when it is known now.
  std::optional<std::vector<int64_t>> ints(size_t i) const;
};

// A reference implementation sees its node through this. Its inputs are checked against the type
// constraints and infer() has accepted them; sizes and values inside tensors are not to be trusted.
class KernelContext {
 public:
  virtual ~KernelContext() = default;
  virtual const ir::Node& node() const = 0;

  size_t num_inputs() const { return node().inputs.size(); }
  size_t num_outputs() const { return node().outputs.size(); }
  bool has_input(size_t i) const { return i < num_inputs() && node().inputs[i] != ir::kNoValue; }
  bool has_output(size_t i) const { return i < num_outputs() && node().outputs[i] != ir::kNoValue; }
  int version() const { return node().version; }
  template <class T>
  const T& attrs() const {
    return node().attrs_as<T>();
  }

  // Only when has_input(i). input() is for tensors, value() for any kind.
  const Tensor& input(size_t i) const { return value(i).tensor; }
  virtual const RtValue& value(size_t i) const = 0;

  // The tensor of output i, ready to be written: infer() gave its type and extents. Its memory is not cleared.
  // Only when has_output(i) and infer() could know the extents from the inputs' values.
  virtual Tensor& output(size_t i) = 0;
  // For outputs whose extents depend on data: makes memory for output i, then output(i) is valid.
  virtual Status allocate_output(size_t i, DType dtype, const Dims& dims) = 0;
  // Sets output i to a sequence, an optional, or a tensor that shares memory with an input.
  virtual void set_value(size_t i, RtValue value) = 0;

  // Memory for temporaries, 64-byte aligned, not cleared, valid until the kernel returns. Kernels use it in
  // place of std::vector so that a second run at a shape allocates nothing. Throws std::bad_alloc.
  virtual void* scratch_bytes(size_t bytes) = 0;
  template <class T>
  std::span<T> scratch(int64_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (count > static_cast<int64_t>(PTRDIFF_MAX / sizeof(T))) throw std::bad_alloc();
    return {static_cast<T*>(scratch_bytes(static_cast<size_t>(count) * sizeof(T))), static_cast<size_t>(count)};
  }

  // The threads that may share this node's work.
  virtual ThreadPool& threads() = 0;

  // Runs subgraph `index` on its formal inputs (captures are bound already). The outputs own their memory.
  virtual Result<std::vector<RtValue>> run_subgraph(size_t index, std::span<const RtValue> formal_inputs) = 0;

  // Asked by long loops from time to time; returns the error to stop with, when the caller cancelled.
  virtual Status check_cancelled() const = 0;
};

// A set of element types: type constraints in OpDefs.
class TypeSet {
 public:
  constexpr TypeSet() = default;
  constexpr TypeSet(std::initializer_list<DType> types) {
    for (DType t : types) bits_ |= uint32_t{1} << static_cast<int>(t);
  }
  constexpr bool contains(DType t) const { return (bits_ >> static_cast<int>(t)) & 1; }
  constexpr bool empty() const { return bits_ == 0; }
  friend constexpr TypeSet operator|(TypeSet a, TypeSet b) {
    TypeSet both;
    both.bits_ = a.bits_ | b.bits_;
    return both;
  }
  std::string to_string() const;

 private:
  uint32_t bits_ = 0;
};

inline constexpr TypeSet kFloatTypes = {DType::kFloat32, DType::kFloat16, DType::kFloat64, DType::kBfloat16};
inline constexpr TypeSet kFloat8Types = {DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ,
                                         DType::kFloat8E8M0};
inline constexpr TypeSet kSignedTypes = {DType::kInt8, DType::kInt16, DType::kInt32, DType::kInt64};
inline constexpr TypeSet kUnsignedTypes = {DType::kUint8, DType::kUint16, DType::kUint32, DType::kUint64};
inline constexpr TypeSet kIntegerTypes = kSignedTypes | kUnsignedTypes;
inline constexpr TypeSet kNumericTypes = kFloatTypes | kIntegerTypes;
inline constexpr TypeSet kIndexTypes = {DType::kInt32, DType::kInt64};
inline constexpr TypeSet kBoolType = {DType::kBool};
inline constexpr TypeSet kStringType = {DType::kString};
inline constexpr TypeSet kSubByteTypes = {DType::kUint4, DType::kInt4, DType::kFloat4E2M1, DType::kUint2, DType::kInt2};
inline constexpr TypeSet kComplexTypes = {DType::kComplex64, DType::kComplex128};
// Every type; also the meaning of an empty set in an OpDef.
inline constexpr TypeSet kAllTypes = kNumericTypes | kFloat8Types | kBoolType | kStringType | kSubByteTypes | kComplexTypes;

// Properties that passes and the runtime ask for.
enum OpFlags : uint32_t {
  kPure = 0,
  kRandom = 1u << 0,         // gives another result at each run: never folded or merged
  kControlFlow = 1u << 1,    // runs subgraphs
  kDataDependent = 1u << 2,  // the extents of an output depend on the values of inputs other than shape arguments
  kNotFolded = 1u << 3,      // never evaluated at build time
  kView = 1u << 4,           // output 0 has the elements of input 0 in the same order, with other extents or none
};

inline constexpr int kVariadic = 1 << 20;

// Allowed element types per tensor input; the last entry holds for all further inputs, and an empty set or list
// allows any type.
class InputTypes {
 public:
  constexpr InputTypes() = default;
  constexpr InputTypes(std::initializer_list<TypeSet> sets) {
    for (TypeSet set : sets) sets_[size_++] = set;
  }
  constexpr TypeSet of(size_t input) const { return size_ == 0 ? TypeSet{} : sets_[input < size_ ? input : size_ - 1]; }

 private:
  TypeSet sets_[12];
  size_t size_ = 0;
};

// The graph attributes of an operator, at most two.
class SubgraphNames {
 public:
  constexpr SubgraphNames() = default;
  constexpr SubgraphNames(std::initializer_list<std::string_view> names) {
    for (std::string_view name : names) names_[size_++] = name;
  }
  constexpr size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr std::string_view operator[](size_t i) const { return names_[i]; }
  constexpr const std::string_view* begin() const { return names_; }
  constexpr const std::string_view* end() const { return names_ + size_; }

 private:
  std::string_view names_[2];
  size_t size_ = 0;
};

struct OpDef {
  std::string_view name;         // ONNX's op_type
  std::string_view domain = "";  // "" is ai.onnx
  // Opset versions of the domain that infer() and reference() cover.
  int min_version = 1;
  int max_version = 28;
  int min_inputs = 1, max_inputs = 1;
  int min_outputs = 1, max_outputs = 1;
  InputTypes input_types = {};  // checked before infer() is called
  std::unique_ptr<ir::Attrs> (*make_attrs)() = &ir::make_attrs<ir::NoAttrs>;
  Status (*infer)(InferContext&) = nullptr;
  Status (*reference)(KernelContext&) = nullptr;
  uint32_t flags = kPure;
  // The graph attributes; node.subgraphs stand in this order ({"then_branch", "else_branch"} for If).
  SubgraphNames subgraphs = {};
  bool optional_subgraphs = false;  // some may be missing; node.subgraphs then holds only the others
};

// Opens the definition of an operator in its file: CAMEO_DEFINE_OP(Softmax) = {.name = "Softmax", …};
#define CAMEO_DEFINE_OP(op)   \
  extern const OpDef op##_op; \
  constexpr OpDef op##_op

// The operator of that domain and name, or null. "ai.onnx" and "" are the same domain.
const OpDef* find_op(std::string_view domain, std::string_view name);
std::span<const OpDef* const> all_ops();

}  // namespace cameo::ops
