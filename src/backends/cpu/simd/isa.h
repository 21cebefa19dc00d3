// The instruction sets that vector kernels are compiled for, and the choice between them at run time.
//
// A file kernels/NAME.isa.cc is compiled once for each set, in the namespace cameo::cpu::CAMEO_ISA, and fills a table of
// functions that NAME.h declares:
//
//   struct GemmF32Kernels { void (*multiply)(const GemmF32&); };
//   CAMEO_ISA_TABLE(GemmF32Kernels, gemm_f32_kernels)                        // in the header
//   const GemmF32Kernels gemm_f32_kernels = {.multiply = &multiply};         // in the .isa.cc
//   gemm_f32_kernels().multiply(problem);                                    // anywhere: the best that runs here
//
// An .isa.cc includes only headers without inline functions of external linkage (simd/vec.h, plain structs, <cstdint>,
// <cstring>, <cmath>'s C functions): a function of std:: that was compiled for AVX-512 might otherwise be the one that the
// linker keeps for everybody.
#pragma once

#include <string_view>

namespace cameo::cpu {

enum class Isa { kPortable, kAvx2, kAvx512 };

// The best set that this processor has. The environment variable CAMEO_CPU_ISA (portable, avx2, avx512) lowers it.
Isa current_isa();
// Whether int8 dot products (AVX-512 VNNI) may be used, which needs current_isa() == kAvx512.
bool has_vnni();
std::string_view isa_name(Isa isa);

#if defined(__x86_64__)
#define CAMEO_ISA_TABLE(Type, table) \
  namespace portable {               \
  extern const Type table;           \
  }                                  \
  namespace avx2 {                   \
  extern const Type table;           \
  }                                  \
  namespace avx512 {                 \
  extern const Type table;           \
  }                                  \
  inline const Type& table() {       \
    switch (current_isa()) {         \
      case Isa::kAvx512:             \
        return avx512::table;        \
      case Isa::kAvx2:               \
        return avx2::table;          \
      case Isa::kPortable:           \
        break;                       \
    }                                \
    return portable::table;          \
  }
#else
#define CAMEO_ISA_TABLE(Type, table) \
  namespace portable {               \
  extern const Type table;           \
  }                                  \
  inline const Type& table() { return portable::table; }
#endif

}  // namespace cameo::cpu
