// Beam search over the continuations of one prompt, as Hugging Face's generate() defines it (transformers 4.50 and later).
//
// `beams` unfinished texts run. At each step the likeliest max(2, 1 + end tokens) * beams continuations of all of them are
// looked at, by the sum of their log-probabilities. Those among the first `beams` that end in an end token, or have reached the
// greatest length, are finished: their score is sum / length^length_penalty, where the length counts new tokens, the end token
// among them, and the best `beams` finished texts are kept. The best `beams` that do not end go on. The search is over when
// `beams` texts are finished and the best running sum / length^length_penalty is no better than the worst of them, with
// early_stopping as soon as they are finished.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cameo {

class BeamSearch {
 public:
  struct Settings {
    size_t beams = 1;
    double length_penalty = 1;
    bool early_stopping = false;
    size_t max_new_tokens = 1;
    std::vector<uint32_t> end_tokens;
  };
  struct Text {
    std::vector<uint32_t> tokens;
    std::vector<float> log_probabilities;
    double sum = 0;    // of log-probabilities
    double score = 0;  // of a finished text
  };

  explicit BeamSearch(Settings settings);

  // Continuations looked at in each step; a vocabulary has to be at least as large.
  static size_t candidates(const Settings& settings);

  // The running texts; one, empty, at first.
  const std::vector<Text>& running() const { return running_; }
  // One step. scores[i] are the log-probabilities of the next token after running text i. Afterwards running text i
  // continues what was running text sources()[i].
  void advance(std::span<const std::span<const float>> scores);
  const std::vector<size_t>& sources() const { return sources_; }
  bool done() const { return done_; }
  // The best finished text, or the best that runs if none is finished.
  const Text& best() const;

 private:
  struct Candidate {
    double sum;
    float log_probability;
    uint32_t source, token;
  };
  bool ends(uint32_t token) const;

  Settings settings_;
  std::vector<Text> running_, finished_;
  std::vector<size_t> sources_;
  std::vector<Candidate> heap_;
  size_t length_ = 0;
  bool done_ = false, can_improve_ = true;
};

}  // namespace cameo
