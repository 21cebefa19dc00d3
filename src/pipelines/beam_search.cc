#include "pipelines/beam_search.h"

#include <algorithm>
#include <cmath>

namespace cameo {

BeamSearch::BeamSearch(Settings settings) : settings_(std::move(settings)), running_(1) {}

size_t BeamSearch::candidates(const Settings& s) { return std::max<size_t>(2, 1 + s.end_tokens.size()) * s.beams; }

bool BeamSearch::ends(uint32_t token) const {
  return std::find(settings_.end_tokens.begin(), settings_.end_tokens.end(), token) != settings_.end_tokens.end();
}

void BeamSearch::advance(std::span<const std::span<const float>> scores) {
  // The likeliest continuations: a heap whose front is the worst of those kept.
  const size_t wanted = candidates(settings_);
  const auto better = [](const Candidate& a, const Candidate& b) {
    if (a.sum != b.sum) return a.sum > b.sum;
    return a.source != b.source ? a.source < b.source : a.token < b.token;
  };
  heap_.clear();
  for (uint32_t source = 0; source < running_.size(); ++source) {
    const double before = running_[source].sum;
    for (uint32_t token = 0; token < scores[source].size(); ++token) {
      const Candidate c{before + scores[source][token], scores[source][token], source, token};
      if (std::isnan(c.sum) || (heap_.size() == wanted && !better(c, heap_.front()))) continue;
      if (heap_.size() == wanted) {
        std::pop_heap(heap_.begin(), heap_.end(), better);
        heap_.pop_back();
      }
      heap_.push_back(c);
      std::push_heap(heap_.begin(), heap_.end(), better);
    }
  }
  std::sort(heap_.begin(), heap_.end(), better);

  ++length_;
  const double divisor = std::pow(static_cast<double>(length_), settings_.length_penalty);
  const bool last = length_ >= settings_.max_new_tokens;
  const auto extended = [&](const Candidate& c) {
    Text text = running_[c.source];
    text.tokens.push_back(c.token);
    text.log_probabilities.push_back(c.log_probability);
    text.sum = c.sum;
    text.score = c.sum / divisor;
    return text;
  };
  const bool full = finished_.size() == settings_.beams && settings_.early_stopping;
  std::vector<Text> next;
  sources_.clear();
  for (size_t rank = 0; rank < heap_.size(); ++rank) {
    const Candidate& c = heap_[rank];
    if (last || ends(c.token)) {
      if (rank >= settings_.beams || full || !can_improve_) continue;
      Text text = extended(c);
      const auto at = std::find_if(finished_.begin(), finished_.end(), [&](const Text& t) { return t.score < text.score; });
      finished_.insert(at, std::move(text));
      if (finished_.size() > settings_.beams) finished_.pop_back();
    } else if (next.size() < settings_.beams) {
      next.push_back(extended(c));
      sources_.push_back(c.source);
    }
  }
  running_ = std::move(next);

  const bool all_finished = finished_.size() == settings_.beams;
  if (all_finished && !running_.empty() && running_.front().sum / divisor <= finished_.back().score) can_improve_ = false;
  done_ = running_.empty() || !can_improve_ || (all_finished && settings_.early_stopping);
}

const BeamSearch::Text& BeamSearch::best() const {
  static const Text none;
  if (!finished_.empty()) return finished_.front();
  return running_.empty() ? none : running_.front();
}

}  // namespace cameo
