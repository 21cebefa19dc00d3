// A tool as NVTX_INJECTION64_PATH names it: writes the name of each range that begins to the file $CAMEO_TEST_RANGES, an "end" where
// one ends.
#include <nvtx3/nvToolsExt.h>

#include <cstdio>
#include <cstdlib>

namespace {

std::FILE* file() {
  static std::FILE* const opened = [] {
    const char* path = std::getenv("CAMEO_TEST_RANGES");
    return path ? std::fopen(path, "a") : nullptr;
  }();
  return opened;
}
int push(const char* name) {
  if (file()) std::fprintf(file(), "%s\n", name), std::fflush(file());
  return 0;
}
int pop() {
  if (file()) std::fprintf(file(), "end\n"), std::fflush(file());
  return 0;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t tables) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(tables(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable functions = nullptr;
  unsigned count = 0;
  if (!callbacks || !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &functions, &count) || count <= NVTX_CBID_CORE_RangePop)
    return 0;
  *functions[NVTX_CBID_CORE_RangePushA] = reinterpret_cast<NvtxFunctionPointer>(push);
  *functions[NVTX_CBID_CORE_RangePop] = reinterpret_cast<NvtxFunctionPointer>(pop);
  return 1;
}
