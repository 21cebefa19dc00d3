#include "backends/cuda/gemm.h"

#include <algorithm>
#include <cstdlib>

#include "backends/cuda/libraries.h"
#include "backends/cuda/measure.h"
#include "backends/cuda/tuning.h"

namespace cameo::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr int kCandidates = 16;
constexpr int64_t kMeasuredFrom = int64_t{1} << 22;  // multiplications

Status check(const CublasLt& lib, cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return {};
  if (status == CUBLAS_STATUS_ALLOC_FAILED) return error(ErrorCode::kOutOfMemory, "{}: no memory", what);
  return error(ErrorCode::kDevice, "{}: {}", what, lib.cublasLtGetStatusName(status));
}

cudaDataType_t type_of(DType t) {
  switch (t) {
    case DType::kFloat16:
      return CUDA_R_16F;
    case DType::kBfloat16:
      return CUDA_R_16BF;
    case DType::kFloat64:
      return CUDA_R_64F;
    case DType::kFloat8E4M3FN:
      return CUDA_R_8F_E4M3;
    default:
      return CUDA_R_32F;
  }
}

// cublasLt counts columns first: a row-major product is the product of the transposed matrices the other way round.
class LtProduct final : public Operation {
 public:
  static Result<std::unique_ptr<LtProduct>> make(StepBuilder& b, const Gemm& g, const Operand& workspace) {
    CAMEO_ASSIGN(const CublasLt* lib, CublasLt::get());
    CAMEO_ASSIGN(cublasLtHandle_t handle, b.device().cublaslt());
    std::unique_ptr<LtProduct> p(new LtProduct(*lib, handle, g, workspace));
    CAMEO_TRY(p->describe(b.precision()));
    return p;
  }
  ~LtProduct() override {
    for (auto* layout : {&a_, &b_, &y_})
      if (*layout) lib_.cublasLtMatrixLayoutDestroy(*layout);
    if (op_) lib_.cublasLtMatmulDescDestroy(op_);
  }

