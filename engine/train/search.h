// Where to look next: points of a space of configurations, at random or by what earlier points scored. No file, no clock, no training: a
// suggestion is a function of (seed, number, history), so that a search which was killed goes on with the points it would have had.
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace graft {

// One direction. Ends are part of it. `log`: equal ratios are equally likely; lo > 0 then.
struct Dimension {
  enum class Kind { real, whole, choice };
  std::string name;
  Kind kind = Kind::real;
  double lo = 0, hi = 1;  // real and whole; a choice is 0 to choices - 1
  bool log = false;
  std::int64_t choices = 0;
};
using Space = std::vector<Dimension>;
void check(
    const Space& space);  // Error(usage): empty, a range without extent or not finite, log of what is not above 0, fewer than two choices

// A value per dimension; a choice is its index. NaN: the dimension had no say there (its key did not apply), which tells nothing about it.
using Point = std::vector<double>;

struct Observation {
  Point at;
  double score = 0;  // more is better; -infinity: it failed, or it is still running
};

// Point `number` of a search, each dimension for itself, independent of all others.
Point random_point(const Space& space, std::uint64_t seed, std::uint64_t number);

// Tree-structured Parzen estimator (Bergstra, Bardenet, Bengio, Kegl: Algorithms for hyper-parameter optimization; NIPS 2011). The best
// share of the history makes a density l, the rest another, g; of `candidates` draws from l, in each dimension for itself, the one with the
// largest l/g is taken. A density is a mixture of truncated normals, one at each point, as wide as its farther neighbour is away, and of a
// prior, one over the whole range; choices are counted, each once more than it was seen.
struct TpeOptions {
  std::size_t startup = 10;  // observations before the first suggestion that is not random
  std::size_t candidates = 24;
  std::size_t most_good = 25;  // of n observations the best ceil(n / 10) are good, and at most so many
};
// Point `number`. The order of the history counts only among equal scores, of which the first are the better ones.
Point tpe_point(const Space& space, const std::vector<Observation>& history, std::uint64_t seed, std::uint64_t number,
                const TpeOptions& options = {});

}  // namespace graft
