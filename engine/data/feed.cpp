#include "engine/data/feed.h"

#include <cstring>
#include <optional>
#include <vector>

#include "kernels/core/device.h"

namespace graft {

struct Feed::Slot {
  Slot(Device d, const Shape& images_shape, std::int64_t count, bool mixes)
      : images(Tensor::empty(images_shape, DType::f32, d)),
        labels(Tensor::empty({count}, DType::i64, d)),
        mixed(mixes),
        pinned(d, static_cast<std::size_t>(images.bytes() + (mixes ? 2 : 1) * labels.bytes()) + 256),
        copied(d),
        used(d) {
    if (!mixes) return;
    partners = Tensor::empty({count}, DType::i64, d);
    share = Tensor::empty({1}, DType::f32, d);
  }
  Tensor images, labels, partners, share;
  bool mixed;
  PinnedBuffer pinned;  // labels, partners, share, images
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

Feed::Feed(const Loader& loader, Queue& q, int workers, std::int64_t end) : loader_(loader), q_(q) {
  if (workers > 0 && loader.batches() > 0) workers_ = std::make_unique<Prefetch>(loader, workers, end);
  if (q.device().kind == DeviceKind::cpu || loader.batches() == 0) return;
  lanes_ = std::make_unique<Lanes>(q.device());
  const std::int64_t most = loader.images_in(0);
  const Shape one = loader.image_shape();
  for (auto& s : lanes_->slots) s.emplace(q.device(), Shape{most, one[0], one[1], one[2]}, most, loader.mixes());
}
Feed::~Feed() {
  if (!lanes_) return;
  try {
    q_.synchronize();       // the buffers may still be read
  } catch (const Error&) {  // said where the work was waited for
  }
}

void Feed::begin(std::int64_t epoch, std::int64_t i) {
  Slot& s = *lanes_->slots[1 - lanes_->present];
  s.pinned.wait();
  const Batch batch = made(epoch, i);
  s.epoch = epoch;
  s.batch = i;
  s.count = batch.labels.numel();
  s.used.hold(lanes_->stream.handle());  // the queue's work on the batch before the present one
  std::byte* p = s.pinned.bytes();       // not to be touched any more once a copy of it has begun
  struct Piece {
    const Tensor& from;
    const Tensor& to;
    std::size_t at;
  };
  std::vector<Piece> pieces;
  std::size_t at = 0;
  const auto stage = [&](const Tensor& from, const Tensor& to) {
    std::memcpy(p + at, from.raw(), static_cast<std::size_t>(from.bytes()));
    pieces.push_back({from, to, at});
    at += static_cast<std::size_t>(from.bytes() + 63) / 64 * 64;
  };
  stage(batch.labels, s.labels);
  if (s.mixed) stage(batch.partners, s.partners), stage(batch.share, s.share);
  stage(batch.images, s.images);
  for (const Piece& x : pieces) {
    s.pinned.upload(x.to.storage()->data, x.at, static_cast<std::size_t>(x.from.bytes()), lanes_->stream);
    x.to.written();
  }
  s.copied.record(lanes_->stream.handle());
  lanes_->begun = true;
}
void Feed::prefetch(std::int64_t epoch, std::int64_t i) {
  if (lanes_ && !lanes_->begun) begin(epoch, i);
}
Batch Feed::get(std::int64_t epoch, std::int64_t i) {
  if (!lanes_) return made(epoch, i);
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
  return {s.images.alias(shape, dense_strides(shape), 0), s.labels.alias({s.count}, {1}, 0),
          s.mixed ? s.partners.alias({s.count}, {1}, 0) : Tensor{}, s.share};
}

}  // namespace graft
