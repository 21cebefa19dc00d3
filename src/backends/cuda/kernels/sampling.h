// The choice of a batch's next tokens from its logits, as pipelines/sampler.h makes it: changes of logits, then the likeliest
// token, or one drawn by temperature, top-k, top-p and min-p.
#pragma once

#include "backends/cuda/kernels/kernel.h"

namespace cameo::cuda {

// What is added to a token's logit.
struct SamplingBias {
  uint32_t token;
  float bias;
};

// A token of the prompt or the text, and how often it was made.
struct SamplingMade {
  uint32_t token;
  uint32_t times;
};

// Lies on the device, so that captured launches serve for other options too. See GenerateOptions.
struct SamplingSettings {
  double inverse_temperature = 0;  // 0: the likeliest; finite
  double top_p = 1, min_p = 0;
  double repetition = 1, presence = 0, frequency = 0;  // penalties, of what `made` has
  uint32_t top_k = 0;
  uint32_t biases = 0;                 // how many
  const SamplingBias* bias = nullptr;  // by tokens; those of one token are added in their order
  SamplingMade* made = nullptr;        // [rows, made_stride], each token once; null: no penalties
  uint32_t* made_count = nullptr;      // [rows], at most made_stride
  int64_t made_stride = 0;
  uint64_t* random = nullptr;  // [rows]: of each row's RandomStream
};

// What a row's history gets in place of a token.
constexpr int32_t kLogitsNan = -2, kLogitsInfinite = -3;

// The rows' state is that of decoder_step.h and goes on as a step's choice lets it go on.
struct SamplingArgs {
  const void* logits = nullptr;  // [rows, vocabulary]
  Scalar type = Scalar::kFloat32;
  int32_t rows = 0, vocabulary = 0;
  const SamplingSettings* settings = nullptr;
  int32_t* tokens = nullptr;
  int32_t* lengths = nullptr;
  int32_t* done = nullptr;  // or null
  int32_t* history = nullptr;
  int64_t history_stride = 0;
  int32_t capacity = 0, end_token = -1;
};

const char* sampling_refusal(const SamplingArgs& args, const DeviceTraits& device);
// A dependent of the kernel that writes the logits.
cudaError_t sample_tokens(const SamplingArgs& args, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
