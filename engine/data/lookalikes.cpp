#include "engine/data/lookalikes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "kernels/core/thread_pool.h"

namespace graft {
namespace {

constexpr std::size_t kAxes = 16;
constexpr std::int64_t kCandidates = 64, kReferences = 32768, kLeaf = 16;
using Point = std::array<float, kAxes>;

// The coefficients that vary most over the set.
std::array<std::size_t, kAxes> axes_of(std::span<const Look> looks, const std::vector<std::int64_t>& who) {
  std::array<double, Look::kValues> sum{}, squares{};
  for (const std::int64_t i : who) {
    const Look& l = looks[static_cast<std::size_t>(i)];
    for (std::size_t k = 0; k < Look::kValues; ++k) {
      const double v = static_cast<double>(l.values[k]) * l.scale;
      sum[k] += v, squares[k] += v * v;
    }
  }
  const auto n = static_cast<double>(who.size());
  const auto spread = [&](std::size_t k) { return squares[k] / n - sum[k] / n * (sum[k] / n); };
  std::vector<std::size_t> order(Look::kValues);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return spread(a) > spread(b); });
  std::array<std::size_t, kAxes> axes{};
  std::copy_n(order.begin(), kAxes, axes.begin());
  return axes;
}

// A k-d tree (Bentley 1975): each node halves its pictures at the median of the axis along which they spread most.
class Tree {
 public:
  explicit Tree(std::vector<Point> points) : points_(std::move(points)), order_(points_.size()) {
    std::iota(order_.begin(), order_.end(), 0);
    if (!order_.empty()) split(0, static_cast<std::int64_t>(order_.size()));
  }
  // f(i) for each point within `radius` of `at`, until it says false.
  template <class F>
  bool within(const Point& at, float radius, const F& f, std::size_t node = 0) const {
    const Node& n = nodes_[node];
    if (n.axis < 0) {
      for (std::int64_t k = n.begin; k < n.end; ++k) {
        const Point& p = points_[static_cast<std::size_t>(order_[static_cast<std::size_t>(k)])];
        float square = 0;
        for (std::size_t a = 0; a < kAxes; ++a) square += (p[a] - at[a]) * (p[a] - at[a]);
        if (square <= radius * radius && !f(order_[static_cast<std::size_t>(k)])) return false;
      }
      return true;
    }
    const float v = at[static_cast<std::size_t>(n.axis)];
    if (v - radius <= n.cut && !within(at, radius, f, n.low)) return false;
    return v + radius < n.cut || within(at, radius, f, n.high);
  }

 private:
  struct Node {
    std::int64_t begin = 0, end = 0;
    int axis = -1;  // -1: a leaf
    float cut = 0;  // low: at most this; high: at least this
    std::size_t low = 0, high = 0;
  };
  std::size_t split(std::int64_t begin, std::int64_t end) {
    const std::size_t own = nodes_.size();
    nodes_.push_back({begin, end});
    if (end - begin <= kLeaf) return own;
    Point least, most;
    least.fill(INFINITY), most.fill(-INFINITY);
    for (std::int64_t k = begin; k < end; ++k)
      for (std::size_t a = 0; a < kAxes; ++a) {
        const float v = points_[static_cast<std::size_t>(order_[static_cast<std::size_t>(k)])][a];
        least[a] = std::min(least[a], v), most[a] = std::max(most[a], v);
      }
    std::size_t axis = 0;
    for (std::size_t a = 1; a < kAxes; ++a)
      if (most[a] - least[a] > most[axis] - least[axis]) axis = a;
    if (!(most[axis] > least[axis])) return own;
    const std::int64_t middle = (begin + end) / 2;
    std::nth_element(order_.begin() + begin, order_.begin() + middle, order_.begin() + end, [&](std::int64_t i, std::int64_t j) {
      const float x = points_[static_cast<std::size_t>(i)][axis], y = points_[static_cast<std::size_t>(j)][axis];
      return x != y ? x < y : i < j;
    });
    const float cut = points_[static_cast<std::size_t>(order_[static_cast<std::size_t>(middle)])][axis];
    const std::size_t low = split(begin, middle), high = split(middle, end);
    nodes_[own] = {begin, end, static_cast<int>(axis), cut, low, high};
    return own;
  }
  std::vector<Point> points_;
  std::vector<std::int64_t> order_;
  std::vector<Node> nodes_;
};

}  // namespace

std::vector<Lookalike> find_lookalikes(std::span<const Look> looks, ThreadPool& pool) {
  std::vector<std::int64_t> who;
  for (std::size_t i = 0; i < looks.size(); ++i)
    if (looks[i].comparable()) who.push_back(static_cast<std::int64_t>(i));
  const auto n = static_cast<std::int64_t>(who.size());
  if (n < 2) return {};
  const auto look = [&](std::int64_t k) -> const Look& { return looks[static_cast<std::size_t>(who[static_cast<std::size_t>(k)])]; };
  const auto axes = axes_of(looks, who);
  std::vector<Point> points(who.size());
  for (std::int64_t k = 0; k < n; ++k)
    for (std::size_t a = 0; a < kAxes; ++a) points[static_cast<std::size_t>(k)][a] = static_cast<float>(look(k).values[axes[a]]) * look(k).scale;
  const Tree tree(points);

  // The crowd about a and b, counted until it is one.
  const std::int64_t step = std::max<std::int64_t>(1, n / kReferences);
  const auto crowded = [&](std::int64_t a, std::int64_t b, float within) {
    for (const std::int64_t centre : {a, b}) {
      int count = 0;
      for (std::int64_t k = 0; k < n; k += step)
        if (k != a && k != b && difference(look(centre), look(k)) < within && ++count >= kCrowd) return true;
    }
    return false;
  };
  // Difference d is a distance of sqrt(2 d) between vectors of length 1; a little more for the rounding of f32.
  const float radius = std::sqrt(2 * kMost) + 1e-4f;
  std::vector<std::vector<Lookalike>> found(who.size());
  parallel_ranges(pool, n, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      std::int64_t candidates = 0;
      tree.within(points[static_cast<std::size_t>(k)], radius, [&](std::int64_t other) {
        if (other >= k) return true;
        const float d = difference(look(k), look(other));
        if (d > kMost) return true;
        if (d <= kSure || !crowded(other, k, kApart * d)) found[static_cast<std::size_t>(k)].push_back({who[static_cast<std::size_t>(other)], who[static_cast<std::size_t>(k)], std::max(d, 0.0f)});
        return ++candidates < kCandidates;
      });
    }
  });
  std::vector<Lookalike> all;
  for (auto& f : found) all.insert(all.end(), f.begin(), f.end());
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace graft
