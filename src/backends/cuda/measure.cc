#include "backends/cuda/measure.h"

#include <algorithm>
#include <random>
#include <vector>

#include "backends/cuda/tuning.h"

namespace cameo::cuda {
namespace {

constexpr double kEnough = 300;  // microseconds of one round
constexpr int kFewest = 4, kMost = 24;

}  // namespace

Status fill_measured(void* to, size_t bytes, cudaStream_t stream) {
  static const std::vector<uint8_t> numbers = [] {
    std::vector<uint8_t> v(size_t{64} << 10);
    std::minstd_rand draw(1);
    for (uint8_t& byte : v) {
      const auto bits = static_cast<uint32_t>(draw() >> 8);
      byte = static_cast<uint8_t>((0x28 + bits % 20) | (bits >> 8 & 0x80));
    }
    return v;
  }();
  auto* at = static_cast<std::byte*>(to);
  size_t done = std::min(bytes, numbers.size());
  CAMEO_TRY(copy(at, numbers.data(), done, stream));
  for (size_t more = 0; done < bytes; done += more) {
    more = std::min(done, bytes - done);
    CAMEO_TRY(copy(at + done, at, more, stream));
  }
  return {};
}

Result<double> measure(Device& device, const std::function<Status(int i)>& call) {
  cudaStream_t stream = device.stream();
  CAMEO_ASSIGN(Event start, Event::create());
  CAMEO_ASSIGN(Event end, Event::create());
  // The first call loads what it needs.
  CAMEO_TRY(call(0));
  CAMEO_TRY(start.record(stream));
  CAMEO_TRY(call(1));
  CAMEO_TRY(end.record(stream));
  CAMEO_TRY(synchronize(stream));
  CAMEO_ASSIGN(const double once, end.since(start));
  const int calls = std::clamp(static_cast<int>(kEnough / std::max(once * 1e3, 1.0)), kFewest, kMost);
  CAMEO_ASSIGN(const CapturedGraph graph, CapturedGraph::capture(stream, [&]() -> Status {
                 for (int i = 0; i < calls; ++i) CAMEO_TRY(call(i));
                 return {};
               }));
  double least = 1e30;
  const int rounds = Tuning::current() ? Tuning::current()->rounds() : 3;
  for (int round = 0; round <= rounds; ++round) {
    CAMEO_TRY(start.record(stream));
    CAMEO_TRY(graph.launch(stream));
    CAMEO_TRY(end.record(stream));
    CAMEO_TRY(synchronize(stream));
    CAMEO_ASSIGN(const double time, end.since(start));
    if (round > 0) least = std::min(least, time);
  }
  return least * 1e3 / calls;
}

}  // namespace cameo::cuda
