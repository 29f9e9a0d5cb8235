#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <unordered_map>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "engine/train/preflight_step.h"

namespace graft {
namespace {

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, share < 0.0995 ? "%.1f %%" : "%.0f %%", 100 * share);
  return text;
}
// "3, 5, 7 and 4 more"
std::string some(const std::vector<std::int64_t>& all) {
  constexpr std::size_t kMost = 5;
  std::string s;
  for (std::size_t i = 0; i < std::min(all.size(), kMost); ++i) s += (i ? ", " : "") + std::to_string(all[i]);
  return all.size() > kMost ? s + " and " + std::to_string(all.size() - kMost) + " more" : s;
}

// Returns whether every label is one that the loss takes.
bool check_labels(const Rig& rig, std::vector<Finding>& out) {
  const auto c = static_cast<std::size_t>(rig.classes);
  std::vector<std::int64_t> train(c, 0), judge(c, 0);
  std::int64_t outside = 0, lowest = 0, highest = rig.classes - 1;
  for (const auto* set : {&rig.train, &rig.validation})
    for (const std::int64_t l : set->labels) {
      lowest = std::min(lowest, l), highest = std::max(highest, l);
      if (l < 0 || l >= rig.classes) ++outside;
      else ++(set == &rig.train ? train : judge)[static_cast<std::size_t>(l)];
    }
  std::vector<std::int64_t> never, unseen;
  std::int64_t fewest = rig.train.size(), most = 0;
  for (std::size_t k = 0; k < c; ++k) {
    if (train[k] == 0) (judge[k] > 0 ? unseen : never).push_back(static_cast<std::int64_t>(k));
    else fewest = std::min(fewest, train[k]);
    most = std::max(most, train[k]);
  }
  if (outside > 0) {
    const bool from_one = highest == rig.classes && lowest == 0 && train[0] == 0 && judge[0] == 0;
    out.push_back({Level::fail, "labels",
                   std::to_string(outside) + " labels are outside 0 to " + std::to_string(rig.classes - 1) + " (" +
                       std::to_string(lowest < 0 ? lowest : highest) + ")" +
                       (from_one ? ", and 0 never comes: the labels count from 1; subtract 1" : "; correct them, or raise model.classes")});
    return false;
  }
  if (most == rig.train.size() && rig.classes > 1) {
    out.push_back({Level::fail, "labels", "all training images have one label; there is nothing to learn: look at the labels' source"});
    return true;
  }
  if (!unseen.empty())
    out.push_back({Level::fail, "labels",
                   "class " + some(unseen) +
                       " is judged but has no training image; split so that each class is on both sides, or drop it with data.classes"});
  if (!never.empty())
    out.push_back(
        {Level::warn, "labels",
         "no image of class " + some(never) + ", of " + std::to_string(rig.classes) + "; look at model.classes and the labels' numbering"});
  if (unseen.empty() && never.empty())
    out.push_back(
        {Level::ok, "labels",
         std::to_string(rig.classes) + " classes, " + std::to_string(fewest) + " to " + std::to_string(most) + " training images each"});
  return true;
}

