#include "engine/train/search.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/core/error.h"
#include "kernels/core/philox.h"

namespace graft {
namespace {

constexpr std::uint64_t kRandomStream = 0x72616e64ull << 32, kTpeStream = 0x747065ull << 32;  // the dimension is added

double unit(std::uint64_t seed, std::uint64_t stream, std::uint64_t position, int which = 0) {
  const PhiloxWords w = philox(seed, stream, position);
  return which ? unit_double(w[2], w[3]) : unit_double(w[0], w[1]);
}
double normal_below(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

// A dimension stretched so that equal lengths are equally likely. A whole number is a cell of that line, from half below to half above it.
struct Line {
  const Dimension& d;
  double lo, hi;
  explicit Line(const Dimension& dimension) : d(dimension) {
    const double half = d.kind == Dimension::Kind::whole ? 0.5 : 0;
    lo = in(d.lo - half), hi = in(d.hi + half);
  }
  double in(double v) const { return d.log ? std::log(v) : v; }
  double out(double t) const {
    double v = d.log ? std::exp(t) : t;
    if (d.kind == Dimension::Kind::whole) v = std::round(v);
    return std::clamp(v, d.lo, d.hi);
  }
};

double random_value(const Dimension& d, double u) {
  if (d.kind == Dimension::Kind::choice)
    return std::min(std::floor(u * static_cast<double>(d.choices)), static_cast<double>(d.choices - 1));
  const Line line(d);
  return line.out(line.lo + (line.hi - line.lo) * u);
}

// ---- densities of one dimension -----------------------------------------------------------------

class Parzen {
 public:
  Parzen(const Line& line, std::vector<double> at) : line_(line) {
    const double range = line.hi - line.lo, narrow = range / std::min(100.0, 1.0 + static_cast<double>(at.size()));
    at.push_back((line.lo + line.hi) / 2);  // the prior
    std::vector<std::size_t> order(at.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return at[a] != at[b] ? at[a] < at[b] : a < b; });
    for (std::size_t k = 0; k < order.size(); ++k) {
      const double mean = at[order[k]];
      const double left = mean - (k ? at[order[k - 1]] : line.lo), right = (k + 1 < order.size() ? at[order[k + 1]] : line.hi) - mean;
      const bool prior = order[k] + 1 == at.size();
      parts_.push_back({mean, prior ? range : std::clamp(std::max(left, right), narrow, range)});
      parts_.back().below_lo = normal_below((line.lo - mean) / parts_.back().width);
      parts_.back().inside = normal_below((line.hi - mean) / parts_.back().width) - parts_.back().below_lo;
    }
  }
  double draw(double which, double u) const {
    const Part& p = parts_[std::min(parts_.size() - 1, static_cast<std::size_t>(which * static_cast<double>(parts_.size())))];
    double a = line_.lo, b = line_.hi;  // the inverse of its distribution by halving: no more than the precision of u is lost
    for (int i = 0; i < 60; ++i) {
      const double middle = (a + b) / 2;
      (normal_below((middle - p.mean) / p.width) - p.below_lo < u * p.inside ? a : b) = middle;
    }
    return line_.out(a);
  }
  // Of a real number the density, of a whole one its probability.
  double log_density(double v) const {
    double sum = 0;
    for (const Part& p : parts_) {
      if (line_.d.kind == Dimension::Kind::whole) {
        const double from = line_.in(v - 0.5), to = line_.in(v + 0.5);
        sum += (normal_below((to - p.mean) / p.width) - normal_below((from - p.mean) / p.width)) / p.inside;
      } else {
        const double z = (line_.in(v)-p.mean) / p.width;
        sum += std::exp(-z * z / 2) / (p.width * p.inside);
      }
    }
    return std::log(std::max(sum, 1e-300) / static_cast<double>(parts_.size()));
  }

 private:
  struct Part {
    double mean, width, below_lo = 0, inside = 1;
  };
  const Line& line_;
  std::vector<Part> parts_;
};

class Counts {
 public:
  Counts(const Dimension& d, const std::vector<double>& at) : share_(static_cast<std::size_t>(d.choices), 1.0) {
    for (const double v : at) share_[static_cast<std::size_t>(v)] += 1;
    for (double& s : share_) s /= static_cast<double>(at.size()) + static_cast<double>(d.choices);
  }
  double draw(double u) const {
    for (std::size_t i = 0; i + 1 < share_.size(); ++i)
      if ((u -= share_[i]) < 0) return static_cast<double>(i);
    return static_cast<double>(share_.size() - 1);
  }
  double log_density(double v) const { return std::log(share_[static_cast<std::size_t>(v)]); }

