#include "backends/cuda/convolution.h"

#include <algorithm>

#include "backends/cuda/libraries.h"
#include "backends/cuda/measure.h"
#include "backends/cuda/source.h"
#include "backends/cuda/tuning.h"

namespace cameo::cuda {
namespace {

constexpr int64_t kMaxWorkspace = int64_t{256} << 20;
constexpr int kCandidates = 8;

// A descriptor of cuDNN's graph interface.
class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(Descriptor&& other) noexcept : lib_(other.lib_), d_(std::exchange(other.d_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(lib_, other.lib_);
    std::swap(d_, other.d_);
    return *this;
  }
  ~Descriptor() {
    if (d_) lib_->cudnnBackendDestroyDescriptor(d_);
  }
  static Result<Descriptor> create(const Cudnn& lib, cudnnBackendDescriptorType_t type) {
    Descriptor d;
    d.lib_ = &lib;
    CAMEO_TRY(d.check(lib.cudnnBackendCreateDescriptor(type, &d.d_), "making a descriptor"));
    return d;
  }
  cudnnBackendDescriptor_t get() const { return d_; }

  Status set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values) {
    return check(lib_->cudnnBackendSetAttribute(d_, name, type, count, values), "describing an operation");
  }
  Status set(cudnnBackendAttributeName_t name, const std::vector<int64_t>& values) {
    return set(name, CUDNN_TYPE_INT64, static_cast<int64_t>(values.size()), values.data());
  }
  Status set(cudnnBackendAttributeName_t name, int64_t value) { return set(name, CUDNN_TYPE_INT64, 1, &value); }
  Status set(cudnnBackendAttributeName_t name, const Descriptor& value) { return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.d_); }
  Status set(cudnnBackendAttributeName_t name, cudnnDataType_t value) { return set(name, CUDNN_TYPE_DATA_TYPE, 1, &value); }
  Status finalize(const char* what) { return check(lib_->cudnnBackendFinalize(d_), what); }
  cudnnStatus_t read(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room, int64_t* count, void* values) const {
    return lib_->cudnnBackendGetAttribute(d_, name, type, room, count, values);
  }

 private:
  Status check(cudnnStatus_t status, const char* what) const {
    if (status == CUDNN_STATUS_SUCCESS) [[likely]]
      return {};
    // What cuDNN does not accept is done otherwise; only a failing device is an error of its own.
    const ErrorCode code = status >= CUDNN_STATUS_EXECUTION_FAILED ? ErrorCode::kDevice : ErrorCode::kUnsupported;
    return error(code, "cuDNN, {}: {}", what, lib_->cudnnGetErrorString(status));
  }
  const Cudnn* lib_ = nullptr;
  cudnnBackendDescriptor_t d_ = nullptr;
};