// Of the first batches of a set: sums over all pixels and over each band.
struct Pixels {
  std::int64_t images = 0, count = 0, bad = 0, same = 0;
  double mean = 0, deviation = 0, low = INFINITY, high = -INFINITY;
  std::vector<std::int64_t> constant_bands;
};
std::string_view bytes_of(const Batch& b, std::int64_t k) {
  const std::int64_t n = b.images.numel() / b.images.size(0);
  return {reinterpret_cast<const char*>(b.images.data<float>() + k * n), static_cast<std::size_t>(n) * sizeof(float)};
}
Pixels look_at(const Samples& set, std::int64_t batches) {
  Pixels p;
  double sum = 0, squares = 0, shift = 0;
  std::vector<std::pair<float, float>> bands;
  std::string first;
  for (std::int64_t i = 0; i < std::min(batches, set.batches); ++i) {
    const Batch b = set.batch(i);
    const std::int64_t n = b.images.size(0), c = b.images.size(1), plane = n && c ? b.images.numel() / n / c : 0;
    if (bands.empty()) bands.assign(static_cast<std::size_t>(c), {INFINITY, -INFINITY});
    const float* x = b.images.data<float>();
    if (i == 0 && n > 0)
      first = bytes_of(b, 0), shift = std::isfinite(x[0]) ? x[0] : 0;  // a large offset would eat the digits of the squares
    for (std::int64_t k = 0; k < n; ++k) {
      p.same += bytes_of(b, k) == first;
      for (std::int64_t ch = 0; ch < c; ++ch)
        for (std::int64_t q = 0; q < plane; ++q) {
          const double v = *x++;
          if (!std::isfinite(v)) {
            ++p.bad;
            continue;
          }
          sum += v - shift, squares += (v - shift) * (v - shift);
          auto& [low, high] = bands[static_cast<std::size_t>(ch)];
          low = std::min(low, static_cast<float>(v)), high = std::max(high, static_cast<float>(v));
          ++p.count;
        }
    }
    p.images += n;
  }
  for (std::size_t ch = 0; ch < bands.size(); ++ch) {
    p.low = std::min(p.low, static_cast<double>(bands[ch].first)), p.high = std::max(p.high, static_cast<double>(bands[ch].second));
    if (bands[ch].first == bands[ch].second) p.constant_bands.push_back(static_cast<std::int64_t>(ch));
  }
  const double m = p.count ? sum / static_cast<double>(p.count) : 0;
  p.mean = m + shift;
  p.deviation = p.count ? std::sqrt(std::max(0.0, squares / static_cast<double>(p.count) - m * m)) : 0;
  return p;
}

// Layers are drawn for inputs of mean 0 and deviation 1 (He et al. 2015, eq. 5-10): what is k times as large makes activations k times and
// gradients of the first layer k^2 times as large, so that a learning rate would have to be k^2 times smaller. Ten either way is where a
// usual rate (1e-3) leaves what trains at all.
constexpr double kScale = 10;

void check_inputs(const Rig& rig, DataVerdict& v, std::vector<Finding>& out) {
  const Pixels p = look_at(rig.train, 8);
  v.mean = p.mean, v.deviation = p.deviation;
  if (p.bad > 0) {
    out.push_back({Level::fail, "inputs",
                   std::to_string(p.bad) + " values of " + std::to_string(p.images) +
                       " images are not finite; repair them or leave those images out"});
    v.usable = false;
  } else if (p.images > 1 && (p.same == p.images || p.low == p.high)) {
    out.push_back({Level::fail, "inputs",
                   "all images are the same" + std::string(p.low == p.high ? " constant " + decimals(p.low) : "") +
                       "; look at how they are read: the path, the bands, the bit depth"});
    v.usable = false;
  } else if (!p.constant_bands.empty()) {
    out.push_back(
        {Level::warn, "inputs",
         "band " + some(p.constant_bands) + " is constant in all images: it tells nothing; look at how bands are read, or leave it out"});
  } else if (std::abs(p.mean) > kScale || p.deviation > kScale || p.deviation < 1 / kScale) {
    const bool raw = p.low >= 0 && p.high > 1.5 && p.high <= 255;
    out.push_back(
        {Level::warn, "inputs",
         "not normalised: mean " + decimals(p.mean) + ", deviation " + decimals(p.deviation) +
             (raw ? ", from " + decimals(p.low) + " to " + decimals(p.high) + ": these are bytes that were not divided by 255" : "") +
             "; layers are drawn for 0 and 1: set data.normalize"});
    v.scaled = false;
  } else {
    out.push_back({Level::ok, "inputs",
                   "mean " + decimals(p.mean) + ", deviation " + decimals(p.deviation) + " over " + std::to_string(p.images) + " images"});
  }
}

