#include "engine/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>

#include "kernels/core/philox.h"

namespace graft {

std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::uint64_t stream) {
  std::vector<std::int64_t> p(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) p[static_cast<std::size_t>(i)] = i;
  for (std::int64_t i = n - 1; i > 0; --i) {
    const auto w = philox(seed, stream, static_cast<std::uint64_t>(i));
    const std::uint64_t x = std::uint64_t{w[0]} << 32 | w[1];
    const auto j =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(static_cast<unsigned __int128>(x) * static_cast<std::uint64_t>(i + 1) >> 64));
    std::swap(p[static_cast<std::size_t>(i)], p[static_cast<std::size_t>(j)]);
  }
  return p;
}

Dataset make_dataset(std::string name, LabelledImages images) {
  Dataset d;
  d.name = std::move(name);
  d.classes = static_cast<std::int64_t>(images.class_names.size());
  const auto n = static_cast<std::int64_t>(images.labels.size());
  if (n != images.source->size())
    throw Error(Code::bug, d.name + ": " + std::to_string(n) + " labels for " + std::to_string(images.source->size()) + " pictures");
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t l = images.labels[static_cast<std::size_t>(i)];
    if (l < 0 || l >= d.classes)
      throw Error(Code::input, images.source->where(i) + ": label " + std::to_string(l) + " is not one of the " +
                                   std::to_string(d.classes) + " classes, 0 to " + std::to_string(d.classes - 1));
  }
  d.rows.resize(static_cast<std::size_t>(n));
  std::iota(d.rows.begin(), d.rows.end(), 0);
  d.labels = Tensor::empty({n}, DType::i64, Device{});
  std::copy(images.labels.begin(), images.labels.end(), d.labels.data<std::int64_t>());
  d.source = std::move(images.source);
  d.class_names = std::move(images.class_names);
  return d;
}

Tensor images_of(const Dataset& d) {
  const auto n = d.size();
  if (n == 0) return {};
  const Image first = d.image(0);
  if (first.depth == Image::Depth::u16) throw Error(Code::usage, d.where(0) + ": has 16 bits; a block of bytes would cut them");
  const Shape shape{n, first.bands, first.height, first.width};
  const Tensor all = Tensor::empty(shape, first.depth == Image::Depth::u8 ? DType::u8 : DType::f32, Device{});
  for (std::int64_t i = 0; i < n; ++i) {
    const Image image = d.image(i);
    if (image.height != first.height || image.width != first.width || image.bands != first.bands || image.depth != first.depth)
      throw Error(Code::usage, d.where(i) + ": differs in size, bands or depth from " + d.where(0));
    with_depth(image.depth, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (!std::is_same_v<T, std::uint16_t>) {
        T* to = all.data<T>() + i * image.numel();
        const std::int64_t pixels = image.height * image.width;
        for (std::int64_t p = 0; p < pixels; ++p)
          for (std::int64_t b = 0; b < image.bands; ++b) to[b * pixels + p] = image.data<T>()[p * image.bands + b];
      }
    });
  }
  return all;
}

Dataset subset(const Dataset& d, const std::vector<std::int64_t>& indices) {
  Dataset s = d;
  const auto n = static_cast<std::int64_t>(indices.size());
  s.rows.resize(indices.size());
  s.labels = Tensor::empty({n}, DType::i64, Device{});
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t k = indices[static_cast<std::size_t>(i)];
    if (k < 0 || k >= d.size()) throw Error(Code::usage, d.name + ": no image " + std::to_string(k) + " among " + std::to_string(d.size()));
    s.rows[static_cast<std::size_t>(i)] = d.rows[static_cast<std::size_t>(k)];
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
      throw Error(Code::usage, d.name + ": class " + std::to_string(c) + " has " + std::to_string(have[static_cast<std::size_t>(c)]) +
                                   " images; data.per_class=" + std::to_string(k) + " wants more");
  std::sort(chosen.begin(), chosen.end());
  return subset(d, chosen);
}
Dataset fraction_of(const Dataset& d, double fraction, std::uint64_t seed) {
  if (!(fraction > 0 && fraction <= 1))
    throw Error(Code::usage, d.name + ": a fraction is " + std::to_string(fraction) + " but must be above 0 and at most 1");
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
      throw Error(Code::usage, d.name + ": data.classes names " + std::to_string(labels[i]) + " but there are classes 0 to " +
                                   std::to_string(d.classes - 1));
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

}  // namespace graft
