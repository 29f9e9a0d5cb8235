#include "engine/train/input.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "engine/base/context.h"
#include "engine/train/augment_config.h"
#include "kernels/core/thread_pool.h"

namespace graft {

InputFormat input_format(const Config& c) {
  InputFormat f;
  f.height = f.width = c.get<std::int64_t>("data.size");
  const auto fit = c.get<std::string>("data.fit");
  f.fit = fit == "crop" ? InputFormat::Fit::crop : fit == "stretch" ? InputFormat::Fit::stretch : InputFormat::Fit::pad;
  f.bands = c.get<std::int64_t>("data.bands");
  const auto n = c.get<std::vector<double>>("data.normalize");
  const auto half = static_cast<std::ptrdiff_t>(n.size() / 2);
  if (half > 0) f.mean.assign(n.begin(), n.begin() + half), f.deviation.assign(n.begin() + half, n.end());
  return f;
}
LoaderOptions training_options(const Config& c) {
  return {c.get<std::int64_t>("train.batch"), input_format(c), static_cast<std::uint64_t>(c.get<std::int64_t>("train.seed")), true,
          augment_of(c)};
}
LoaderOptions judging_options(const Config& c) { return {c.get<std::int64_t>("train.eval_batch"), input_format(c), 0, false, {}}; }

int loader_workers(const Config& c, const Dataset& data) {
  const auto asked = c.get<std::int64_t>("data.workers");
  if (asked >= 0) return static_cast<int>(asked);
  // Pictures that lie in memory take less time than handing them over; a device leaves the host's cores free.
  if (data.source && data.source->block().defined() && !augment_of(c).any()) return 0;
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return current_queue().device().kind == DeviceKind::cpu ? 0 : std::min(8, cores);
}

std::vector<double> measured_normalize(const Dataset& data, const InputFormat& format, std::int64_t most) {
  const std::int64_t n = std::min(data.size(), most);
  InputFormat plain = format;
  plain.mean = {0}, plain.deviation = {1};
  struct Moments {
    std::vector<double> mean, m2;  // of each band: sum of squared distances from the mean
    double count = 0;
  };
  std::vector<Moments> parts(static_cast<std::size_t>(n));  // one per picture, joined in their order: the same for any number of threads
  parallel_ranges(current_queue().pool(), n, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i * data.size() / n;
      const Image image = formatted(data.image(row), plain, data.where(row));
      std::vector<float> values(static_cast<std::size_t>(image.numel()));
      normalize(image, plain, values.data());
      Moments& m = parts[static_cast<std::size_t>(i)];
      const std::int64_t pixels = image.height * image.width;
      m.count = static_cast<double>(pixels);
      for (std::int64_t b = 0; b < image.bands; ++b) {
        double sum = 0, squares = 0;
        for (std::int64_t p = b * pixels; p < (b + 1) * pixels; ++p) sum += values[static_cast<std::size_t>(p)];
        const double mean = sum / m.count;
        for (std::int64_t p = b * pixels; p < (b + 1) * pixels; ++p) {
          const double d = values[static_cast<std::size_t>(p)] - mean;
          squares += d * d;
        }
        m.mean.push_back(mean), m.m2.push_back(squares);
      }
    }
  });
  Moments all;
  for (std::int64_t i = 0; i < n; ++i) {
    const Moments& m = parts[static_cast<std::size_t>(i)];
    if (i == 0) {
      all = m;
      continue;
    }
    if (m.mean.size() != all.mean.size()) {
      const std::int64_t row = i * data.size() / n;
      throw Error(Code::input, data.where(row) + ": has " + std::to_string(m.mean.size()) + " bands but " + data.where(0) + " has " +
                                   std::to_string(all.mean.size()) + "; set data.bands to bring them to one");
    }
    for (std::size_t b = 0; b < m.mean.size(); ++b) {  // Chan, Golub and LeVeque 1979
      const double d = m.mean[b] - all.mean[b], total = all.count + m.count;
      all.mean[b] += d * m.count / total;
      all.m2[b] += m.m2[b] + d * d * all.count * m.count / total;
    }
    all.count += m.count;
  }
  std::vector<double> mean = all.mean, deviation;
  for (const double m2 : all.m2) deviation.push_back(m2 > 0 ? std::sqrt(m2 / all.count) : 1);  // a constant band stays at zero
  mean.insert(mean.end(), deviation.begin(), deviation.end());
  return mean;
}

}  // namespace graft
