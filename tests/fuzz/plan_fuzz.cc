// libFuzzer: a plan's metadata and weights behind a header with right checksums, loaded and run.
// Input: the metadata's length (4 bytes, little-endian), the metadata, the weights; plan_seeds makes such files.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cameo/engine.h"
#include "cameo/version.h"
#include "plan/layout.h"

namespace {

using namespace cameo;

// Intermediate tensors of a plan may ask for any amount of memory; the fuzzer's machine has little.
class SmallAllocator final : public Allocator {
 public:
  void* allocate(size_t bytes, size_t alignment) noexcept override {
    return bytes > (size_t{16} << 20) ? nullptr : default_allocator().allocate(bytes, alignment);
  }
  void deallocate(void* memory, size_t bytes) noexcept override { default_allocator().deallocate(memory, bytes); }
};

Tensor assemble(const uint8_t* data, size_t size) {
  uint32_t metadata_bytes;
  std::memcpy(&metadata_bytes, data, 4);
  data += 4;
  size -= 4;
  metadata_bytes = std::min<uint32_t>(metadata_bytes, static_cast<uint32_t>(size));
  plan::Header h{};
  std::memcpy(h.magic, plan::kMagic, sizeof plan::kMagic);
  h.format_version = kPlanFormatVersion;
  h.metadata_offset = plan::kHeaderBytes;
  h.metadata_bytes = metadata_bytes;
  h.weights_offset = plan::align_up(plan::kHeaderBytes + metadata_bytes);
  h.weights_bytes = size - metadata_bytes;
  h.file_bytes = h.weights_offset + h.weights_bytes;
  Tensor file = Tensor::allocate(DType::kUint8, {static_cast<int64_t>(h.file_bytes)}).value();
  auto* bytes = file.data<uint8_t>();
  std::copy_n(data, metadata_bytes, bytes + plan::kHeaderBytes);
  std::copy(data + metadata_bytes, data + size, bytes + h.weights_offset);
  h.metadata_checksum = plan::checksum(bytes + plan::kHeaderBytes, h.weights_offset - plan::kHeaderBytes);
  h.weights_checksum = plan::checksum(bytes + h.weights_offset, h.weights_bytes);
  h.header_checksum = plan::checksum(&h, offsetof(plan::Header, header_checksum));
  std::memcpy(bytes, &h, sizeof h);
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  const Tensor file = assemble(data, size);
  auto engine = Engine::load(Plan({file.data<std::byte>(), file.num_bytes()}, file.owner()));
  if (!engine.ok()) return 0;
  SmallAllocator allocator;
  auto context = engine->create_context({.allocator = &allocator});
  if (!context.ok()) return 0;
  for (const TensorInfo& input : engine->inputs()) {
    if (!input.is_tensor || input.dtype == DType::kUndefined) continue;
    Dims dims;
    for (const DimInfo& d : input.dims) dims.push_back(d.value >= 0 ? std::min<int64_t>(d.value, 64) : 2);
    auto count = dims.checked_num_elements();
    if (!count.ok() || *count > 4096) return 0;
    if (!context->set_input(input.name, Tensor::allocate(input.dtype, dims).value()).ok()) return 0;
  }
  (void)context->run();
  return 0;
}
