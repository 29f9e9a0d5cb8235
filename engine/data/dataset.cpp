#include "engine/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/base/context.h"
#include "kernels/core/philox.h"

namespace graft {

std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::uint64_t stream) {
  std::vector<std::int64_t> p(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) p[static_cast<std::size_t>(i)] = i;
  for (std::int64_t i = n - 1; i > 0; --i) {
    const auto w = philox(seed, stream, static_cast<std::uint64_t>(i));
    const std::uint64_t x = std::uint64_t{w[0]} << 32 | w[1];
    const auto j = static_cast<std::int64_t>(static_cast<std::uint64_t>(static_cast<unsigned __int128>(x) * static_cast<std::uint64_t>(i + 1) >> 64));
    std::swap(p[static_cast<std::size_t>(i)], p[static_cast<std::size_t>(j)]);
  }
  return p;
}

Dataset subset(const Dataset& d, const std::vector<std::int64_t>& indices) {
  Dataset s = d;
  const auto n = static_cast<std::int64_t>(indices.size()), pixels = d.images.size(1) * d.images.size(2) * d.images.size(3);
  s.images = Tensor::empty({n, d.images.size(1), d.images.size(2), d.images.size(3)}, DType::u8, Device{});
  s.labels = Tensor::empty({n}, DType::i64, Device{});
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t k = indices[static_cast<std::size_t>(i)];
    if (k < 0 || k >= d.size()) throw Error(Code::usage, d.name + ": no image " + std::to_string(k) + " among " + std::to_string(d.size()));
    std::memcpy(s.images.data<std::uint8_t>() + i * pixels, d.images.data<std::uint8_t>() + k * pixels, static_cast<std::size_t>(pixels));
    s.labels.data<std::int64_t>()[i] = d.labels.data<std::int64_t>()[k];
  }
  return s;
}
Dataset take_first(const Dataset& d, std::int64_t count) {
  if (count > d.size()) throw Error(Code::usage, d.name + " has " + std::to_string(d.size()) + " images, not " + std::to_string(count));
  std::vector<std::int64_t> all(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) all[static_cast<std::size_t>(i)] = i;
  return subset(d, all);
}
Dataset per_class(const Dataset& d, std::int64_t k, std::uint64_t seed) {
  std::vector<std::int64_t> chosen, have(static_cast<std::size_t>(d.classes), 0);
  for (const std::int64_t i : permutation(d.size(), seed, 0x7065725f636c6173ull)) {
    auto& n = have[static_cast<std::size_t>(d.labels.data<std::int64_t>()[i])];
    if (n < k) {
      ++n;
      chosen.push_back(i);
    }
  }
  for (std::int64_t c = 0; c < d.classes; ++c)
    if (have[static_cast<std::size_t>(c)] < k)
      throw Error(Code::usage, d.name + ": class " + std::to_string(c) + " has " + std::to_string(have[static_cast<std::size_t>(c)]) + " images; data.per_class=" +
                                   std::to_string(k) + " wants more");
  std::sort(chosen.begin(), chosen.end());
  return subset(d, chosen);
}
Dataset fraction_of(const Dataset& d, double fraction, std::uint64_t seed) {
  if (!(fraction > 0 && fraction <= 1)) throw Error(Code::usage, d.name + ": a fraction is " + std::to_string(fraction) + " but must be above 0 and at most 1");
  std::vector<std::int64_t> quota(static_cast<std::size_t>(d.classes), 0), chosen;
  const std::int64_t* labels = d.labels.data<std::int64_t>();
  for (std::int64_t i = 0; i < d.size(); ++i) ++quota[static_cast<std::size_t>(labels[i])];
  for (std::int64_t& q : quota)
    if (q > 0) q = std::max<std::int64_t>(1, std::llround(fraction * static_cast<double>(q)));
  for (const std::int64_t i : permutation(d.size(), seed, 0x6672616374696f6eull))
    if (quota[static_cast<std::size_t>(labels[i])]-- > 0) chosen.push_back(i);
  return subset(d, chosen);
}
Dataset only_classes(const Dataset& d, const std::vector<std::int64_t>& labels) {
  std::vector<std::int64_t> number(static_cast<std::size_t>(d.classes), -1), kept;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= d.classes)
      throw Error(Code::usage, d.name + ": data.classes names " + std::to_string(labels[i]) + " but there are classes 0 to " + std::to_string(d.classes - 1));
    number[static_cast<std::size_t>(labels[i])] = static_cast<std::int64_t>(i);
    names.push_back(d.class_names[static_cast<std::size_t>(labels[i])]);
  }
  for (std::int64_t i = 0; i < d.size(); ++i)
    if (number[static_cast<std::size_t>(d.labels.data<std::int64_t>()[i])] >= 0) kept.push_back(i);
  Dataset s = subset(d, kept);
  for (std::int64_t i = 0; i < s.size(); ++i) {
    auto& l = s.labels.data<std::int64_t>()[i];
    l = number[static_cast<std::size_t>(l)];
  }
  s.classes = static_cast<std::int64_t>(labels.size());
  s.class_names = names;
  return s;
}

