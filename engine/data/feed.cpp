#include "engine/data/feed.h"

#include <optional>

#include "kernels/core/device.h"

namespace graft {

struct Feed::Slot {
  Slot(Device d, const Shape& images_shape, std::int64_t count)
      : images(Tensor::empty(images_shape, DType::f32, d)), labels(Tensor::empty({count}, DType::i64, d)),
        label_bytes(static_cast<std::size_t>(labels.bytes())), pinned(d, static_cast<std::size_t>(images.bytes()) + label_bytes), copied(d), used(d) {}
  Tensor images, labels;
  std::size_t label_bytes;
  PinnedBuffer pinned;  // labels, then images
  Event copied, used;
  std::int64_t epoch = -1, batch = -1, count = 0;
};
struct Feed::Lanes {
  explicit Lanes(Device d) : stream(d) {}
  Stream stream;
  std::optional<Slot> slots[2];
  int present = 0;     // whose batch was given out last
  bool given = false;  // some batch was
  bool begun = false;  // the other slot's batch is under way
};

Feed::Feed(const Loader& loader, Queue& q) : loader_(loader), q_(q) {
  if (q.device().kind == DeviceKind::cpu || loader.batches() == 0) return;
  lanes_ = std::make_unique<Lanes>(q.device());
  const std::int64_t most = loader.images_in(0);
  const Shape one = loader.image_shape();
  for (auto& s : lanes_->slots) s.emplace(q.device(), Shape{most, one[0], one[1], one[2]}, most);
}
Feed::~Feed() {
  if (!lanes_) return;
  try {
    q_.synchronize();  // the buffers may still be read
  } catch (const Error&) {  // said where the work was waited for
  }
}

void Feed::begin(std::int64_t epoch, std::int64_t i) {
  Slot& s = *lanes_->slots[1 - lanes_->present];
  s.pinned.wait();
  std::byte* p = s.pinned.bytes();
  loader_.fill(epoch, i, reinterpret_cast<float*>(p + s.label_bytes), reinterpret_cast<std::int64_t*>(p));
  s.epoch = epoch;
  s.batch = i;
  s.count = loader_.images_in(i);
  s.used.hold(lanes_->stream.handle());  // the queue's work on the batch before the present one
  const auto labels = static_cast<std::size_t>(s.count) * sizeof(std::int64_t);
  s.pinned.upload(s.labels.storage()->data, 0, labels, lanes_->stream);
  const auto images = static_cast<std::size_t>(s.count * loader_.image_shape().numel()) * sizeof(float);
  s.pinned.upload(s.images.storage()->data, s.label_bytes, images, lanes_->stream);
  s.copied.record(lanes_->stream.handle());
  s.images.written();
  s.labels.written();
  lanes_->begun = true;
}
void Feed::prefetch(std::int64_t epoch, std::int64_t i) {
  if (lanes_ && !lanes_->begun) begin(epoch, i);
}
Batch Feed::get(std::int64_t epoch, std::int64_t i) {
  if (!lanes_) return loader_.get(epoch, i);
  Lanes& l = *lanes_;
  if (l.given) l.slots[l.present]->used.record(q_.stream());
  if (const Slot& next = *l.slots[1 - l.present]; !l.begun || next.epoch != epoch || next.batch != i) begin(epoch, i);
  l.present = 1 - l.present;
  l.given = true;
  l.begun = false;
  Slot& s = *l.slots[l.present];
  s.copied.hold(q_.stream());
  const Shape one = loader_.image_shape();
  const Shape shape{s.count, one[0], one[1], one[2]};
  return {s.images.alias(shape, dense_strides(shape), 0), s.labels.alias({s.count}, {1}, 0)};
}

}  // namespace graft
