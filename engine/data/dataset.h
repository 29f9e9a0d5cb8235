// Labelled pictures, wherever they lie, and how they become batches. Everything random is a function of (seed, epoch, index).
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/data/augment.h"
#include "engine/data/format.h"
#include "engine/data/source.h"
#include "engine/tensor/tensor.h"

namespace graft {

class ThreadPool;

// A selection of a source's pictures, with a class each. Copies are cheap: the pictures are not copied.
struct Dataset {
  std::string name;
  std::shared_ptr<const ImageSource> source;
  std::vector<std::int64_t> rows;  // picture i of this set is picture rows[i] of the source
  Tensor labels;                   // i64 [n], on the CPU
  std::int64_t classes = 0;
  std::vector<std::string> class_names;
  std::int64_t size() const { return static_cast<std::int64_t>(rows.size()); }
  Image image(std::int64_t i) const { return source->read(rows.at(static_cast<std::size_t>(i))); }
  std::string where(std::int64_t i) const { return source->where(rows.at(static_cast<std::size_t>(i))); }
};
// All pictures of a source, in its order.
Dataset make_dataset(std::string name, LabelledImages images);
// The pictures as they are, u8 or f32 [n, bands, height, width] on the CPU. Error(usage) where they differ in size or have 16 bits: for
// small sets.
Tensor images_of(const Dataset& d);

// MNIST's IDX files, plain or gzip, in `folder`; train-images-idx3-ubyte and so on (a dot in place of the first dash of "-idx" is
// accepted). Throws Error(input) naming the file, what was found and what was wanted: missing, damaged, truncated, surplus bytes, counts
// that differ.
Dataset load_mnist(const std::string& folder, bool train);
void want_mnist(const std::string& folder, bool train);  // Error(usage or input) where a file of the part is not there; reads none
// One IDX file of unsigned bytes: its sizes and its bytes.
struct Idx {
  std::vector<std::int64_t> sizes;
  std::vector<std::uint8_t> bytes;
};
Idx read_idx(const std::string& path);

// Drawn glyphs, 28 x 28, one of `kind` "digits" (10 classes) or "letters" (26): strokes of varying width under a random affine map and a
// smooth bending, with blur and noise. Image i is a function of (kind, seed, i); labels go round the classes.
Dataset draw_glyphs(const std::string& kind, std::int64_t count, std::uint64_t seed);

Dataset subset(const Dataset& d, const std::vector<std::int64_t>& indices);
Dataset take_first(const Dataset& d, std::int64_t count);
// The first k images of each class in an order drawn from `seed`. Throws Error(usage) when a class has fewer.
Dataset per_class(const Dataset& d, std::int64_t k, std::uint64_t seed);
// The first round(fraction n) images of each class of n, at least one, in an order drawn from `seed`: smaller fractions lie in larger ones.
// In that order. Error(usage) unless 0 < fraction <= 1.
Dataset fraction_of(const Dataset& d, double fraction, std::uint64_t seed);
// Only these labels, renumbered in the order given.
Dataset only_classes(const Dataset& d, const std::vector<std::int64_t>& labels);

struct Batch {
  Tensor images;                     // f32 [b, c, h, w]
  Tensor labels;                     // i64 [b]
  Tensor partners = {}, share = {};  // where images are mixed: i64 [b], the label of what was mixed in, and f32 [1], how much of each image
                                     // is its own; else undefined
  Batch to(Device d) const {
    return {images.to(d), labels.to(d), partners.defined() ? partners.to(d) : Tensor{}, share.defined() ? share.to(d) : Tensor{}};
  }
};
struct LoaderOptions {
  std::int64_t batch = 64;
  InputFormat format;
  std::uint64_t seed = 0;
  bool shuffle = false;
  Augment augment;
};
class Loader {
 public:
  // The dataset stays alive as long as the loader. Reads the first picture, for its size and bands.
  Loader(const Dataset& data, const LoaderOptions& options);
  std::int64_t batches() const { return (data_.size() + o_.batch - 1) / o_.batch; }
  // Batch i of an epoch, on the CPU; the last one may be smaller. Any order of calls, from any threads, gives the same batches.
  Batch get(std::int64_t epoch, std::int64_t i) const;
  // The same, made by the pool's threads, or by the calling thread alone (nullptr).
  Batch get(std::int64_t epoch, std::int64_t i, ThreadPool* pool) const;
  // Which image of the dataset stands at place k of batch i of an epoch.
  std::int64_t image_at(std::int64_t epoch, std::int64_t i, std::int64_t k) const;
  std::int64_t images_in(std::int64_t i) const;  // Error(usage) when there is no batch i
  Shape image_shape() const { return shape_; }   // [c, h, w] of a batch's images
  bool mixes() const { return o_.augment.mixup > 0 || o_.augment.cutmix > 0; }

 private:
  using Order = std::shared_ptr<const std::vector<std::int64_t>>;
  Order order_of(std::int64_t epoch) const;
  void one(std::int64_t row, std::int64_t epoch, float* out) const;
  const Dataset& data_;
  LoaderOptions o_;
  Shape shape_;
  std::vector<float> table_;  // [c, 256]: what a byte becomes
  Tensor block_;              // of a source in memory whose pictures go into a batch as they are; else undefined
  mutable std::mutex mutex_;
  mutable std::int64_t order_epoch_ = -1;
  mutable Order order_;
};
// A permutation of n by Fisher-Yates, a function of (seed, stream).
std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::uint64_t stream);

}  // namespace graft