cudnnDataType_t type_of(DType t) {
  return t == DType::kFloat16 ? CUDNN_DATA_HALF : t == DType::kBfloat16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

enum Id : int64_t { kX = 1, kW, kY, kBias, kAddend, kVirtual };

std::vector<int64_t> list(const Dims& d) { return {d.begin(), d.end()}; }

// Strides of a tensor with extents N, C, spatial… that lies in that order, or with the channels last.
std::vector<int64_t> strides_of(const std::vector<int64_t>& dims, bool channels_last) {
  std::vector<int64_t> strides(dims.size(), 1);
  int64_t step = channels_last ? dims[1] : 1;
  for (size_t i = dims.size(); i-- > 2;) {
    strides[i] = step;
    step *= dims[i];
  }
  if (channels_last) {
    strides[0] = step;
  } else {
    strides[1] = step;
    strides[0] = step * dims[1];
  }
  return strides;
}

// The operation graph: convolution, then the addend, the bias and Relu, with what lies between kept in registers.
struct Graph {
  std::vector<Descriptor> tensors, others, operations;
  Descriptor graph;

  Result<const Descriptor*> tensor(const Cudnn& lib, int64_t id, const std::vector<int64_t>& dims, bool last, cudnnDataType_t type,
                                   bool is_virtual) {
    CAMEO_ASSIGN(Descriptor t, Descriptor::create(lib, CUDNN_BACKEND_TENSOR_DESCRIPTOR));
    CAMEO_TRY(t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type));
    CAMEO_TRY(t.set(CUDNN_ATTR_TENSOR_DIMENSIONS, dims));
    CAMEO_TRY(t.set(CUDNN_ATTR_TENSOR_STRIDES, strides_of(dims, last)));
    CAMEO_TRY(t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id));
    CAMEO_TRY(t.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int64_t{16}));
    if (is_virtual) CAMEO_TRY(t.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual));
    CAMEO_TRY(t.finalize("a tensor"));
    tensors.push_back(std::move(t));
    return &tensors.back();
  }

  Status pointwise(const Cudnn& lib, cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b, const Descriptor& y) {
    CAMEO_ASSIGN(Descriptor how, Descriptor::create(lib, CUDNN_BACKEND_POINTWISE_DESCRIPTOR));
    CAMEO_TRY(how.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode));
    CAMEO_TRY(how.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT));
    CAMEO_TRY(how.finalize("a pointwise operation"));
    CAMEO_ASSIGN(Descriptor op, Descriptor::create(lib, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR));
    CAMEO_TRY(op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how));
    CAMEO_TRY(op.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x));
    if (b) CAMEO_TRY(op.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b));
    CAMEO_TRY(op.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y));
    CAMEO_TRY(op.finalize("a pointwise operation"));
    others.push_back(std::move(how));
    operations.push_back(std::move(op));
    return {};
  }
};

class ConvolutionOperation final : public Operation {
 public:
  static Result<std::unique_ptr<ConvolutionOperation>> make(StepBuilder& b, const Convolution& c, double* time) {
    CAMEO_ASSIGN(const Cudnn* lib, Cudnn::get());
    CAMEO_ASSIGN(cudnnHandle_t handle, b.device().cudnn());
    std::unique_ptr<ConvolutionOperation> op(new ConvolutionOperation(b.device(), *lib, handle, c));
    const std::lock_guard lock(b.device().cudnn_mutex());
    CAMEO_TRY(op->describe());
    CAMEO_TRY(op->choose(b, time));
    return op;
  }

  Status run(const Addresses& at, cudaStream_t stream) override {
    const std::lock_guard lock(device_.cudnn_mutex());
    void* pointers[] = {at.of(c_.x), at.of(c_.w), at.of(c_.y), at.of(c_.bias), at.of(c_.addend)};
    return execute(plan_, pointers, at.of(workspace_), stream);
  }

  int64_t workspace_bytes() const { return workspace_bytes_; }
  void set_workspace(Operand o) { workspace_ = std::move(o); }

 private:
  ConvolutionOperation(Device& device, const Cudnn& lib, cudnnHandle_t handle, const Convolution& c)
      : device_(device), lib_(lib), handle_(handle), c_(c) {}

