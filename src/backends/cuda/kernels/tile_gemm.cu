// Products and convolutions by tiles: tile_gemm.cuh has the kernel. Choice 4 * size + log2(parts of k).
#include "backends/cuda/kernels/tile_gemm.h"

#include "backends/cuda/kernels/tile_variants.h"

namespace cameo::cuda {
namespace {

struct Size {
  int m, n, stages;
  bool wgmma = false;
};
constexpr Size kTileSizes[] = {{32, 64, 6},       {64, 64, 5},        {64, 128, 3},        {128, 64, 3},
                               {128, 128, 3},     {64, 128, 3, true}, {128, 128, 3, true}, {128, 256, 4, true},
                               {64, 64, 5, true}, {128, 64, 3, true}, {256, 128, 4, true}};
constexpr int kSizes = sizeof kTileSizes / sizeof kTileSizes[0];

int64_t tiles_of(const TileGemmArgs& a, const Size& size) {
  return static_cast<int64_t>((a.m + size.m - 1) / size.m) * ((a.n + size.n - 1) / size.n);
}

}  // namespace

const char* tile_gemm_refusal(const TileGemmArgs& a, int choice, const DeviceTraits& device) {
  if (choice < 0 || choice / 4 >= kSizes) return "there is no such choice";
  const Size& size = kTileSizes[choice / 4];
  const int parts = 1 << choice % 4;
  if (a.type == Scalar::kFloat32) return "elements have 32 bits";
  if (device.capability < 80) return "the device has no tensor cores for it";
  if ((parts > 1 || a.dependent) && device.capability < 90) return "the device has no clusters";
  if (a.m < 1 || a.n < 1 || a.k < 1) return "an extent is less than 1";
  if (a.n % 8 || a.k % 8) return "n or k is not a multiple of 8";
  if ((a.m + size.m - 1) / size.m > 65535 || (a.n + size.n - 1) / size.n > 65535) return "there are too many tiles";
  if (size.wgmma) {
    static const bool there = tile_gemm_f16_has_wgmma();
    if (device.capability != 90 || !there) return "the device has no wgmma";
  }
  const int shared = size.stages * (size.m + size.n) * 128 + (size.wgmma ? 1023 : 0);
  if (shared > device.shared_memory) return "its tiles do not fit shared memory";
  if (a.convolution) {
    const TileWindow& w = a.window;
    if (w.channels % 8) return "channels are not a multiple of 8";
    if (static_cast<int64_t>(w.height) * w.width * w.channels > INT32_MAX) return "an image has more than 2^31 elements";
    const TileBehind& v = a.behind;
    const int64_t columns = static_cast<int64_t>(w.kernel_height) * w.kernel_width * w.channels;
    if (columns + v.channels != a.k) return "k is not the size of the window";
    if (v.channels) {
      if (columns % 64) return "the image behind does not begin with a tile";
      if (v.channels % 8) return "channels are not a multiple of 8";
      if (v.height <= (w.out_height - 1) * v.stride_h || v.width <= (w.out_width - 1) * v.stride_w) return "the image behind is too small";
      if (static_cast<int64_t>(v.height) * v.width * v.channels > INT32_MAX) return "an image has more than 2^31 elements";
    }
  }
  for (const void* p : {a.x, a.w, a.bias, a.addend, a.behind.x, static_cast<const void*>(a.y)})
    if (reinterpret_cast<uintptr_t>(p) % 16) return "an operand is not aligned to 16 bytes";
  return nullptr;
}

bool tile_gemm_promising(const TileGemmArgs& a, int choice, const DeviceTraits& device) {
  const Size& size = kTileSizes[choice / 4];
  const int parts = 1 << choice % 4;
  const int64_t tiles = tiles_of(a, size), k_tiles = (a.k + 63) / 64, blocks = tiles * parts;
  if (parts > k_tiles) return false;
  // Tiles that are mostly empty.
  if ((size.m > 32 && a.m <= size.m / 2) || (size.n > 64 && a.n <= size.n / 2)) return false;
  // Parts help while the device is not full; without them it should not be almost empty.
  if (parts > 1 && tiles * (parts / 2) >= device.multiprocessors) return false;
  if (parts < 8 && k_tiles >= 4 * parts && blocks < device.multiprocessors / 4) return false;
  // Small tiles move too much where large ones fill the device.
  if (size.m * size.n <= 64 * 64 && tiles > 16 * device.multiprocessors) return false;
  return true;
}

cudaError_t tile_gemm(const TileGemmArgs& a, int choice, const DeviceTraits&, cudaStream_t stream) {
  return a.type == Scalar::kFloat16 ? tile_gemm_f16(a, choice, stream) : tile_gemm_bf16(a, choice, stream);
}

}  // namespace cameo::cuda