Loader::Loader(const Dataset& data, std::int64_t batch, double mean, double deviation, std::uint64_t seed, bool shuffle, const Augment& augment)
    : data_(data), batch_(batch), mean_(mean), deviation_(deviation), seed_(seed), shuffle_(shuffle), augment_(augment) {
  if (batch < 1) throw Error(Code::usage, "loader: batch is " + std::to_string(batch) + " but must be at least 1");
  if (!(deviation > 0)) throw Error(Code::usage, "loader: the deviation of data.normalize must be above 0");
}

std::int64_t Loader::images_in(std::int64_t i) const {
  const std::int64_t count = std::min(batch_, data_.size() - i * batch_);
  if (i < 0 || count <= 0) throw Error(Code::usage, "loader: no batch " + std::to_string(i) + " among " + std::to_string(batches()));
  return count;
}
Batch Loader::get(std::int64_t epoch, std::int64_t i) const {
  const Shape one = image_shape();
  const std::int64_t count = images_in(i);
  Batch b{Tensor::empty({count, one[0], one[1], one[2]}, DType::f32, Device{}), Tensor::empty({count}, DType::i64, Device{})};
  fill(epoch, i, b.images.data<float>(), b.labels.data<std::int64_t>());
  return b;
}
void Loader::order_for(std::int64_t epoch) const {
  if (!shuffle_ || order_epoch_ == epoch) return;
  order_ = permutation(data_.size(), seed_, 0x73687566666c65ull + static_cast<std::uint64_t>(epoch) * 2);
  order_epoch_ = epoch;
}
std::int64_t Loader::image_at(std::int64_t epoch, std::int64_t i, std::int64_t k) const {
  order_for(epoch);
  return shuffle_ ? order_.at(static_cast<std::size_t>(i * batch_ + k)) : i * batch_ + k;
}
void Loader::fill(std::int64_t epoch, std::int64_t i, float* out, std::int64_t* targets) const {
  order_for(epoch);
  const std::int64_t first = i * batch_, count = images_in(i);
  const std::int64_t c = data_.images.size(1), h = data_.images.size(2), w = data_.images.size(3), pixels = c * h * w;
  const std::uint8_t* images = data_.images.data<std::uint8_t>();
  const std::int64_t* labels = data_.labels.data<std::int64_t>();
  float table[256];
  for (int v = 0; v < 256; ++v) table[v] = static_cast<float>((v / 255.0 - mean_) / deviation_);
  parallel_ranges(current_queue().pool(), count, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      const std::int64_t at = shuffle_ ? order_[static_cast<std::size_t>(first + k)] : first + k;
      const std::uint8_t* image = images + at * pixels;
      float* to = out + k * pixels;
      targets[k] = labels[at];
      if (!augment_.any()) {
        for (std::int64_t p = 0; p < pixels; ++p) to[p] = table[image[p]];
        continue;
      }
      // where each pixel comes from: the inverse map around the centre, bilinear, paper (0) outside
      const auto r = philox(seed_, 0x617567ull + static_cast<std::uint64_t>(epoch) * 2 + 1, static_cast<std::uint64_t>(at));
      const auto spread = [&](std::size_t n) { return 2 * static_cast<double>(unit_float(r[n])) - 1; };
      const double angle = spread(0) * augment_.rotate * 3.14159265358979 / 180, size = 1 + spread(1) * augment_.scale;
      const double dx = std::round(spread(2) * static_cast<double>(augment_.shift)), dy = std::round(spread(3) * static_cast<double>(augment_.shift));
      const double cs = std::cos(angle) / size, sn = std::sin(angle) / size, cx = static_cast<double>(w - 1) / 2, cy = static_cast<double>(h - 1) / 2;
      for (std::int64_t ch = 0; ch < c; ++ch)
        for (std::int64_t y = 0; y < h; ++y)
          for (std::int64_t x = 0; x < w; ++x) {
            const double ux = static_cast<double>(x) - cx - dx, uy = static_cast<double>(y) - cy - dy;
            const double sx = cs * ux + sn * uy + cx, sy = -sn * ux + cs * uy + cy;
            const double fx = std::floor(sx), fy = std::floor(sy), ax = sx - fx, ay = sy - fy;
            const auto value = [&](double px, double py) {
              if (px < 0 || py < 0 || px >= static_cast<double>(w) || py >= static_cast<double>(h)) return 0.0;
              return static_cast<double>(image[ch * h * w + static_cast<std::int64_t>(py) * w + static_cast<std::int64_t>(px)]);
            };
            const double v = (1 - ay) * ((1 - ax) * value(fx, fy) + ax * value(fx + 1, fy)) + ay * ((1 - ax) * value(fx, fy + 1) + ax * value(fx + 1, fy + 1));
            to[ch * h * w + y * w + x] = static_cast<float>((v / 255.0 - mean_) / deviation_);
          }
    }
  });
}

}  // namespace graft