 private:
  std::vector<double> share_;
};

// The candidate with the largest l/g; of equals the first.
template <class Draw, class Gain>
double best_of(std::size_t candidates, Draw&& draw, Gain&& gain) {
  double best = 0, most = -std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < candidates; ++c) {
    const double v = draw(c), g = gain(v);
    if (c == 0 || g > most) best = v, most = g;
  }
  return best;
}

}  // namespace

void check(const Space& space) {
  if (space.empty()) throw Error(Code::usage, "search: there is nothing to search; name a key and its range");
  for (const Dimension& d : space) {
    if (d.kind == Dimension::Kind::choice) {
      if (d.choices < 2) throw Error(Code::usage, d.name + ": a choice needs at least two values");
      continue;
    }
    if (!std::isfinite(d.lo) || !std::isfinite(d.hi) || !(d.lo < d.hi))
      throw Error(Code::usage, d.name + ": a range goes from a smaller to a larger number");
    if (d.log && !(d.lo > 0)) throw Error(Code::usage, d.name + ": a logarithmic range begins above 0");
    if (d.kind == Dimension::Kind::whole &&
        (d.lo != std::floor(d.lo) || d.hi != std::floor(d.hi) || std::max(std::abs(d.lo), std::abs(d.hi)) > 1e15))
      throw Error(Code::usage, d.name + ": the ends of a range of whole numbers are whole, and at most 1e15");
  }
}

Point random_point(const Space& space, std::uint64_t seed, std::uint64_t number) {
  Point p;
  for (std::size_t i = 0; i < space.size(); ++i) p.push_back(random_value(space[i], unit(seed, kRandomStream + i, number)));
  return p;
}

Point tpe_point(const Space& space, const std::vector<Observation>& history, std::uint64_t seed, std::uint64_t number,
                const TpeOptions& options) {
  if (history.size() < options.startup) return random_point(space, seed, number);
  std::vector<std::size_t> order(history.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto score = [&](std::size_t i) {
    return std::isnan(history[i].score) ? -std::numeric_limits<double>::infinity() : history[i].score;
  };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score(a) > score(b); });
  const std::size_t good = std::min(options.most_good, (history.size() + 9) / 10);

  Point p;
  for (std::size_t i = 0; i < space.size(); ++i) {
    const Dimension& d = space[i];
    const Line line(d);
    std::vector<double> in_l, in_g;
    for (std::size_t k = 0; k < order.size(); ++k) {
      const double v = history[order[k]].at.at(i);
      if (!std::isnan(v)) (k < good ? in_l : in_g).push_back(d.kind == Dimension::Kind::choice ? v : line.in(v));
    }
    const auto at = [&](std::size_t c) { return number * options.candidates + c; };
    if (d.kind == Dimension::Kind::choice) {
      const Counts l(d, in_l), g(d, in_g);
      p.push_back(best_of(
          options.candidates, [&](std::size_t c) { return l.draw(unit(seed, kTpeStream + i, at(c))); },
          [&](double v) { return l.log_density(v) - g.log_density(v); }));
    } else {
      const Parzen l(line, in_l), g(line, in_g);
      p.push_back(best_of(
          options.candidates,
          [&](std::size_t c) { return l.draw(unit(seed, kTpeStream + i, at(c)), unit(seed, kTpeStream + i, at(c), 1)); },
          [&](double v) { return l.log_density(v) - g.log_density(v); }));
    }
  }
  return p;
}

}  // namespace graft
