// libFuzzer: any bytes as an ONNX model, read, imported, its types inferred, and written again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "onnx/import.h"
#include "onnx/model.h"
#include "onnx/write.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cameo;
  auto model = onnx::read_model(std::as_bytes(std::span(data, size)), "");
  if (!model.ok()) return 0;
  auto imported = onnx::import_model(*model, {.allow_unsupported = true, .max_inlined_nodes = 10'000});
  if (!imported.ok() || !imported->unsupported.empty()) return 0;
  // What the importer accepts is sound.
  if (!ir::verify(imported->graph).ok()) std::abort();
  if (!ir::infer_types(imported->graph).ok()) return 0;
  auto written = onnx::serialize_model(imported->graph);
  if (!written.ok()) return 0;
  auto again = onnx::read_model(std::as_bytes(std::span(*written)), "");
  if (!again.ok() || !onnx::import_model(*again).ok()) std::abort();
  return 0;
}