  Status run(const Addresses& at, cudaStream_t stream) override {
    void* bias = at.of(g_.bias);
    if (bias && bias != bias_) {
      CAMEO_TRY(set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias));
      bias_ = bias;
    }
    void* y = at.of(g_.y);
    const void* c = g_.addend.present() ? at.of(g_.addend) : y;
    return launch(algorithm_, at.of(g_.a), at.of(g_.b), c, y, at.of(workspace_), stream);
  }

  // Chooses an algorithm; with `time`, measures it in any case.
  Status choose(StepBuilder& b, const std::string& problem, double* time) {
    cublasLtMatmulPreference_t preference = nullptr;
    CAMEO_TRY(check(lib_, lib_.cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate"));
    const size_t workspace = kWorkspaceBytes;
    lib_.cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                 CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      const uint32_t alignment = alignment_;
      lib_.cublasLtMatmulPreferenceSetAttribute(preference, attribute, &alignment, sizeof alignment);
    }
    if (Tuning::current() && Tuning::current()->deterministic()) {
      const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
      lib_.cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes);
    }
    // A pointer must be there for the heuristic to know of the bias.
    if (g_.bias.present()) CAMEO_TRY(set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(this)));
    bias_ = this;
    cublasLtMatmulHeuristicResult_t found[kCandidates];
    int count = 0;
    const auto status = lib_.cublasLtMatmulAlgoGetHeuristic(handle_, op_, b_, a_, y_, y_, preference, kCandidates, found, &count);
    lib_.cublasLtMatmulPreferenceDestroy(preference);
    if (status != CUBLAS_STATUS_SUCCESS || count == 0)
      return error(ErrorCode::kUnsupported, "cublasLt has no product {}: {}", problem, lib_.cublasLtGetStatusName(status));
    int best = b.device().known_choice(problem);
    if (best >= count) best = -1;
    if (Tuning::current()) count = std::max(1, Tuning::current()->candidates(count));
    if (best < 0 || time) {
      std::pair<int, double> fast(0, 0.0);
      const bool measured = time || (count > 1 && g_.m * g_.n * g_.k * g_.batch >= kMeasuredFrom);
      if (measured) {
        CAMEO_ASSIGN(fast, fastest(b, found, count));
      }
      best = fast.first;
      if (time) *time = fast.second;
      if (fast.second > 0 || !measured) b.device().remember_choice(problem, best);
    }
    algorithm_ = found[best].algo;
    return {};
  }

 private:
  LtProduct(const CublasLt& lib, cublasLtHandle_t handle, const Gemm& g, Operand workspace)
      : lib_(lib), handle_(handle), g_(g), workspace_(std::move(workspace)) {}

  template <class T>
  Status set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    return check(lib_, lib_.cublasLtMatmulDescSetAttribute(op_, attribute, &value, sizeof value), "describing a product");
  }

  Status layout(cublasLtMatrixLayout_t& layout, DType type, int64_t rows, int64_t columns, int64_t stride) {
    CAMEO_TRY(check(
        lib_, lib_.cublasLtMatrixLayoutCreate(&layout, type_of(type), static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), rows),
        "describing a matrix"));
    if (g_.batch > 1) {
      const auto count = static_cast<int32_t>(g_.batch);
      CAMEO_TRY(check(lib_, lib_.cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
                      "describing a batch"));
      CAMEO_TRY(check(lib_,
                      lib_.cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride),
                      "describing a batch"));
    }
    return {};
  }

  Status describe(Precision precision) {
    const bool wide = g_.a.dtype == DType::kFloat64;
    const auto compute = wide                                                             ? CUBLAS_COMPUTE_64F
                         : precision == Precision::kTf32 && g_.a.dtype == DType::kFloat32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                                          : CUBLAS_COMPUTE_32F;
    CAMEO_TRY(check(lib_, lib_.cublasLtMatmulDescCreate(&op_, compute, wide ? CUDA_R_64F : CUDA_R_32F), "describing a product"));
    CAMEO_TRY(set(CUBLASLT_MATMUL_DESC_TRANSA, g_.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N));
    CAMEO_TRY(set(CUBLASLT_MATMUL_DESC_TRANSB, g_.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N));
    // Sums of 8-bit floats as the tensor cores add them: what that loses is far less than the operands lost by rounding.
    if (g_.a.dtype == DType::kFloat8E4M3FN) CAMEO_TRY(set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{1}));
    const bool bias = g_.bias.present();
    const cublasLtEpilogue_t epilogue =
        g_.activation == Gemm::Activation::kRelu       ? (bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU)
        : g_.activation == Gemm::Activation::kGeluTanh ? (bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU)
        : bias                                         ? CUBLASLT_EPILOGUE_BIAS
                                                       : CUBLASLT_EPILOGUE_DEFAULT;
    CAMEO_TRY(set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue));
    if (bias) CAMEO_TRY(set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(g_.bias.dtype)));
    CAMEO_TRY(layout(b_, g_.b.dtype, g_.trans_b ? g_.k : g_.n, g_.trans_b ? g_.n : g_.k, g_.stride_b));
    CAMEO_TRY(layout(a_, g_.a.dtype, g_.trans_a ? g_.m : g_.k, g_.trans_a ? g_.k : g_.m, g_.stride_a));
    CAMEO_TRY(layout(y_, g_.y.dtype, g_.n, g_.m, g_.m * g_.n));
    // Addresses are multiples of 256 but for what an offset takes away.
    for (const Operand* o : {&g_.a, &g_.b, &g_.y, &g_.addend}) {
      const size_t address = o->kind == Operand::Kind::kFixed ? reinterpret_cast<size_t>(o->fixed) : o->offset;
      while (o->present() && address % alignment_ != 0) alignment_ /= 2;
    }
    return {};
  }

  Status launch(const cublasLtMatmulAlgo_t& algorithm, const void* a, const void* b, const void* c, void* y, void* workspace,
                cudaStream_t stream) {
    const float alpha = g_.alpha, beta = g_.addend.present() ? 1.f : 0.f;
    const double wide_alpha = alpha, wide_beta = beta;
    const bool wide = g_.a.dtype == DType::kFloat64;
    return check(lib_,
                 lib_.cublasLtMatmul(handle_, op_, wide ? static_cast<const void*>(&wide_alpha) : &alpha, b, b_, a, a_,
                                     wide ? static_cast<const void*>(&wide_beta) : &beta, c, y_, y, y_, &algorithm, workspace,
                                     kWorkspaceBytes, stream),
                 "a matrix product");
  }

  // Index of the fastest of the candidates and its time, over weights in memory of their own that the L2 cache does not hold; the
  // first and no time where there is no such memory.
  Result<std::pair<int, double>> fastest(StepBuilder& b, const cublasLtMatmulHeuristicResult_t* found, int count) {
    Device& device = b.device();
    const auto up = [](size_t n) { return (n + 255) / 256 * 256; };
    const size_t a_bytes = up(static_cast<size_t>(std::max(g_.stride_a * g_.batch, g_.m * g_.k)) * dtype_size(g_.a.dtype)),
                 b_bytes = up(static_cast<size_t>(std::max(g_.stride_b * g_.batch, g_.n * g_.k)) * dtype_size(g_.b.dtype)),
                 y_bytes = up(static_cast<size_t>(g_.m * g_.n * g_.batch) * dtype_size(g_.y.dtype)),
                 bias_bytes = up(static_cast<size_t>(g_.n) * 8);
    const size_t copies = std::clamp<size_t>(2 * device.info().l2_bytes / b_bytes, 1, 64);
    auto memory = device.pool()->allocate(b_bytes * copies + a_bytes + 2 * y_bytes + bias_bytes + kWorkspaceBytes);
    if (!memory.ok()) return std::pair(0, 0.0);
    const std::lock_guard lock(device.mutex());
    auto* base = static_cast<std::byte*>(memory->data());
    CAMEO_TRY(fill_measured(base, memory->bytes(), device.stream()));
    std::byte *a = base + b_bytes * copies, *c = a + a_bytes, *y = c + y_bytes, *bias = y + y_bytes, *workspace = bias + bias_bytes;
    if (g_.bias.present()) CAMEO_TRY(set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(bias)));
    bias_ = bias;
    std::pair<int, double> best(0, 0.0);
    for (int i = 0; i < count; ++i) {
      if (found[i].state != CUBLAS_STATUS_SUCCESS || found[i].workspaceSize > kWorkspaceBytes) continue;
      const auto time = measure(device, [&](int call) {
        return launch(found[i].algo, a, base + static_cast<size_t>(call) % copies * b_bytes, g_.addend.present() ? c : y, y, workspace,
                      device.stream());
      });
      if (time.ok() && (best.second == 0 || *time < best.second)) best = {i, *time};
    }
    return best;
  }

  const CublasLt& lib_;
  const cublasLtHandle_t handle_;
  const Gemm g_;
  const Operand workspace_;
  cublasLtMatmulDesc_t op_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, y_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_ = {};
  const void* bias_ = nullptr;
  uint32_t alignment_ = 256;
};

}  // namespace

