// Pictures that are one picture stored twice, found among many by their looks without comparing each with each.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/data/image_hash.h"

namespace graft {

class ThreadPool;

// Two pictures are near duplicates when their difference d (image_hash.h) is
//   at most kSure                                                        whatever the others are, or
//   at most kMost, and fewer than kCrowd others are within kApart times d of either: they stand out from the pictures around them.
// Where these come from: 30,000 CIFAR-10 pictures and 30,000 of MNIST. A JPEG of quality 75, noise of 4 steps of 255, a lighter copy differ by 0.004 (median) and 0.02
// (95 %), a JPEG of quality 50 or three quarters of the size by 0.05. Different pictures: CIFAR's nearest neighbours are at 0.63 (median), but MNIST's ones lie as near
// to each other as 0.009, so no single number serves both. There the crowd tells: in MNIST no pair is nearer than 0.138 of the distance to the eighth neighbour, and kept
// copies are at 0.02 to 0.08 of it.
// Not found: parts cut out of a picture, turned and mirrored ones, a grey copy of a colourful one; more than kCrowd copies that are no better than kMost.
inline constexpr float kSure = 0.002f, kMost = 0.06f, kApart = 10;
inline constexpr int kCrowd = 8;

struct Lookalike {
  std::int64_t a = 0, b = 0;  // a < b
  float difference = 0;
  auto operator<=>(const Lookalike&) const = default;
};
// All pairs of near duplicates, sorted; those that are not comparable have none. A search tree over the 16 coefficients that vary most keeps the work far below
// all pairs and loses none: a distance in some of the coefficients is never more than in all. At most 64 candidates before it are weighed for each picture, and the
// crowd is counted among at most 32,768, spread evenly: sets of frames of one film do not take forever. The same for any number of threads.
std::vector<Lookalike> find_lookalikes(std::span<const Look> looks, ThreadPool& pool);

}  // namespace graft
