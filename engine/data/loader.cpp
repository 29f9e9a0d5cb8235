// From a set's pictures to batches. A picture of 8 bits that lies in memory and is taken as it is goes through a table; every other one is
// read, augmented, brought to the model's format and normalised, one by one.
#include <cmath>

#include "engine/base/context.h"
#include "engine/data/dataset.h"
#include "engine/data/format.h"
#include "kernels/core/thread_pool.h"

namespace graft {

Loader::Loader(const Dataset& data, const LoaderOptions& options) : data_(data), o_(options) {
  if (o_.batch < 1) throw Error(Code::usage, "loader: batch is " + std::to_string(o_.batch) + " but must be at least 1");
  InputFormat& f = o_.format;
  o_.augment.check();
  o_.augment.height = f.height, o_.augment.width = f.width;
  for (const double d : f.deviation)
    if (!(d > 0)) throw Error(Code::usage, "loader: the deviation of data.normalize must be above 0");
  if (data.size() == 0) {
    shape_ = Shape{std::max<std::int64_t>(1, f.bands), f.height, f.width};
    return;
  }
  const Image first = formatted(data.image(0), f, data.where(0));
  shape_ = Shape{first.bands, first.height, first.width};
  check_normalize(f, first.bands, data.where(0));
  if (const Tensor block = data.source->block();
      block.defined() && !o_.augment.any() && block.size(1) == first.bands && block.size(2) == first.height && block.size(3) == first.width)
    block_ = block;
  for (std::int64_t b = 0; b < first.bands; ++b)
    for (int v = 0; v < 256; ++v) table_.push_back(static_cast<float>((v / 255.0 - f.mean_of(b)) / f.deviation_of(b)));
}

std::int64_t Loader::images_in(std::int64_t i) const {
  const std::int64_t count = std::min(o_.batch, data_.size() - i * o_.batch);
  if (i < 0 || count <= 0) throw Error(Code::usage, "loader: no batch " + std::to_string(i) + " among " + std::to_string(batches()));
  return count;
}

Loader::Order Loader::order_of(std::int64_t epoch) const {
  if (!o_.shuffle) return nullptr;
  const std::lock_guard lock(mutex_);
  if (order_epoch_ != epoch) {
    order_ = std::make_shared<const std::vector<std::int64_t>>(
        permutation(data_.size(), o_.seed, 0x73687566666c65ull + static_cast<std::uint64_t>(epoch) * 2));
    order_epoch_ = epoch;
  }
  return order_;
}
std::int64_t Loader::image_at(std::int64_t epoch, std::int64_t i, std::int64_t k) const {
  const Order order = order_of(epoch);
  return order ? order->at(static_cast<std::size_t>(i * o_.batch + k)) : i * o_.batch + k;
}

// The picture at `row` of the set, as it enters the model: [c, h, w].
void Loader::one(std::int64_t row, std::int64_t epoch, float* out) const {
  const std::int64_t bands = shape_[0], pixels = shape_[1] * shape_[2];
  if (block_.defined()) {
    const std::int64_t at = data_.rows[static_cast<std::size_t>(row)] * bands * pixels;
    for (std::int64_t b = 0; b < bands; ++b) {
      const float* table = table_.data() + b * 256;
      const auto mean = static_cast<float>(o_.format.mean_of(b)), scale = static_cast<float>(1 / o_.format.deviation_of(b));
      if (block_.dtype() == DType::u8)
        for (std::int64_t p = b * pixels; p < (b + 1) * pixels; ++p) out[p] = table[block_.data<std::uint8_t>()[at + p]];
      else
        for (std::int64_t p = b * pixels; p < (b + 1) * pixels; ++p) out[p] = (block_.data<float>()[at + p] - mean) * scale;
    }
    return;
  }
  Sample sample{data_.image(row), {}, {}};
  if (o_.augment.any()) {  // in the model's size and bands already, except that a random part is brought to the size by augment()
    InputFormat before = o_.format;
    if (!o_.augment.area.empty()) before.height = before.width = 0;
    sample.image = formatted(std::move(sample.image), before, data_.where(row));
    augment(sample, o_.augment, o_.seed, static_cast<std::uint64_t>(epoch), row);
  }
  const Image image = formatted(std::move(sample.image), o_.format, data_.where(row));
  if (image.bands != bands || image.height != shape_[1] || image.width != shape_[2])
    throw Error(Code::input, data_.where(row) + ": has " + size_text(image) + " but " + data_.where(0) + " has " +
                                 std::to_string(shape_[1]) + " x " + std::to_string(shape_[2]) + " x " + std::to_string(bands) +
                                 "; set data.size" + (image.bands == bands ? "" : " and data.bands") + " to bring them to one");
  normalize(image, o_.format, out);
}

Batch Loader::get(std::int64_t epoch, std::int64_t i) const { return get(epoch, i, &current_queue().pool()); }
Batch Loader::get(std::int64_t epoch, std::int64_t i, ThreadPool* pool) const {
  const Order order = order_of(epoch);
  const std::int64_t first = i * o_.batch, count = images_in(i);
  Batch b{
      Tensor::empty({count, shape_[0], shape_[1], shape_[2]}, DType::f32, Device{}), Tensor::empty({count}, DType::i64, Device{}), {}, {}};
  b.images.set_name("a batch's images");
  float* images = b.images.data<float>();
  std::int64_t* labels = b.labels.data<std::int64_t>();
  const auto range = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      const std::int64_t row = order ? (*order)[static_cast<std::size_t>(first + k)] : first + k;
      labels[k] = data_.labels.data<std::int64_t>()[row];
      one(row, epoch, images + k * shape_.numel());
    }
  };
  if (pool) parallel_ranges(*pool, count, block_.defined() ? 8 : 1, range);
  else range(0, count);
  if (const auto mix = draw_mix(o_.augment, o_.seed, static_cast<std::uint64_t>(epoch), i, count, shape_[1], shape_[2])) {
    apply_mix(images, shape_[0], shape_[1], shape_[2], *mix);
    b.partners = Tensor::empty({count}, DType::i64, Device{});
    for (std::int64_t k = 0; k < count; ++k) b.partners.data<std::int64_t>()[k] = labels[mix->partner[static_cast<std::size_t>(k)]];
    b.share = Tensor::empty({1}, DType::f32, Device{});
    b.share.data<float>()[0] = static_cast<float>(mix->share);
  }
  return b;
}

}  // namespace graft
