// Random changes of training pictures. All of them are functions of (seed, epoch, index): the same for any order of calls, any number of
// threads, any resume point. Each kind of change draws from places of its own, so that switching one on leaves the others' numbers as they
// were.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/image.h"

namespace graft {

struct Augment {
  // One affine map about the centre, bilinear, 0 outside; each number is drawn evenly from both sides of "no change".
  std::int64_t shift = 0;     // pixels, each direction; whole ones are drawn
  double rotate = 0;          // degrees either way
  double scale = 0;           // share of the size either way
  std::int64_t crop_pad = 0;  // zeros around the picture, then a part of the picture's size at a random place (the habit of CIFAR recipes)
  // Smallest and largest share of the area that a random part has, then its smallest and largest width / height; the part is resized
  // (bilinear). Empty: off. Algorithm: torchvision's RandomResizedCrop (ten tries, then the middle).
  std::vector<double> area = {}, ratio = {3.0 / 4, 4.0 / 3};
  std::int64_t height = 0, width = 0;  // of what `area` makes; 0: the picture's own
  double flip = 0, flip_vertical = 0;  // probabilities
  // Factors from [max(0, 1 - x), 1 + x], the turn from [-hue, hue] (0.5 is the opposite colour), in a random order: torchvision's
  // ColorJitter.
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
  // Probability that a rectangle of 2 to 33 % of the area, ratio 0.3 to 3.3, becomes 0: Zhong et al. 2017, torchvision's RandomErasing.
  double erase = 0;
  std::string policy = "none";        // or "randaugment": Cubuk et al. 2019 with torchvision's fourteen operations and magnitudes
  std::int64_t policy_ops = 2;        // operations per picture
  std::int64_t policy_magnitude = 9;  // 0 to 30
  // Parameters of the Beta distribution that batches are mixed by, 0: off. With both, each batch has one of them, evenly. See Mix.
  double mixup = 0, cutmix = 0;

  bool any() const;  // something for augment() to do
  // Error(usage) naming the field whose value is out of range. augment() and draw_mix() count on it having been called.
  void check() const;
};

// Order: area, crop_pad, affine, flips, policy, colours, erase. The image keeps its depth (integers are rounded). Boxes and mask move
// along; what is erased or recoloured stays what it is. Picture `index` of the data in `epoch`. Error(usage) for saturation and hue of
// pictures without three bands (the policy leaves colour out for them).
void augment(Sample& s, const Augment& a, std::uint64_t seed, std::uint64_t epoch, std::int64_t index);

// How one batch is mixed: picture k becomes share * k + (1 - share) * partner[k] (mixup: Zhang et al. 2017), or has partner[k]'s pixels in
// [y0, y1) x [x0, x1) (cutmix: Yun et al. 2019; share is what is left of its own area). The loss is share * loss(label k) + (1 - share) *
// loss(label partner[k]).
struct Mix {
  bool cutmix = false;
  double share = 1;
  std::int64_t x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  std::vector<std::int64_t> partner;  // a picture of the same batch, never itself where there are two
};
// For batch `batch` of `epoch` with `count` pictures of h x w; none when both are off.
std::optional<Mix> draw_mix(const Augment& a, std::uint64_t seed, std::uint64_t epoch, std::int64_t batch, std::int64_t count,
                            std::int64_t h, std::int64_t w);
// images: [partner.size(), c, h, w], dense, already normalised. Error(usage) when the mix does not fit.
void apply_mix(float* images, std::int64_t c, std::int64_t h, std::int64_t w, const Mix& mix);

}  // namespace graft
