#include "engine/data/lookalikes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "kernels/core/thread_pool.h"

namespace graft {
namespace {

constexpr std::size_t kBits = 64, kBands = 4, kBandBits = 16;
constexpr int kBandErrors = 2, kErrors = 16;  // bits of a band, of the hash, in which two that are compared may differ
constexpr std::int64_t kPartners = 64, kReferences = 32768;

// The coefficients that vary most over the set, and the middle value of each.
struct Cut {
  std::size_t value = 0;
  float at = 0;
};
std::array<Cut, kBits> cuts_of(std::span<const Look> looks, const std::vector<std::int64_t>& who) {
  const auto value = [&](std::int64_t i, std::size_t k) {
    return static_cast<float>(looks[static_cast<std::size_t>(i)].values[k]) * looks[static_cast<std::size_t>(i)].scale;
  };
  std::array<double, Look::kValues> sum{}, squares{};
  for (const std::int64_t i : who)
    for (std::size_t k = 0; k < Look::kValues; ++k) {
      const double v = static_cast<double>(value(i, k));
      sum[k] += v, squares[k] += v * v;
    }
  const auto n = static_cast<double>(who.size());
  const auto spread = [&](std::size_t k) { return squares[k] / n - sum[k] / n * (sum[k] / n); };
  std::vector<std::size_t> order(Look::kValues);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return spread(a) > spread(b); });
  std::array<Cut, kBits> cuts;
  std::vector<float> column(who.size());
  for (std::size_t b = 0; b < kBits; ++b) {
    for (std::size_t k = 0; k < who.size(); ++k) column[k] = value(who[k], order[b]);
    const auto middle = column.begin() + static_cast<std::ptrdiff_t>(column.size() / 2);
    std::nth_element(column.begin(), middle, column.end());
    cuts[b] = {order[b], *middle};
  }
  return cuts;
}
std::uint64_t hash_of(const Look& look, const std::array<Cut, kBits>& cuts) {
  std::uint64_t h = 0;
  for (std::size_t b = 0; b < kBits; ++b)  // neighbours go to different bands: each gets strong bits and weak ones
    h |= std::uint64_t{static_cast<float>(look.values[cuts[b].value]) * look.scale > cuts[b].at} << (b % kBands * kBandBits + b / kBands);
  return h;
}
std::size_t band_of(std::uint64_t hash, std::size_t band) { return hash >> (band * kBandBits) & 0xffff; }

// Who has which bits in a band: ids[start[key] .. start[key + 1]), rising.
struct Buckets {
  std::vector<std::int64_t> start, ids;
  Buckets(const std::vector<std::uint64_t>& hashes, std::size_t band) : start((1u << kBandBits) + 1), ids(hashes.size()) {
    for (const std::uint64_t h : hashes) ++start[band_of(h, band) + 1];
    std::partial_sum(start.begin(), start.end(), start.begin());
    std::vector<std::int64_t> next(start.begin(), start.end() - 1);
    for (std::size_t i = 0; i < hashes.size(); ++i)
      ids[static_cast<std::size_t>(next[band_of(hashes[i], band)]++)] = static_cast<std::int64_t>(i);
  }
};
// All patterns of at most kBandErrors of a band's bits, those with fewer first.
std::vector<std::size_t> patterns() {
  std::vector<std::size_t> all;
  for (std::size_t p = 0; p < 1u << kBandBits; ++p)
    if (std::popcount(p) <= kBandErrors) all.push_back(p);
  std::stable_sort(all.begin(), all.end(), [](std::size_t a, std::size_t b) { return std::popcount(a) < std::popcount(b); });
  return all;
}

}  // namespace

std::vector<Lookalike> find_lookalikes(std::span<const Look> looks, ThreadPool& pool) {
  std::vector<std::int64_t> who;
  for (std::size_t i = 0; i < looks.size(); ++i)
    if (looks[i].comparable()) who.push_back(static_cast<std::int64_t>(i));
  const auto n = static_cast<std::int64_t>(who.size());
  if (n < 2) return {};
  const auto look = [&](std::int64_t k) -> const Look& { return looks[static_cast<std::size_t>(who[static_cast<std::size_t>(k)])]; };
  const auto cuts = cuts_of(looks, who);
  std::vector<std::uint64_t> hashes;
  for (std::int64_t k = 0; k < n; ++k) hashes.push_back(hash_of(look(k), cuts));
  std::vector<Buckets> buckets;
  for (std::size_t b = 0; b < kBands; ++b) buckets.emplace_back(hashes, b);
  const std::vector<std::size_t> flips = patterns();

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
  std::vector<std::vector<Lookalike>> found(who.size());
  const auto search = [&](std::int64_t k) {
    auto& own = found[static_cast<std::size_t>(k)];
    const std::uint64_t hash = hashes[static_cast<std::size_t>(k)];
    for (std::size_t b = 0; b < kBands; ++b)
      for (const std::size_t flip : flips) {
        const std::size_t key = band_of(hash, b) ^ flip;
        for (std::int64_t at = buckets[b].start[key]; at < buckets[b].start[key + 1]; ++at) {
          const std::int64_t other = buckets[b].ids[static_cast<std::size_t>(at)];
          if (other >= k) break;
          const std::uint64_t apart = hash ^ hashes[static_cast<std::size_t>(other)];
          if (std::popcount(apart) > kErrors) continue;
          bool before = false;  // an earlier band has met it
          for (std::size_t e = 0; e < b; ++e) before = before || std::popcount(band_of(apart, e)) <= kBandErrors;
          if (before) continue;
          const float d = difference(look(k), look(other));
          if (d > kMost || (d > kSure && crowded(other, k, kApart * d))) continue;
          own.push_back({who[static_cast<std::size_t>(other)], who[static_cast<std::size_t>(k)], std::max(d, 0.0f)});
          if (static_cast<std::int64_t>(own.size()) == kPartners) return;
        }
      }
  };
  parallel_ranges(pool, n, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) search(k);
  });
  std::vector<Lookalike> all;
  for (auto& f : found) all.insert(all.end(), f.begin(), f.end());
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace graft
