// A cluster of blocks chooses a row's token; each block has a part of the logits in shared memory.
//
// A weight is exp((logit - largest) / temperature) in double precision, as a fixed-point number of 44 digits: sums are exact in
// any order. Nothing is sorted. Where the order by likelihood counts, the token at which so many tokens, or so much weight, are
// reached is found by a histogram over the logits (of counts and weights), and the few tokens of one of its bins are ranked
// by comparing all with all; bins of too many are divided again until all of a bin are equal. top_k, top_p and min_p are
// such places, and so is the token that is drawn.
#include "backends/cuda/kernels/sampling.h"

#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/launch.h"

namespace cameo::cuda {
namespace {

constexpr int kThreads = 512, kWarps = kThreads / 32, kMostParts = 8;
constexpr int kBins = 1024, kOwnBins = kBins / kThreads;     // of a thread
constexpr int kRanked = 256, kRankers = kThreads / kRanked;  // tokens that are ranked at once; threads for each
constexpr int kDigits = 44;                                  // of a weight, behind the point
constexpr int kLow = 15;                                     // sums of so many digits of all of a block's weights fit 32 bits
constexpr double kRange = 10;  // logits / temperature below the largest that the first bins divide; the last has what is below

// What a block tells the others: joined by the maximum, the maximum, the sum.
struct Mail {
  uint32_t largest = 0, inverse_smallest = 0;
  uint64_t sum = 0;
};

// Behind a token in an order: how many there are up to it, and what they weigh.
struct Place {
  uint32_t count = 0;
  uint64_t weight = 0;
};
__device__ __forceinline__ Place operator+(const Place& a, const Place& b) { return {a.count + b.count, a.weight + b.weight}; }

struct Ranked {
  uint64_t token;  // its key, and its number inverted
  uint64_t weight;
};

struct Shared {
  Mail mail[2][kMostParts];  // of each block
  Mail warp_mail[kWarps];
  Place warp_place[kWarps];
  uint32_t bins[4][kBins];           // histogram of this block: counts, and weights in three parts
  Place coarse[kBins], fine[kBins];  // of the cluster
  uint64_t own[2][kRanked];          // tokens of this block to be ranked
  uint32_t owns[2];
  Ranked ranked[kRanked];
  Place before, behind;  // of the bin that was found
  uint32_t bin;
  Place found;
  uint32_t found_token;
  int32_t token;  // chosen by this block; -1: it did not choose
  bool known;
  uint64_t settings[sizeof(SamplingSettings) / 8];
};
constexpr size_t kHead = (sizeof(Shared) + 15) / 16 * 16;  // values are behind it

// Larger for larger values; the same for both zeros.
__device__ __forceinline__ uint32_t key_of(float v) {
  const uint32_t u = __float_as_uint(v + 0.f);
  return u & 0x80000000u ? ~u : u | 0x80000000u;
}
__device__ __forceinline__ float value_of(uint32_t key) { return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key); }

// A variable of another block's shared memory.
template <typename T>
__device__ __forceinline__ T* remote(T* p, uint32_t rank) {
  uint64_t r = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("mapa.u64 %0, %1, %2;" : "=l"(r) : "l"(reinterpret_cast<uint64_t>(p)), "r"(rank));
#endif
  return reinterpret_cast<T*>(r);
}
__device__ __forceinline__ void cluster_sync() {
  __syncwarp();
  cluster_arrive();
  cluster_wait();
}

// Sums of the threads before this one. A barrier has to come before the next.
__device__ __noinline__ Place sum_before(Place mine) {
  extern __shared__ __align__(16) unsigned char sampling_shared[];
  Shared& s = *reinterpret_cast<Shared*>(sampling_shared);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  Place upto = mine;
#pragma unroll
  for (int d = 1; d < 32; d *= 2) {
    const uint32_t count = __shfl_up_sync(~0u, upto.count, d);
    const uint64_t weight = __shfl_up_sync(~0u, upto.weight, d);
    if (lane >= d) upto.count += count, upto.weight += weight;
  }
  if (lane == 31) s.warp_place[warp] = upto;
  __syncthreads();
  Place sum{upto.count - mine.count, upto.weight - mine.weight};
#pragma unroll
  for (int w = 0; w < kWarps; ++w)
    if (w < warp) sum = sum + s.warp_place[w];
  return sum;
}

struct Joined {
  Mail all;
  uint64_t before = 0;  // sum of the blocks before this one
};

// Joins what all threads of the cluster have. Barrier of the cluster.
__device__ __noinline__ Joined exchange(Mail m, int parts, int rank, int turn) {
  extern __shared__ __align__(16) unsigned char sampling_shared[];
  Shared& s = *reinterpret_cast<Shared*>(sampling_shared);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const auto join = [](Mail& a, const Mail& b) {
    a.largest = max(a.largest, b.largest), a.inverse_smallest = max(a.inverse_smallest, b.inverse_smallest), a.sum += b.sum;
  };
  const auto join_warp = [&](Mail& a, int lanes) {
    for (int x = lanes / 2; x > 0; x /= 2)
      join(a, {__shfl_xor_sync(~0u, a.largest, x), __shfl_xor_sync(~0u, a.inverse_smallest, x), __shfl_xor_sync(~0u, a.sum, x)});
  };
  join_warp(m, 32);
  if (lane == 0) s.warp_mail[warp] = m;
  __syncthreads();
  if (warp == 0) {
    m = s.warp_mail[lane % kWarps];
    join_warp(m, kWarps);
    if (lane < parts) *remote(&s.mail[turn & 1][rank], lane) = m;
  }
  cluster_sync();
  Joined j;
#pragma unroll
  for (int p = 0; p < kMostParts; ++p) {
    if (p >= parts) break;
    const Mail& other = s.mail[turn & 1][p];
    if (p < rank) j.before += other.sum;
    join(j.all, other);
  }
  return j;
}

__device__ __forceinline__ void add_to_bin(Shared& s, int bin, uint32_t count, uint64_t weight) {
  constexpr uint32_t kMask = (1u << kLow) - 1;
  const uint32_t low = static_cast<uint32_t>(weight) & kMask, middle = static_cast<uint32_t>(weight >> kLow) & kMask,
                 high = static_cast<uint32_t>(weight >> 2 * kLow);
  atomicAdd(&s.bins[0][bin], count);
  if (low) atomicAdd(&s.bins[1][bin], low);
  if (middle) atomicAdd(&s.bins[2][bin], middle);
  if (high) atomicAdd(&s.bins[3][bin], high);
}

// Sums the blocks' histograms; behind a barrier of the cluster, and ends with one. Each block sums some of the bins, with as many
// threads for a bin as there are blocks, as far as they reach.
__device__ __forceinline__ void merge(Shared& s, Place* into, int parts, int rank) {
  const int share = kBins / parts, helpers = min(parts, kThreads / share), first = threadIdx.x % helpers;
  for (int i = threadIdx.x / helpers; i < share; i += kThreads / helpers) {
    const int bin = rank * share + i;
    Place sum;
    for (int p = first; p < parts; p += helpers) {
      const uint32_t* there = remote(&s.bins[0][bin], p);
      sum.count += there[0];
      sum.weight +=
          there[kBins] + (static_cast<uint64_t>(there[2 * kBins]) << kLow) + (static_cast<uint64_t>(there[3 * kBins]) << 2 * kLow);
    }
    for (int x = helpers / 2; x > 0; x /= 2) sum = sum + Place{__shfl_xor_sync(~0u, sum.count, x), __shfl_xor_sync(~0u, sum.weight, x)};
    for (int p = first; p < parts; p += helpers) *remote(&into[bin], p) = sum;
  }
  cluster_sync();
}

__device__ __forceinline__ void clear_bins(Shared& s) {
  for (int i = threadIdx.x; i < 4 * kBins; i += kThreads) s.bins[i / kBins][i % kBins] = 0;
}

// The place that is looked for: the first at which one of these is reached.
struct Goal {
  uint32_t count = ~0u;
  double share = INFINITY;         // of weight
  uint64_t weight = ~uint64_t{0};  // to be exceeded
  __device__ bool reached(uint32_t c, uint64_t w) const { return c >= count || static_cast<double>(w) >= share || w > weight; }
  __device__ bool reached(const Place& p) const { return reached(p.count, p.weight); }
};

// The places at the ends of this thread's bins, behind `open`.
__device__ __forceinline__ void ends_of_bins(const Place* bins, const Place& open, Place* ends) {
  Place sum;
#pragma unroll
  for (int i = 0; i < kOwnBins; ++i) sum = sum + bins[kOwnBins * threadIdx.x + i];
  ends[0] = open + sum_before(sum);
#pragma unroll
  for (int i = 0; i < kOwnBins; ++i) ends[i + 1] = ends[i] + bins[kOwnBins * threadIdx.x + i];
}

// Tells all threads in which bin the goal is reached. Barrier.
__device__ __forceinline__ void find_bin(Shared& s, const Goal& goal, const Place* ends) {
#pragma unroll
  for (int i = 0; i < kOwnBins; ++i)
    if (!goal.reached(ends[i]) && goal.reached(ends[i + 1])) s.bin = kOwnBins * threadIdx.x + i, s.before = ends[i], s.behind = ends[i + 1];
  __syncthreads();
}

template <typename T>
__device__ __forceinline__ void load_values(const T* from, float* values, int n) {
  constexpr int U = 16;
  for (int first = 0; first < n; first += U * kThreads) {
    T v[U];
#pragma unroll
    for (int j = 0; j < U; ++j) {
      const int i = first + j * kThreads + threadIdx.x;
      if (i < n) v[j] = __ldcg(from + i);
    }
#pragma unroll
    for (int j = 0; j < U; ++j) {
      const int i = first + j * kThreads + threadIdx.x;
      if (i < n) values[i] = to_float(v[j]);
    }
  }
}

__global__ void __launch_bounds__(kThreads, 2) sample_kernel(const __grid_constant__ SamplingArgs a, int parts) {
  extern __shared__ __align__(16) unsigned char sampling_shared[];
  Shared& s = *reinterpret_cast<Shared*>(sampling_shared);
  float* values = reinterpret_cast<float*>(sampling_shared + kHead);
  launch_dependents();
  cluster_arrive();  // waited for before the first store to another block
  const int tid = threadIdx.x, row = blockIdx.x / parts, rank = blockIdx.x % parts;
  const int share = (a.vocabulary + parts - 1) / parts, first = min(rank * share, a.vocabulary), n = min(share, a.vocabulary - first);
  const int per = ((n + kThreads - 1) / kThreads) | 1;  // tokens of a thread, in a row; odd against bank conflicts
  const int begin = min(tid * per, n), end = min(begin + per, n);
  if (tid == 0) s.token = -1, s.known = false, s.owns[0] = s.owns[1] = 0;
  clear_bins(s);
  wait_for_predecessor();
  if (tid < static_cast<int>(sizeof(SamplingSettings) / 8)) s.settings[tid] = reinterpret_cast<const uint64_t*>(a.settings)[tid];
  const int length = a.lengths[row];
  const bool stands = a.done && a.done[row];
  const int64_t from = static_cast<int64_t>(row) * a.vocabulary + first;
  if (a.type == Scalar::kFloat16)
    load_values(static_cast<const __half*>(a.logits) + from, values, n);
  else if (a.type == Scalar::kBFloat16)
    load_values(static_cast<const __nv_bfloat16*>(a.logits) + from, values, n);
  else
    load_values(static_cast<const float*>(a.logits) + from, values, n);
  cluster_wait();
  if (length >= a.capacity || stands) return;  // all of the cluster; none writes before the next barrier
  __syncthreads();
  const SamplingSettings& q = reinterpret_cast<const SamplingSettings&>(s.settings);
  const double inverse_temperature = q.inverse_temperature;
  const uint64_t random = q.random[row] + 0x9e3779b97f4a7c15;  // of pipelines/sampler.h, RandomStream
  SamplingMade* const made = q.made ? q.made + row * q.made_stride : nullptr;
  const int known = made ? static_cast<int>(q.made_count[row]) : 0;
  for (int i = tid; i < static_cast<int>(q.biases); i += kThreads) {
    const uint32_t at = q.bias[i].token - first;
    if (at >= static_cast<uint32_t>(n) || (i > 0 && q.bias[i - 1].token == q.bias[i].token)) continue;
    for (int j = i; j < static_cast<int>(q.biases) && q.bias[j].token == q.bias[i].token; ++j) values[at] += q.bias[j].bias;
  }
  if (made) {
    __syncthreads();
    for (int i = tid; i < known; i += kThreads) {
      const SamplingMade m = made[i];
      const uint32_t at = m.token - first;
      if (at >= static_cast<uint32_t>(n)) continue;
      float v = values[at];
      if (q.repetition != 1) v = static_cast<float>(v > 0 ? v / q.repetition : v * q.repetition);
      if (m.times > 0) v -= static_cast<float>(__dadd_rn(q.presence, __dmul_rn(q.frequency, m.times)));
      values[at] = v;
    }
  }
  if (made || q.biases) __syncthreads();

  int turn = 0, list = 0;
  Mail mail;
  for (int i = begin; i < end; ++i) {
    const float v = values[i];
    if (v > -INFINITY) {
      const uint32_t key = key_of(v);
      mail.largest = max(mail.largest, key), mail.inverse_smallest = max(mail.inverse_smallest, ~key), ++mail.sum;
    } else if (v != v) {
      mail.sum += uint64_t{1} << 32;
    }
  }
  mail = exchange(mail, parts, rank, turn++).all;
  const uint32_t largest = mail.largest, candidates = static_cast<uint32_t>(mail.sum);
  const float most = value_of(largest), least = value_of(~mail.inverse_smallest);
  const auto weight = [&](float v) { return exp((static_cast<double>(v) - most) * inverse_temperature); };
  const auto fixed = [](double w) {
    return static_cast<uint64_t>(__double_as_longlong(w * (uint64_t{1} << kDigits) + 0x1p52)) - 0x4330000000000000u;
  };
  const auto drawn = [&](uint64_t total) {  // a part of total
    uint64_t z = random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return __umul64hi((z ^ (z >> 31)) >> 11 << 11, total);
  };
  // The token that is `index`-th of those with that key, by numbers.
  const auto take_equal = [&](uint32_t key, uint32_t index) {
    Place mine;
    for (int i = begin; i < end; ++i) mine.count += key_of(values[i]) == key;
    uint32_t at = sum_before(mine).count;
    mail = {};
    mail.sum = mine.count;
    at += static_cast<uint32_t>(exchange(mail, parts, rank, turn++).before);
    if (index < at || index >= at + mine.count) return;
    for (int i = begin; i < end; ++i)
      if (key_of(values[i]) == key && at++ == index) s.token = first + i;
  };

  if (mail.sum >> 32 || candidates == 0 || largest == key_of(INFINITY)) {
    if (rank == 0 && tid == 0) s.token = mail.sum >> 32 ? kLogitsNan : kLogitsInfinite;
  } else if (inverse_temperature == 0) {
    take_equal(largest, 0);
  } else if (!(q.top_k > 0 && q.top_k < candidates) && q.top_p >= 1) {
    // All of them, in the order of their numbers.
    const double min_p = q.min_p;
    const auto kept = [&](int i) {
      const double w = weight(values[i]);
      return w >= min_p ? fixed(w) : 0;
    };
    Place mine;
#pragma unroll 4
    for (int i = begin; i < end; ++i) mine.weight += kept(i);
    uint64_t at = sum_before(mine).weight;
    mail = {};
    mail.sum = mine.weight;
    const Joined j = exchange(mail, parts, rank, turn++);
    at += j.before;
    const uint64_t target = drawn(j.all.sum);
    if (at <= target && target < at + mine.weight)
      for (int i = begin; i < end; ++i) {
        at += kept(i);
        if (at <= target) continue;
        s.token = first + i;
        break;
      }
  } else {
    // By likelihood.
    const bool few = q.top_k > 0 && q.top_k < candidates;
    const double min_p = q.min_p;
    const float per_bin = fminf(kBins / fminf(static_cast<float>(kRange / inverse_temperature), most - least), 1e30f);
    const auto coarse_bin = [&](float v) { return static_cast<int>(fminf((most - v) * per_bin, kBins - 1)); };
    Place far;  // of the last bin
    mail = {};
#pragma unroll 4
    for (int i = begin; i < end; ++i) {
      const float v = values[i];
      if (!(v > -INFINITY)) continue;
      const double w = weight(v);
      const int bin = coarse_bin(v);
      mail.sum += w >= min_p;
      if (bin == kBins - 1)
        ++far.count, far.weight += fixed(w);
      else
        add_to_bin(s, bin, 1, fixed(w));
    }
    if (far.count) add_to_bin(s, kBins - 1, far.count, far.weight);
    const uint32_t likely = static_cast<uint32_t>(exchange(mail, parts, rank, turn++).all.sum);  // enough for min_p
    merge(s, s.coarse, parts, rank);
    Place ends[kOwnBins + 1];
    ends_of_bins(s.coarse, {}, ends);
    if (tid == kThreads - 1) s.found = ends[kOwnBins];
    __syncthreads();
    uint64_t total = s.found.weight;

    // What top_k keeps, what top_p and min_p keep of that, and the token that is drawn of that.
    for (int stage = few && q.top_p < 1 ? 0 : 1; stage < 3; ++stage) {
      Goal goal;
      if (stage == 0) goal.count = q.top_k;
      if (stage == 1) goal.count = few ? min(likely, q.top_k) : likely;
      if (stage == 1 && q.top_p < 1) goal.share = q.top_p * static_cast<double>(total);
      if (stage == 2) goal.weight = drawn(total);
      find_bin(s, goal, ends);
      const int coarse = s.bin;
      Place open = s.before;  // before the tokens that are left
      uint32_t left = s.behind.count - open.count;
      uint32_t low = 0, high = ~0u;  // their keys, once they are divided again
      const bool divided = left > kRanked;
      const auto is_open = [&](float v) {
        if (!divided) return v > -INFINITY && coarse_bin(v) == coarse;
        const uint32_t key = key_of(v);
        return low <= key && key <= high;
      };
      if (divided) {
        mail = {};
        for (int i = begin; i < end; ++i)
          if (values[i] > -INFINITY && coarse_bin(values[i]) == coarse) {
            const uint32_t key = key_of(values[i]);
            mail.largest = max(mail.largest, key), mail.inverse_smallest = max(mail.inverse_smallest, ~key);
          }
        mail = exchange(mail, parts, rank, turn++).all;
        low = ~mail.inverse_smallest, high = mail.largest;
      }
      while (left > kRanked && low < high) {
        const int bits = 32 - __clz(high - low), shift = bits > 10 ? bits - 10 : 0;
        clear_bins(s);
        __syncthreads();
        for (int i = begin; i < end; ++i)
          if (is_open(values[i])) add_to_bin(s, (high - key_of(values[i])) >> shift, 1, fixed(weight(values[i])));
        cluster_sync();
        merge(s, s.fine, parts, rank);
        Place fine_ends[kOwnBins + 1];
        ends_of_bins(s.fine, open, fine_ends);
        find_bin(s, goal, fine_ends);
        open = s.before;
        left = s.behind.count - open.count;
        high -= s.bin << shift;
        const uint32_t span = (1u << shift) - 1;
        if (high - low > span) low = high - span;
        __syncthreads();
      }
      if (left > kRanked) {
        // Equal ones: the first number of them that reaches the goal.
        const uint64_t each = fixed(weight(value_of(low)));
        uint32_t no = 0, yes = left;
        while (yes - no > 1) {
          const uint32_t half = no + (yes - no) / 2;
          (goal.reached(open.count + half, open.weight + half * each) ? yes : no) = half;
        }
        total = open.weight + yes * each;
        if (stage == 2) take_equal(low, yes - 1);
        continue;
      }
      for (int i = begin; i < end; ++i)
        if (is_open(values[i]))
          s.own[list][atomicAdd(&s.owns[list], 1u)] = static_cast<uint64_t>(key_of(values[i])) << 32 | ~static_cast<uint32_t>(first + i);
      cluster_sync();
      if (tid < kRanked) {
        uint32_t there[kMostParts], at = tid;
#pragma unroll
        for (int p = 0; p < kMostParts; ++p) there[p] = p < parts ? *remote(&s.owns[list], p) : 0;
        int p = -1;
#pragma unroll
        for (int i = 0; i < kMostParts; ++i) {
          if (p < 0 && at < there[i]) p = i;
          if (p < 0) at -= there[i];
        }
        if (p >= 0) {
          const uint64_t token = *remote(&s.own[list][at], p);
          s.ranked[tid] = {token, fixed(weight(value_of(static_cast<uint32_t>(token >> 32))))};
        }
      }
      list ^= 1;
      if (tid == 0) s.owns[list] = 0;  // read by others before this barrier of the cluster
      __syncthreads();
      const uint32_t mine = tid / kRankers;
      const Ranked own = s.ranked[mine < left ? mine : 0];
      Place upto;
#pragma unroll 4
      for (uint32_t i = tid % kRankers; i < left; i += kRankers) {
        const Ranked other = s.ranked[i];
        if (other.token >= own.token) ++upto.count, upto.weight += other.weight;
      }
#pragma unroll
      for (int x = 1; x < kRankers; x *= 2) upto = upto + Place{__shfl_xor_sync(~0u, upto.count, x), __shfl_xor_sync(~0u, upto.weight, x)};
      if (mine < left && tid % kRankers == 0) {
        upto = upto + open;
        if (goal.reached(upto) && !goal.reached(upto.count - 1, upto.weight - own.weight))
          s.found = upto, s.found_token = ~static_cast<uint32_t>(own.token);
      }
      __syncthreads();
      total = s.found.weight;
      if (stage == 2 && rank == 0 && tid == 0) s.token = static_cast<int32_t>(s.found_token);
    }
  }

  cluster_sync();  // none reads another's memory any more
  const int32_t token = s.token;
  if (token == -1) return;
  // The block that chose.
  if (made) {
    for (int i = tid; i < known; i += kThreads)
      if (made[i].token == static_cast<uint32_t>(token)) ++made[i].times, s.known = true;
    __syncthreads();
    if (tid == 0 && !s.known && token >= 0 && known < q.made_stride)
      made[known] = {static_cast<uint32_t>(token), 1}, q.made_count[row] = known + 1;
  }
  if (tid != 0) return;
  if (inverse_temperature != 0) q.random[row] = random;
  a.tokens[row] = max(token, 0);
  if (a.history) a.history[row * a.history_stride + length] = token;
  a.lengths[row] = length + 1;
  if (a.done && token == a.end_token) a.done[row] = 1;
}

struct Shape {
  int parts = 1;
  size_t shared = 0;
};

// Few rows have all the device.
Shape shape_of(const SamplingArgs& a, const DeviceTraits& device) {
  Shape s{.parts = a.rows * kMostParts <= 2 * device.multiprocessors ? kMostParts : kMostParts / 2};
  const auto shared = [&] { return kHead + sizeof(float) * ((a.vocabulary + s.parts - 1) / s.parts); };
  if (shared() > static_cast<size_t>(device.shared_memory / 2 - 1024)) s.parts = kMostParts;
  s.shared = shared();
  return s;
}

}  // namespace

const char* sampling_refusal(const SamplingArgs& a, const DeviceTraits& device) {
  if (device.capability < 90) return "needs compute capability 9.0";
  if (a.rows < 1 || a.vocabulary < 1) return "an extent is not positive";
  if (shape_of(a, device).shared > static_cast<size_t>(device.shared_memory)) return "the vocabulary is too large";
  return nullptr;
}

cudaError_t sample_tokens(const SamplingArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  const Shape s = shape_of(a, device);
  LaunchShape shape{.grid = dim3(a.rows * s.parts), .block = dim3(kThreads), .shared = s.shared};
  shape.cluster = s.parts, shape.dependent = true;
  return launch(sample_kernel, shape, stream, a, int{s.parts});
}

}  // namespace cameo::cuda
