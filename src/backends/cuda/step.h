// A node made ready for the device at one set of shapes: a few operations, each a kernel or a call of a library.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backends/cuda/attributes.h"
#include "backends/cuda/device.h"
#include "cameo/tensor.h"
#include "ir/graph.h"
#include "runtime/backend.h"

namespace cameo::cuda {

using runtime::Precision;

// A dense tensor in device memory, by where its address will come from.
struct Operand {
  enum class Kind : uint8_t { kNone, kInput, kOutput, kScratch, kFixed };
  Kind kind = Kind::kNone;
  size_t index = 0;                 // of an input or output of the node
  size_t offset = 0;                // bytes from that address, or from the start of the scratch memory
  void* fixed = nullptr;            // kFixed
  DType dtype = DType::kUndefined;  // of the elements in memory
  bool narrowed = false;            // 16 bits where the model has 32: what does not fit becomes the largest finite value
  Dims dims;
  int64_t pitch = 0;            // elements from one row to the next, of values that lie beside others; 0: dense
  bool channels_first = false;  // in memory [N, C, spatial…], although the extents have the channels last

  bool present() const { return kind != Kind::kNone; }
  size_t bytes() const { return static_cast<size_t>(dims.num_elements()) * dtype_size(dtype); }
  bool same_place(const Operand& o) const { return kind == o.kind && index == o.index && offset == o.offset && fixed == o.fixed; }
  // The same memory seen with other extents, or from another element on.
  Operand seen_as(const Dims& extents, int64_t first_element = 0) const {
    Operand other = *this;
    other.dims = extents;
    if (kind == Kind::kFixed)
      other.fixed = static_cast<std::byte*>(fixed) + first_element * static_cast<int64_t>(dtype_size(dtype));
    else
      other.offset += static_cast<size_t>(first_element) * dtype_size(dtype);
    return other;
  }
};

// Where the operands of a step are in one run.
struct Addresses {
  std::span<void*const> inputs, outputs;
  std::byte* scratch = nullptr;
  void* of(const Operand& o) const {
    switch (o.kind) {
      case Operand::Kind::kInput:
        return static_cast<std::byte*>(inputs[o.index]) + o.offset;
      case Operand::Kind::kOutput:
        return static_cast<std::byte*>(outputs[o.index]) + o.offset;
      case Operand::Kind::kScratch:
        return scratch + o.offset;
      case Operand::Kind::kFixed:
        return o.fixed;
      case Operand::Kind::kNone:
        break;
    }
    return nullptr;
  }
};

class Operation {
 public:
  virtual ~Operation() = default;
  // Puts the work on the stream.
  virtual Status run(const Addresses& at, cudaStream_t stream) = 0;
};

struct Step {
  std::vector<std::unique_ptr<Operation>> operations;
  std::vector<std::shared_ptr<const void>> kept;  // what fixed addresses lie in
  size_t scratch_bytes = 0;
  Status run(const Addresses& at, cudaStream_t stream) const {
    for (const auto& operation : operations) CAMEO_TRY(operation->run(at, stream));
    return {};
  }
};

// Indices out of range that kernels met, reported by the host when it has waited for them. One for each context.
class Faults {
 public:
  // The number under which kernels of this node report.
  int64_t add(const std::string& node);
  // Where kernels report: int64[2], number and index. Null where there is no memory for it.
  int64_t* memory();
  // The error of what was met since the last call.
  Status take();

 private:
  PinnedBlock block_;
  bool tried_ = false;
  std::vector<std::string> nodes_;
};

// A value as the maker of a step sees it.
struct View {
  DType dtype = DType::kUndefined;    // of the model
  DType storage = DType::kUndefined;  // in device memory
  Dims dims;
  Tensor value;         // the elements on the host, where they are known when the step is made
  bool weight = false;  // `value` is a constant of the model, which lives as long as the model
  int64_t pitch = 0;    // as Operand's
  bool channels_first = false;
  bool unread = false;                // of an output: no other step reads it
  DType rounded = DType::kUndefined;  // of an image: the step rounds it to this type first, as its node's numbers say
};

constexpr size_t kNormInput = 8, kNormOutput = 4;
// The inputs of a shortcut's node are those of the step from here on.
constexpr size_t kShortcutInput = 8;

class StepBuilder {
 public:
  // `inputs` and `outputs` are parallel to the node's; absent ones have type kUndefined.
  StepBuilder(const ir::Node& node, std::vector<View> inputs, std::vector<View> outputs, Precision precision, Device& device,
              WeightStore& weights, Faults* faults = nullptr)
      : node_(node),
        attrs_(*node.attrs),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        precision_(precision),
        device_(device),
        weights_(weights),
        faults_(faults) {}

