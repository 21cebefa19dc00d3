// The choice of the next token from logits: biases, penalties, greedy choice, and drawing with temperature, top-k, top-p, min-p.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "cameo/generate.h"

namespace cameo {

// Numbers that are the same on every machine: SplitMix64 (Steele, Lea and Flood, 2014), one 64-bit state.
class RandomStream {
 public:
  explicit RandomStream(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // In [0, 1), a multiple of 2^-53.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_;
};

// Errors: kInvalidArgument, naming the option, for values that make no sense.
Status check_options(const GenerateOptions& options, size_t vocabulary);

// The index of the largest value, of equal ones the first. Errors: kInvalidInput if a value is NaN or none is finite.
Result<uint32_t> likeliest(std::span<const float> logits);

// log softmax(logits)[i] for one i, and for all.
double log_sum_exp(std::span<const float> logits);
void log_softmax(std::span<const float> logits, std::span<float> out);

// The `count` largest, largest first, with their log-probabilities.
std::vector<TokenProbability> most_likely(std::span<const float> logits, size_t count, double log_sum);

// Chooses the tokens of one row.
class Sampler {
 public:
  // The options outlive the sampler.
  Sampler(const GenerateOptions& options, std::span<const uint32_t> prompt, uint64_t seed);

  // The next token. Errors: kInvalidInput for logits that are no numbers.
  Result<uint32_t> pick(std::span<const float> logits);
  // Notes a token as made.
  void accept(uint32_t token);
  // Biases and penalties.
  bool changes_logits() const { return changes_logits_; }
  void change(std::span<float> logits) const;

 private:
  struct Candidate {
    float logit;
    uint32_t id;
  };
  Result<uint32_t> draw(std::span<const float> logits);

  const GenerateOptions* options_;
  RandomStream random_;
  bool changes_logits_;
  bool counts_;                                  // whether made_ is needed
  std::unordered_map<uint32_t, uint32_t> made_;  // how often each token of the prompt (0 times) and the text was made
  std::vector<float> changed_;
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;
};

}  // namespace cameo
