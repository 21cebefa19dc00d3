// NVIDIA's libraries, loaded when they are first needed, so that a machine without one runs all that does without it.
#pragma once

#include <cublasLt.h>
#include <cudnn.h>
#include <nvrtc.h>

#include "base/error.h"

namespace cameo::cuda {

#define CAMEO_NVRTC_FUNCTIONS(F) \
  F(nvrtcVersion)                \
  F(nvrtcCreateProgram)          \
  F(nvrtcDestroyProgram)         \
  F(nvrtcCompileProgram)         \
  F(nvrtcGetCUBINSize)           \
  F(nvrtcGetCUBIN)               \
  F(nvrtcGetProgramLogSize)      \
  F(nvrtcGetProgramLog)          \
  F(nvrtcGetErrorString)

#define CAMEO_CUBLASLT_FUNCTIONS(F)       \
  F(cublasLtCreate)                       \
  F(cublasLtDestroy)                      \
  F(cublasLtGetVersion)                   \
  F(cublasLtMatmul)                       \
  F(cublasLtMatmulDescCreate)             \
  F(cublasLtMatmulDescDestroy)            \
  F(cublasLtMatmulDescSetAttribute)       \
  F(cublasLtMatrixLayoutCreate)           \
  F(cublasLtMatrixLayoutDestroy)          \
  F(cublasLtMatrixLayoutSetAttribute)     \
  F(cublasLtMatmulPreferenceCreate)       \
  F(cublasLtMatmulPreferenceDestroy)      \
  F(cublasLtMatmulPreferenceSetAttribute) \
  F(cublasLtMatmulAlgoGetHeuristic)       \
  F(cublasLtGetStatusName)

#define CAMEO_CUDNN_FUNCTIONS(F)   \
  F(cudnnCreate)                   \
  F(cudnnDestroy)                  \
  F(cudnnSetStream)                \
  F(cudnnGetVersion)               \
  F(cudnnGetErrorString)           \
  F(cudnnGetLastErrorString)       \
  F(cudnnBackendCreateDescriptor)  \
  F(cudnnBackendDestroyDescriptor) \
  F(cudnnBackendSetAttribute)      \
  F(cudnnBackendGetAttribute)      \
  F(cudnnBackendFinalize)          \
  F(cudnnBackendExecute)

#define CAMEO_FUNCTION_POINTER(name) decltype(&::name) name = nullptr;
struct Nvrtc {
  CAMEO_NVRTC_FUNCTIONS(CAMEO_FUNCTION_POINTER)
  static Result<const Nvrtc*> get();
};
struct CublasLt {
  CAMEO_CUBLASLT_FUNCTIONS(CAMEO_FUNCTION_POINTER)
  static Result<const CublasLt*> get();
};
struct Cudnn {
  CAMEO_CUDNN_FUNCTIONS(CAMEO_FUNCTION_POINTER)
  static Result<const Cudnn*> get();
};
#undef CAMEO_FUNCTION_POINTER

}  // namespace cameo::cuda