  Status describe() {
    const size_t rank = c_.strides.size();
    std::vector<int64_t> x = list(c_.x_dims), w = list(c_.w_dims), y = list(c_.y_dims), strides = c_.strides, dilations = c_.dilations,
                         begin = c_.pads_begin, end = c_.pads_end;
    // One spatial axis is two, the first with one row.
    if (rank == 1) {
      for (auto* d : {&x, &w, &y}) d->insert(d->begin() + 2, 1);
      for (auto* d : {&strides, &dilations}) d->insert(d->begin(), 1);
      for (auto* d : {&begin, &end}) d->insert(d->begin(), 0);
    }
    g_.tensors.reserve(16);
    const cudnnDataType_t type = type_of(c_.x.dtype);
    const bool last = c_.channels_last;
    CAMEO_ASSIGN(const Descriptor* dx, g_.tensor(lib_, kX, x, last, type, false));
    CAMEO_ASSIGN(const Descriptor* dw, g_.tensor(lib_, kW, w, last, type, false));
    const int more = c_.bias.present() + c_.addend.present() + c_.relu;
    CAMEO_ASSIGN(const Descriptor* out, g_.tensor(lib_, more ? kVirtual : kY, y, last, more ? CUDNN_DATA_FLOAT : type, more > 0));
    CAMEO_ASSIGN(Descriptor how, Descriptor::create(lib_, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR));
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    CAMEO_TRY(how.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT));
    CAMEO_TRY(how.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode));
    CAMEO_TRY(how.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilations));
    CAMEO_TRY(how.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, strides));
    CAMEO_TRY(how.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, begin));
    CAMEO_TRY(how.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, end));
    CAMEO_TRY(how.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, static_cast<int64_t>(strides.size())));
    CAMEO_TRY(how.finalize("a convolution"));
    CAMEO_ASSIGN(Descriptor op, Descriptor::create(lib_, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR));
    const float one = 1, zero = 0;
    CAMEO_TRY(op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one));
    CAMEO_TRY(op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero));
    CAMEO_TRY(op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how));
    CAMEO_TRY(op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, *dx));
    CAMEO_TRY(op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, *dw));
    CAMEO_TRY(op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, *out));
    CAMEO_TRY(op.finalize("a convolution"));
    g_.others.push_back(std::move(how));
    g_.operations.push_back(std::move(op));
    int left = more;
    int64_t next_id = kVirtual + 1;
    const auto behind = [&](cudnnPointwiseMode_t how_, const Descriptor* operand) -> Status {
      --left;
      CAMEO_ASSIGN(const Descriptor* to, g_.tensor(lib_, left ? next_id++ : kY, y, last, left ? CUDNN_DATA_FLOAT : type, left > 0));
      CAMEO_TRY(g_.pointwise(lib_, how_, *out, operand, *to));
      out = to;
      return {};
    };
    if (c_.addend.present()) {
      CAMEO_ASSIGN(const Descriptor* z, g_.tensor(lib_, kAddend, y, last, type, false));
      CAMEO_TRY(behind(CUDNN_POINTWISE_ADD, z));
    }
    if (c_.bias.present()) {
      std::vector<int64_t> dims(y.size(), 1);
      dims[1] = y[1];
      CAMEO_ASSIGN(const Descriptor* bias, g_.tensor(lib_, kBias, dims, last, type, false));
      CAMEO_TRY(behind(CUDNN_POINTWISE_ADD, bias));
    }
    if (c_.relu) CAMEO_TRY(behind(CUDNN_POINTWISE_RELU_FWD, nullptr));
    CAMEO_ASSIGN(g_.graph, Descriptor::create(lib_, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR));
    std::vector<cudnnBackendDescriptor_t> operations;
    for (const Descriptor& o : g_.operations) operations.push_back(o.get());
    CAMEO_TRY(g_.graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle_));
    CAMEO_TRY(g_.graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(operations.size()),
                           operations.data()));
    return g_.graph.finalize("a graph of operations");
  }

  // Whether the engine computes as the precision allows: float32 in full unless it says less, and the same bits every time.
  bool acceptable(const Descriptor& config, Precision precision) const {
    auto engine = Descriptor::create(lib_, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    if (!engine.ok()) return false;
    cudnnBackendDescriptor_t d = engine->get();
    int64_t count = 0;
    if (config.read(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &d) != CUDNN_STATUS_SUCCESS) return false;
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    if (engine->read(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes) !=
        CUDNN_STATUS_SUCCESS)
      return false;
    for (int64_t i = 0; i < count; ++i) {
      if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) return false;
      const bool rounds = notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
      if (rounds && c_.x.dtype == DType::kFloat32 && precision == Precision::kFloat32) return false;
      if (notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) return false;
    }
    return true;
  }

  struct Candidate {
    int index = 0;  // among those that are acceptable, in the heuristic's order
    Descriptor config, plan;
    int64_t workspace = 0;
  };

  // The plans that can be made of the first `most` acceptable ones, or of the one with index `only` if that is not negative.
  Result<std::vector<Candidate>> make_candidates(Precision precision, int most, int only) {
    std::vector<Candidate> candidates;
    int index = 0;
    for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
      CAMEO_ASSIGN(Descriptor heuristic, Descriptor::create(lib_, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR));
      CAMEO_TRY(heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, g_.graph));
      CAMEO_TRY(heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
      if (!heuristic.finalize("a heuristic").ok()) continue;
      constexpr int64_t kRoom = 32;
      std::vector<Descriptor> configs;
      std::vector<cudnnBackendDescriptor_t> raw;
      for (int64_t i = 0; i < kRoom; ++i) {
        CAMEO_ASSIGN(Descriptor config, Descriptor::create(lib_, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
        raw.push_back(config.get());
        configs.push_back(std::move(config));
      }
      int64_t count = 0;
      if (heuristic.read(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, kRoom, &count, raw.data()) != CUDNN_STATUS_SUCCESS)
        continue;
      for (int64_t i = 0; i < std::min(count, kRoom) && static_cast<int>(candidates.size()) < most; ++i) {
        Candidate k;
        k.config = std::move(configs[static_cast<size_t>(i)]);
        if (!acceptable(k.config, precision)) continue;
        k.index = index++;
        if (only >= 0 && k.index != only) continue;
        CAMEO_ASSIGN(k.plan, Descriptor::create(lib_, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR));
        CAMEO_TRY(k.plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle_));
        CAMEO_TRY(k.plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, k.config));
        if (!k.plan.finalize("a plan").ok()) continue;
        int64_t one = 0;
        if (k.plan.read(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &one, &k.workspace) != CUDNN_STATUS_SUCCESS)
          continue;
        if (k.workspace > kMaxWorkspace) continue;
        candidates.push_back(std::move(k));
      }
      if (!candidates.empty()) break;
    }
    return candidates;
  }

  Status choose(StepBuilder& b, double* time) {
    const std::string problem = describe_problem(b);
    const Tuning* tuning = Tuning::current();
    const bool measures = !tuning || tuning->measures();
    const int known = time ? -1 : b.device().known_choice(problem);
    std::vector<Candidate> candidates;
    if (known >= 0) {
      CAMEO_ASSIGN(candidates, make_candidates(b.precision(), 1, known));
    }
    if (candidates.empty()) {
      CAMEO_ASSIGN(candidates, make_candidates(b.precision(), !measures ? 1 : tuning ? tuning->candidates(kCandidates) : kCandidates, -1));
    }
    if (candidates.empty()) return error(ErrorCode::kUnsupported, "cuDNN has no plan for the convolution");
    const int64_t work = c_.y_dims.num_elements() * c_.w_dims.num_elements() / std::max<int64_t>(1, c_.w_dims[0]);
    std::pair<int, double> fast(0, 0.0);
    const bool measured = time || (measures && candidates.size() > 1 && work >= (int64_t{1} << 20));
    if (measured) {
      std::vector<const Descriptor*> plans;
      int64_t workspace = 0;
      for (const Candidate& k : candidates) {
        plans.push_back(&k.plan);
        workspace = std::max(workspace, k.workspace);
      }
      CAMEO_ASSIGN(fast, fastest(plans, workspace));
    }
    if (time) *time = fast.second;
    Candidate& best = candidates[static_cast<size_t>(fast.first)];
    if (known != best.index && (fast.second > 0 || !measured)) b.device().remember_choice(problem, best.index);
    config_ = std::move(best.config);
    plan_ = std::move(best.plan);
    workspace_bytes_ = best.workspace;
    return {};
  }

  std::string describe_problem(const StepBuilder& b) const {
    const auto text = [](const std::vector<int64_t>& v) {
      std::string s;
      for (int64_t n : v) s += std::to_string(n) + " ";
      return s;
    };
    return fmt::format("conv {} cudnn{} {} {} {} {} {} s{}d{}p{}{}g{} {}{}{}", runtime::precision_name(b.precision()),
                       lib_.cudnnGetVersion(), dtype_name(c_.x.dtype), c_.x_dims.to_string(), c_.w_dims.to_string(), c_.y_dims.to_string(),
                       c_.channels_last, text(c_.strides), text(c_.dilations), text(c_.pads_begin), text(c_.pads_end), c_.group,
                       c_.bias.present(), c_.addend.present(), c_.relu);
  }

  // Index of the fastest plan and its time, over memory of its own; the first and no time where there is none.
  Result<std::pair<int, double>> fastest(const std::vector<const Descriptor*>& plans, int64_t workspace) {
    const auto up = [](size_t n) { return (n + 511) / 512 * 512; };
    const size_t x = up(static_cast<size_t>(c_.x_dims.num_elements()) * dtype_size(c_.x.dtype)),
                 w = up(static_cast<size_t>(c_.w_dims.num_elements()) * dtype_size(c_.w.dtype)),
                 y = up(static_cast<size_t>(c_.y_dims.num_elements()) * dtype_size(c_.y.dtype)),
                 bias = up(static_cast<size_t>(c_.y_dims[1]) * 4);
    std::pair<int, double> best(0, 0.0);
    auto memory = device_.pool()->allocate(x + w + 2 * y + bias + static_cast<size_t>(workspace));
    if (!memory.ok()) return best;
    const std::lock_guard lock(device_.mutex());
    auto* base = static_cast<std::byte*>(memory->data());
    CAMEO_TRY(fill_measured(base, memory->bytes(), device_.stream()));
    void* pointers[] = {base, base + x, base + x + w, base + x + w + 2 * y, base + x + w + y};
    for (size_t i = 0; i < plans.size(); ++i) {
      const auto time = measure(device_, [&](int) { return execute(*plans[i], pointers, base + x + w + 2 * y + bias, device_.stream()); });
      if (time.ok() && (best.second == 0 || *time < best.second)) best = {static_cast<int>(i), *time};
    }
    return best;
  }

  // The caller holds the lock on the handle.
  Status execute(const Descriptor& plan, void* const (&pointers)[5], void* workspace, cudaStream_t stream) {
    if (lib_.cudnnSetStream(handle_, stream) != CUDNN_STATUS_SUCCESS) return error(ErrorCode::kDevice, "cudnnSetStream failed");
    CAMEO_ASSIGN(Descriptor pack, Descriptor::create(lib_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR));
    std::vector<int64_t> ids;
    std::vector<void*> data;
    const Operand* operands[] = {&c_.x, &c_.w, &c_.y, &c_.bias, &c_.addend};
    for (size_t i = 0; i < 5; ++i)
      if (operands[i]->present()) {
        ids.push_back(static_cast<int64_t>(i) + kX);
        data.push_back(pointers[i]);
      }
    CAMEO_TRY(pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, static_cast<int64_t>(data.size()), data.data()));
    CAMEO_TRY(pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids));
    CAMEO_TRY(pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace));
    CAMEO_TRY(pack.finalize("binding a convolution"));
    const auto status = lib_.cudnnBackendExecute(handle_, plan.get(), pack.get());
    if (status == CUDNN_STATUS_SUCCESS) return {};
    return error(ErrorCode::kDevice, "a convolution: {}", lib_.cudnnGetErrorString(status));
  }

  Device& device_;
  const Cudnn& lib_;
  const cudnnHandle_t handle_;
  const Convolution c_;
  Graph g_;
  Descriptor config_, plan_;
  int64_t workspace_bytes_ = 0;
  Operand workspace_;
};

}  // namespace

Result<std::unique_ptr<Operation>> make_convolution(StepBuilder& b, const Convolution& c, double* microseconds) {
  CAMEO_ASSIGN(std::unique_ptr<ConvolutionOperation> op, ConvolutionOperation::make(b, c, microseconds));
  op->set_workspace(b.scratch(DType::kUint8, Dims{std::max<int64_t>(1, op->workspace_bytes())}));
  return op;
}

Status add_convolution(StepBuilder& b, const Convolution& c) {
  CAMEO_ASSIGN(std::unique_ptr<Operation> op, make_convolution(b, c));
  b.add(std::move(op));
  return {};
}

}  // namespace cameo::cuda
