// The CUDA runtime as the backend uses it: every call gives a Status, everything that is made is freed by its owner. Nothing
// else of the backend calls cuda* functions, so that HIP can stand under it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "backends/cuda/gpu_api.h"
#include "base/error.h"

namespace cameo::cuda {

// The error of a call's result. One that leaves the device unusable (an illegal access, a fault of the hardware) is reported
// in full once; from then on usable() refuses.
Status check(cudaError_t result, const char* what);
Status usable();

struct DeviceInfo {
  int ordinal = 0;
  std::string name;
  int major = 0, minor = 0;
  int multiprocessors = 0;
  int shared_per_block = 0;  // bytes, with opt-in
  size_t l2_bytes = 0, total_bytes = 0;
  int driver_version = 0, runtime_version = 0;
#ifdef CAMEO_HIP
  int gfx = 0;  // 0x90a for gfx90a
  int arch() const { return gfx; }
#else
  int arch() const { return major * 10 + minor; }
#endif
};
// The device that the calling thread uses. The error says why there is none.
Result<DeviceInfo> current_device();

class Stream {
 public:
  // `rank`: how far its work goes before that of other streams, as far as the device tells so many apart.
  static Result<Stream> create(int rank = 0);
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~Stream();
  cudaStream_t get() const { return stream_; }

 private:
  explicit Stream(cudaStream_t stream) : stream_(stream) {}
  cudaStream_t stream_ = nullptr;
};
Status synchronize(cudaStream_t stream);
// Whether all work on the stream is done.
Result<bool> finished(cudaStream_t stream);

class Event {
 public:
  static Result<Event> create();
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event();
  Status record(cudaStream_t stream);
  // What is put on the stream from now on waits for it.
  Status make_wait(cudaStream_t stream) const;
  // Returns when it has happened; at once where it was never recorded.
  Status wait() const;
  // Milliseconds from `start` to this one; both must have happened.
  Result<double> since(const Event& start) const;

 private:
  explicit Event(cudaEvent_t event) : event_(event) {}
  cudaEvent_t event_ = nullptr;
};

// Work captured from a stream, to be replayed.
class CapturedGraph {
 public:
  // Runs `enqueue`, which puts work on the stream, and keeps the work, if `ranked` with that stream's rank wherever it is launched.
  template <class F>
  static Result<CapturedGraph> capture(cudaStream_t stream, F enqueue, bool ranked = false) {
    CAMEO_TRY(begin(stream));
    Status status = enqueue();
    return end(stream, std::move(status), ranked);
  }
  CapturedGraph(CapturedGraph&& other) noexcept : exec_(std::exchange(other.exec_, nullptr)) {}
  CapturedGraph& operator=(CapturedGraph&& other) noexcept {
    std::swap(exec_, other.exec_);
    return *this;
  }
  ~CapturedGraph();
  Status launch(cudaStream_t stream) const;

 private:
  explicit CapturedGraph(cudaGraphExec_t exec) : exec_(exec) {}
  static Status begin(cudaStream_t stream);
  static Result<CapturedGraph> end(cudaStream_t stream, Status status, bool ranked);
  cudaGraphExec_t exec_ = nullptr;
};

// Device memory with a limit. Blocks that are given back are kept for the next request and may be handed out again at once:
// everything that uses one pool runs on one stream, or waits for it.
class MemoryPool : public std::enable_shared_from_this<MemoryPool> {
 public:
  // Bytes; 0: no limit but the device's.
  explicit MemoryPool(size_t limit = 0) : limit_(limit) {}
  ~MemoryPool();

  class Block {
   public:
    Block() = default;
    Block(Block&& other) noexcept
        : pool_(std::move(other.pool_)), data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Block& operator=(Block&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(data_, other.data_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Block();
    void* data() const { return data_; }
    size_t bytes() const { return bytes_; }

   private:
    friend class MemoryPool;
    std::shared_ptr<MemoryPool> pool_;
    void* data_ = nullptr;
    size_t bytes_ = 0;
  };

  // At least `bytes` bytes, 512-byte aligned. Error: kOutOfMemory, with what there is and what is held.
  Result<Block> allocate(size_t bytes);
  size_t held() const { return held_; }
  // Gives the device what is kept and not in use.
  void trim();

 private:
  void give_back(void* data, size_t bytes);
  void release_free();

  const size_t limit_;
  std::atomic<size_t> held_ = 0;  // in use or kept
  std::mutex mutex_;
  std::multimap<size_t, void*> free_;
};

// Page-locked memory of the host.
class PinnedBlock {
 public:
  PinnedBlock() = default;
  static Result<PinnedBlock> allocate(size_t bytes);
  PinnedBlock(PinnedBlock&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  PinnedBlock& operator=(PinnedBlock&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~PinnedBlock();
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// Makes memory of somebody else page-locked for as long as it lives.
class Registration {
 public:
  static Result<Registration> make(void* data, size_t bytes);
  Registration(Registration&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  Registration& operator=(Registration&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~Registration();

 private:
  explicit Registration(void* data) : data_(data) {}
  void* data_ = nullptr;
};

// Copies on the stream; the direction follows from the addresses.
Status copy(void* to, const void* from, size_t bytes, cudaStream_t stream);
Status fill(void* to, int byte, size_t bytes, cudaStream_t stream);
// Whether the address is in device memory.
bool is_device_memory(const void* address);

// Kernels compiled at run time.
class Module {
 public:
  static Result<Module> load(const void* image);
  Module(Module&& other) noexcept : library_(std::exchange(other.library_, nullptr)) {}
  Module& operator=(Module&& other) noexcept {
    std::swap(library_, other.library_);
    return *this;
  }
  ~Module();
  Result<cudaKernel_t> kernel(const char* name) const;

 private:
  explicit Module(cudaLibrary_t library) : library_(library) {}
  cudaLibrary_t library_ = nullptr;
};

struct KernelShape {
  unsigned grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  unsigned shared_bytes = 0;
  bool dependent = false;  // starts while the kernel before it runs, and waits for it itself
};
Status launch(cudaKernel_t kernel, const KernelShape& shape, void** arguments, cudaStream_t stream);

}  // namespace cameo::cuda