bool gemm_supports(DType operands, DType result) {
  switch (operands) {
    case DType::kFloat32:
    case DType::kFloat64:
      return result == operands;
    case DType::kFloat16:
    case DType::kBfloat16:
      return result == operands || result == DType::kFloat32;
    case DType::kFloat8E4M3FN:  // with both operands' rows along K
      return result == DType::kFloat16 || result == DType::kBfloat16;
    default:
      return false;
  }
}

Result<std::unique_ptr<Operation>> make_gemm(StepBuilder& b, const Gemm& g, double* time) {
  const Operand workspace = b.scratch(DType::kUint8, Dims{static_cast<int64_t>(kWorkspaceBytes)});
  CAMEO_ASSIGN(std::unique_ptr<LtProduct> product, LtProduct::make(b, g, workspace));
  const std::string problem =
      fmt::format("gemm {} lt{} {}x{}x{} batch {} ({}, {}) {}{} {}>{} {} act {} bias {} add {}", runtime::precision_name(b.precision()),
                  (*CublasLt::get())->cublasLtGetVersion(), g.m, g.n, g.k, g.batch, g.stride_a, g.stride_b, g.trans_a ? 't' : 'n',
                  g.trans_b ? 't' : 'n', dtype_name(g.a.dtype), dtype_name(g.y.dtype), g.a.dtype == DType::kFloat8E4M3FN ? 1 : g.alpha,
                  static_cast<int>(g.activation), g.bias.present(), g.addend.present());
  CAMEO_TRY(product->choose(b, problem, time));
  return product;
}

Status add_gemm(StepBuilder& b, const Gemm& g) {
  if (!b.device().has_gpu()) return {};
  CAMEO_ASSIGN(std::unique_ptr<Operation> product, make_gemm(b, g));
  b.add(std::move(product));
  return {};
}

}  // namespace cameo::cuda
