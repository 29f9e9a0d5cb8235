#include "engine/train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "engine/autograd/tape.h"
#include "engine/data/feed.h"
#include "engine/ops/ops.h"

namespace graft {

Evaluation evaluate(const Module& model, const Loader& data, DType images, int workers) {
  NoGrad off;
  Run run;
  Evaluation e;
  double loss = 0;
  std::int64_t right = 0;
  Feed feed(data, current_queue(), workers, data.batches());
  for (std::int64_t i = 0; i < data.batches(); ++i) {
    const Batch b = feed.get(0, i);
    const Tensor logits = cast(model.forward(cast(b.images, images), run), DType::f32), best = argmax(logits, 1);
    CrossEntropyOptions o;
    o.reduction = Reduction::none;
    const Tensor lost = cross_entropy(logits, b.labels, o);
    if (i + 1 < data.batches()) feed.prefetch(0, i + 1);
    const std::vector<std::int64_t> guess = best.host<std::int64_t>(), want = b.labels.host<std::int64_t>();
    for (const float one : lost.host<float>()) {
      loss += static_cast<double>(one);
      e.losses.push_back(one);
    }
    for (std::size_t k = 0; k < guess.size(); ++k) {
      right += guess[k] == want[k];
      e.predictions.push_back(guess[k]);
    }
  }
  e.images = static_cast<std::int64_t>(e.predictions.size());
  e.accuracy = e.images ? static_cast<double>(right) / static_cast<double>(e.images) : 0;
  e.loss = e.images ? loss / static_cast<double>(e.images) : 0;
  if (std::isnan(e.loss)) e.loss = std::numeric_limits<double>::quiet_NaN();  // without the sign that it may have
  return e;
}

std::string not_finite(const Evaluation& e) {
  const auto finite = [](float loss) { return std::isfinite(loss); };
  const auto first = std::find_if_not(e.losses.begin(), e.losses.end(), finite);
  if (first == e.losses.end()) return {};
  const auto lost = e.images - std::count_if(e.losses.begin(), e.losses.end(), finite);
  return "the model's outputs for " + std::to_string(lost) + " of " + std::to_string(e.images) +
         " images are not finite, first for image " + std::to_string(first - e.losses.begin());
}
void want_finite(const Evaluation& e) {
  if (const std::string what = not_finite(e); !what.empty())
    throw Error(Code::diverged, what +
                                    "; its weights, or the numbers on the way, are out of range: go back to an earlier checkpoint, or "
                                    "train with a lower optim.lr or with train.clip_norm");
}

std::string watch_overfitting(OverfitState& s, const Evaluation& train, const Evaluation& held_out) {
  if (s.seen++ == 0 || !(held_out.loss >= s.least_loss)) {
    s.least_loss = held_out.loss;
    s.train_loss_then = train.loss;
    s.rising = 0;
    return {};
  }
  ++s.rising;
  const auto variance = [](const Evaluation& e) { return e.accuracy * (1 - e.accuracy) / static_cast<double>(e.images); };
  const double gap = train.accuracy - held_out.accuracy, error = std::sqrt(variance(train) + variance(held_out));
  if (s.said || s.rising < 3 || !(train.loss < s.train_loss_then) || !(gap > 3 * error)) return {};
  s.said = true;
  char text[320];
  std::snprintf(text, sizeof text,
                "over-fitting: the loss on held-out images was least (%.4f) %lld evaluations ago and is %.4f, on training images it fell "
                "from %.4f to %.4f; "
                "accuracy %.1f %% against "
                "%.1f %%; try augmentation, weight decay, fewer epochs or train.patience",
                s.least_loss, static_cast<long long>(s.rising), held_out.loss, s.train_loss_then, train.loss, 100 * held_out.accuracy,
                100 * train.accuracy);
  return text;
}

}  // namespace graft