// Equal images on both sides, by the hash of their values. Sets that are larger than `values` pixels are sampled.
void check_overlap(const Rig& rig, double values, std::vector<Finding>& out) {
  if (rig.validation.batches == 0 || rig.train.batches == 0) return;
  std::unordered_map<std::size_t, bool> seen;  // hash: was it met in training
  std::int64_t judged = 0, compared = 0, met = 0;
  double left = values / 4;
  for (std::int64_t i = 0; i < rig.validation.batches && left > 0; ++i) {
    const Batch b = rig.validation.batch(i);
    for (std::int64_t k = 0; k < b.images.size(0); ++k) seen.try_emplace(std::hash<std::string_view>{}(bytes_of(b, k)), false);
    judged += b.images.size(0);
    left -= static_cast<double>(b.images.numel());
  }
  left = values;
  for (std::int64_t i = 0; i < rig.train.batches && left > 0; ++i) {
    const Batch b = rig.train.batch(i);
    for (std::int64_t k = 0; k < b.images.size(0); ++k)
      if (const auto it = seen.find(std::hash<std::string_view>{}(bytes_of(b, k))); it != seen.end() && !it->second)
        it->second = true, ++met;
    compared += b.images.size(0);
    left -= static_cast<double>(b.images.numel());
  }
  const std::string of = std::to_string(judged) + " judged images" +
                         (compared < rig.train.size() ? ", compared with a sample of " + std::to_string(compared) + "," : "");
  if (met == 0) {
    out.push_back({Level::ok, "overlap", "none of " + of + " is among the training images"});
    return;
  }
  // A share s that is known by heart raises the accuracy by up to s. It is a lie once that is more than the accuracy's own standard error,
  // at most 0.5 / sqrt(n).
  const double found = static_cast<double>(met) / static_cast<double>(judged),
               share = found * static_cast<double>(rig.train.size()) / static_cast<double>(compared);
  const bool matters = share > 0.5 / std::sqrt(static_cast<double>(rig.validation.size()));
  out.push_back({matters ? Level::fail : Level::warn, "overlap",
                 std::to_string(met) + " (" + percent(found) + ") of " + of +
                     " are also training images: the split leaks, the accuracy will be too good; take them out of one side"});
}

// The first `count` images shrunk to at most 16 x 16, mean removed: [n, features], and their labels.
struct Small {
  std::vector<float> x;
  std::vector<std::int64_t> labels;
  std::int64_t width = 0;
  std::int64_t rows() const { return static_cast<std::int64_t>(labels.size()); }
};
Small shrunk(const Samples& set, std::int64_t count) {
  Small s;
  for (std::int64_t i = 0; i < set.batches && s.rows() < count; ++i) {
    const Batch b = set.batch(i);
    const std::int64_t n = std::min(b.images.size(0), count - s.rows()), c = b.images.size(1), h = b.images.size(2), w = b.images.size(3);
    const std::int64_t gh = std::min<std::int64_t>(h, 16), gw = std::min<std::int64_t>(w, 16);
    s.width = c * gh * gw;
    for (std::int64_t k = 0; k < n; ++k) {
      const float* x = b.images.data<float>() + k * c * h * w;
      for (std::int64_t at = 0; at < s.width; ++at) {
        const std::int64_t ch = at / (gh * gw), y = at / gw % gh, z = at % gw;
        double sum = 0;
        const std::int64_t y0 = y * h / gh, y1 = (y + 1) * h / gh, z0 = z * w / gw, z1 = (z + 1) * w / gw;
        for (std::int64_t r = y0; r < y1; ++r)
          for (std::int64_t q = z0; q < z1; ++q) sum += x[(ch * h + r) * w + q];
        s.x.push_back(static_cast<float>(sum / static_cast<double>((y1 - y0) * (z1 - z0))));
      }
      s.labels.push_back(b.labels.data<std::int64_t>()[k]);
    }
  }
  return s;
}

