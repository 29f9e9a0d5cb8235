// Labelled images in memory, where they come from, and how they are cut into batches. Everything random is a function of (seed, epoch, index).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/data/augment.h"
#include "engine/tensor/tensor.h"

namespace graft {

struct Dataset {
  std::string name;
  Tensor images;  // u8 [n, c, h, w]
  Tensor labels;  // i64 [n]
  std::int64_t classes = 0;
  std::vector<std::string> class_names;
  std::int64_t size() const { return images.defined() ? images.size(0) : 0; }
};

// MNIST's IDX files, plain or gzip, in `folder`; train-images-idx3-ubyte and so on (a dot in place of the first dash of "-idx" is accepted).
// Throws Error(input) naming the file, what was found and what was wanted: missing, damaged, truncated, surplus bytes, counts that differ.
Dataset load_mnist(const std::string& folder, bool train);
// One IDX file of unsigned bytes: its sizes and its bytes.
struct Idx {
  std::vector<std::int64_t> sizes;
  std::vector<std::uint8_t> bytes;
};
Idx read_idx(const std::string& path);

// Drawn glyphs, 28 x 28, one of `kind` "digits" (10 classes) or "letters" (26): strokes of varying width under a random affine map and a smooth
// bending, with blur and noise. Image i is a function of (kind, seed, i); labels go round the classes.
Dataset draw_glyphs(const std::string& kind, std::int64_t count, std::uint64_t seed);

Dataset subset(const Dataset& d, const std::vector<std::int64_t>& indices);
Dataset take_first(const Dataset& d, std::int64_t count);
// The first k images of each class in an order drawn from `seed`. Throws Error(usage) when a class has fewer.
Dataset per_class(const Dataset& d, std::int64_t k, std::uint64_t seed);
// The first round(fraction n) images of each class of n, at least one, in an order drawn from `seed`: smaller fractions lie in larger ones. In that order.
// Error(usage) unless 0 < fraction <= 1.
Dataset fraction_of(const Dataset& d, double fraction, std::uint64_t seed);
// Only these labels, renumbered in the order given.
Dataset only_classes(const Dataset& d, const std::vector<std::int64_t>& labels);

struct Batch {
  Tensor images;  // f32 [b, c, h, w], (pixel / 255 - mean) / deviation
  Tensor labels;  // i64 [b]
  Batch to(Device d) const { return {images.to(d), labels.to(d)}; }
};
class Loader {
 public:
  // The dataset stays alive as long as the loader.
  Loader(const Dataset& data, std::int64_t batch, double mean, double deviation, std::uint64_t seed, bool shuffle, const Augment& augment = {});
  std::int64_t batches() const { return (data_.size() + batch_ - 1) / batch_; }
  // Batch i of an epoch, on the CPU; the last one may be smaller. Any order of calls gives the same batches.
  Batch get(std::int64_t epoch, std::int64_t i) const;
  // The same into memory of the caller, images and labels dense.
  void fill(std::int64_t epoch, std::int64_t i, float* images, std::int64_t* labels) const;
  // Which image of the dataset stands at place k of batch i of an epoch.
  std::int64_t image_at(std::int64_t epoch, std::int64_t i, std::int64_t k) const;
  std::int64_t images_in(std::int64_t i) const;  // Error(usage) when there is no batch i
  Shape image_shape() const { return {data_.images.size(1), data_.images.size(2), data_.images.size(3)}; }  // [c, h, w]

 private:
  void order_for(std::int64_t epoch) const;
  const Dataset& data_;
  std::int64_t batch_;
  double mean_, deviation_;
  std::uint64_t seed_;
  bool shuffle_;
  Augment augment_;
  mutable std::int64_t order_epoch_ = -1;
  mutable std::vector<std::int64_t> order_;
};
// A permutation of n by Fisher-Yates, a function of (seed, stream).
std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::uint64_t stream);

}  // namespace graft