  const ir::Node& node() const { return node_; }
  const Attributes& attrs() const { return attrs_; }
  // The LayerNormalization or RMSNormalization whose rows are the node's first input, where this step makes them too. It has that
  // norm's inputs from kNormInput on and its output as output kNormOutput.
  const ir::Node* norm() const { return norm_; }
  void set_norm(const ir::Node* norm) { norm_ = norm; }
  int version() const { return node_.version; }
  // The 1x1 convolution whose result this convolution adds, where the step does that, too; else null.
  const ir::Node* shortcut() const { return shortcut_; }
  void set_shortcut(const ir::Node* node) { shortcut_ = node; }
  // The max pool over this convolution's result, where the step does that, too, and gives what the pool gives; else null.
  const ir::Node* pool() const { return pool_; }
  void set_pool(const ir::Node* node) { pool_ = node; }
  Precision precision() const { return precision_; }
  Device& device() const { return device_; }
  Faults* faults() const { return faults_; }

  size_t num_inputs() const { return inputs_.size(); }
  size_t num_outputs() const { return outputs_.size(); }
  bool has_input(size_t i) const { return i < inputs_.size() && inputs_[i].dtype != DType::kUndefined; }
  bool is_unread(size_t i) const { return outputs_[i].unread; }
  bool has_output(size_t i) const { return i < outputs_.size() && outputs_[i].dtype != DType::kUndefined; }
  const Dims& in_dims(size_t i) const { return inputs_[i].dims; }
  const Dims& out_dims(size_t i) const { return outputs_[i].dims; }
  DType in_type(size_t i) const { return inputs_[i].dtype; }
  DType rounded(size_t i) const { return inputs_[i].rounded; }
  DType out_type(size_t i) const { return outputs_[i].dtype; }
  bool is_weight(size_t i) const { return inputs_[i].weight; }
  // The elements on the host; null when they are not known now.
  const Tensor* value(size_t i) const { return has_input(i) && inputs_[i].value.defined() ? &inputs_[i].value : nullptr; }
  // An integer input whose elements must be known.
  Result<std::vector<int64_t>> ints(size_t i) const;

  // Input or output i in device memory. A constant is copied there once.
  Result<Operand> input(size_t i);
  Operand output(size_t i) const;
  // Input i with elements of that type: a constant is kept so, another is converted in scratch memory.
  Result<Operand> input_as(size_t i, DType storage);
  // Scratch memory, valid for this step.
  Operand scratch(DType dtype, const Dims& dims);
  // Takes back the scratch memory and the operations that were added since mark().
  struct Mark {
    size_t operations, scratch_bytes;
  };
  Mark mark() const { return {step_.operations.size(), step_.scratch_bytes}; }
  void back_to(const Mark& mark) {
    step_.operations.resize(mark.operations);
    step_.scratch_bytes = mark.scratch_bytes;
  }
  // A host tensor in device memory for as long as the step lives.
  Result<Operand> constant(const Tensor& tensor);
  // A constant input in a form of its own, which `fill` makes: it adds operations that write the operand it is given. They
  // run once for a model, `form` tells the forms of one constant apart.
  Result<Operand> prepared(size_t i, const std::string& form, DType storage, const Dims& dims,
                           const std::function<Status(StepBuilder&, const Operand& from, const Operand& to)>& fill);

  void add(std::unique_ptr<Operation> operation) { step_.operations.push_back(std::move(operation)); }
  void keep(std::shared_ptr<const void> owner) { step_.kept.push_back(std::move(owner)); }
  // A maker may take back what it added, and start again.
  Step take() { return std::move(step_); }

 private:
  const ir::Node& node_;
  const ir::Node *norm_ = nullptr, *shortcut_ = nullptr, *pool_ = nullptr;
  Attributes attrs_;
  std::vector<View> inputs_, outputs_;
  const Precision precision_;
  Device& device_;
  WeightStore& weights_;
  Faults* faults_;
  Step step_;
};

// The 16-bit type of a precision that keeps activations in 16 bits; float32 for the others.
inline DType activation_type(Precision p) {
  return p == Precision::kFloat16 ? DType::kFloat16 : p == Precision::kBfloat16 ? DType::kBfloat16 : DType::kFloat32;
}

// ---- the operators ----

struct Bound {
  Dims dims;
  size_t axis = 0;
};

struct DeviceOp {
  std::string_view name;
  std::string_view domain;
  Status (*make)(StepBuilder& b);
  // Bit i: input i must be known on the host when the step is made.
  uint32_t host_inputs = 0;
  // Of an operator with one output whose extent along an axis depends on data: the most it can be. Steps get memory for that and
  // write as for the extent there is, which they give as a further output, int64[1]. Null for all others.
  Result<Bound> (*bound)(const ir::Node& node, const Attributes& attrs, std::span<const View> inputs) = nullptr;
};
// All of them, as "Name" or "domain.Name".
std::vector<std::string> device_operators();
const DeviceOp* find_device_op(const ir::Node& node);
// Whether all that the node reads and gives may be tensors of numbers; the rest is the host's.
bool only_numbers(const ir::Node& node, const ir::Graph& graph);
// Whether the types of the node's values are all ones that the device has.
Status supports_types(const ir::Node& node, const ir::Graph& graph);

}  // namespace cameo::cuda
