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
// No single number would serve: different pictures of CIFAR-10 have their nearest neighbour at 0.63 (median of 30,000), of drawn digits at
// 0.07 and more, but the ones of MNIST lie as near to each other as 0.009. The crowd tells: over 30,000 drawn shapes, digits and letters no
// pair was nearer than 1 / 14 of the distance to the eighth neighbour, in MNIST none than 1 / 7, so a pair at 1 / 16 is taken for a copy.
// Found in sets drawn without copies: none in 50,000 digits, 50,000 letters and MNIST's 70,000; two pairs in 50,000 shapes, eleven in
// 202,000 digits: the more there are, the more look like others. A JPEG of quality 75, noise of 4 of 255 steps, a picture 15 % lighter
// differ by 0.003 (median) and 0.02 (95 %), JPEG of quality 50 by 0.02 and 0.05, three quarters of the size by 0.03 and 0.04: most of these
// are found in CIFAR, not all. Not looked for: parts cut out of a picture, turned and mirrored ones, a grey copy of a colourful one. Not
// found: more than kCrowd copies of one that differ by more than kSure.
inline constexpr float kSure = 0.002f, kMost = 0.06f, kApart = 16;
inline constexpr int kCrowd = 8;

struct Lookalike {
  std::int64_t a = 0, b = 0;  // a < b
  float difference = 0;
  auto operator<=>(const Lookalike&) const = default;
};
// The pairs of near duplicates, sorted; those that are not comparable have none. Not each is compared with each: a hash of 64 bits tells of
// the 64 coefficients that vary most over the set which side of their middle they are on, and those are compared that differ in at most 2
// bits of one of its 4 bands (so all that differ in at most 11 are; Norouzi, Punjani and Fleet 2012) and in 16 at most. A picture has at
// most 64 partners before it, and the crowd is counted among at most 32,768 pictures, spread evenly: a set of frames of one film does not
// take forever. The same for any number of threads.
std::vector<Lookalike> find_lookalikes(std::span<const Look> looks, ThreadPool& pool);

}  // namespace graft