// Each held-out image gets the label of its nearest neighbour among the others. Where labels belong to images that agrees with its own more
// than chance would.
void check_signal(const Rig& rig, bool full, DataVerdict& v, std::vector<Finding>& out) {
  const Small s = shrunk(rig.train, full ? 3072 : 1536);
  const std::int64_t asked = s.rows() / 3, known = s.rows() - asked;
  std::vector<std::int64_t> guess, truth(s.labels.begin() + known, s.labels.end());
  guess.assign(static_cast<std::size_t>(asked), 0);
  parallel_ranges(current_queue().pool(), asked, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float* a = s.x.data() + (known + i) * s.width;
      float nearest = INFINITY;
      for (std::int64_t k = 0; k < known; ++k) {
        const float* b = s.x.data() + k * s.width;
        float d[8] = {};
        std::int64_t p = 0;
        for (; p + 8 <= s.width; p += 8)
          for (int q = 0; q < 8; ++q) d[q] += (a[p + q] - b[p + q]) * (a[p + q] - b[p + q]);
        for (; p < s.width; ++p) d[0] += (a[p] - b[p]) * (a[p] - b[p]);
        const float sum = ((d[0] + d[1]) + (d[2] + d[3])) + ((d[4] + d[5]) + (d[6] + d[7]));
        if (sum < nearest) nearest = sum, guess[static_cast<std::size_t>(i)] = s.labels[static_cast<std::size_t>(k)];
      }
    }
  });
  const Agreement a = agreement(guess, truth);
  v.signal = a.seen() || !a.telling();
  const std::string what = "nearest neighbours share a label " + std::to_string(a.hits) + " times of " + std::to_string(a.samples) +
                           ", chance " + decimals(a.expected);
  if (!a.telling()) out.push_back({Level::ok, "signal", "too few images to tell whether labels belong to images"});
  else if (a.seen()) out.push_back({Level::ok, "signal", what});
  // In a full preflight the model is asked too, before anybody is accused: neighbours among pixels are blind to much.
  else if (!full)
    out.push_back(
        {Level::warn, "signal",
         what +
             ": the labels look shuffled against the images, or pixels say little; look at some pairs, and run graft train --preflight"});
}

}  // namespace

bool Agreement::telling() const { return samples > 0 && expected > kSeen * deviation && deviation > 0; }

Agreement agreement(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  if (a.size() != b.size())
    throw Error(Code::usage, "agreement: " + std::to_string(a.size()) + " labels against " + std::to_string(b.size()));
  Agreement g;
  g.samples = static_cast<std::int64_t>(a.size());
  std::map<std::int64_t, std::pair<double, double>> margins;
  for (std::size_t i = 0; i < a.size(); ++i) {
    g.hits += a[i] == b[i];
    ++margins[a[i]].first;
    ++margins[b[i]].second;
  }
  if (g.samples < 2) return g;
  // sum_k n_k m_k / n, and its variance over permutations: (sum n_k m_k (n - n_k)(n - m_k) + sum_{k != l} n_k m_k n_l m_l) / (n^2 (n - 1))
  const double n = static_cast<double>(g.samples);
  double total = 0, own = 0, squares = 0;
  for (const auto& [k, m] : margins) {
    const double product = m.first * m.second;
    total += product, squares += product * product;
    own += product * (n - m.first) * (n - m.second);
  }
  g.expected = total / n;
  g.deviation = std::sqrt(std::max(0.0, (own + total * total - squares) / (n * n * (n - 1))));
  g.deviations = g.deviation > 0 ? (static_cast<double>(g.hits) - g.expected) / g.deviation : 0;
  return g;
}

DataVerdict check_data(const Rig& rig, bool full, std::vector<Finding>& out) {
  DataVerdict v;
  if (rig.train.batches == 0) {
    out.push_back({Level::fail, "labels", "there is no training image; look at data.classes and data.train_count"});
    v.usable = false;
    return v;
  }
  v.usable = check_labels(rig, out);
  check_inputs(rig, v, out);
  if (!v.usable) return v;
  check_overlap(rig, full ? 1 << 28 : 1 << 24, out);
  check_signal(rig, full, v, out);
  return v;
}

}  // namespace graft
