// mixup and cutmix: one draw per batch; the partner is a picture at a drawn distance round the batch, so that nobody is his own.
#include <algorithm>
#include <cmath>
#include <string>

#include "engine/data/augment.h"
#include "engine/data/draws.h"
#include "kernels/core/error.h"

namespace graft {

std::optional<Mix> draw_mix(const Augment& a, std::uint64_t seed, std::uint64_t epoch, std::int64_t batch, std::int64_t count,
                            std::int64_t h, std::int64_t w) {
  if (!(a.mixup > 0) && !(a.cutmix > 0)) return std::nullopt;
  if (batch < 0 || count < 1 || h < 1 || w < 1)
    throw Error(Code::usage, "mix: batch " + std::to_string(batch) + " of " + std::to_string(count) + " pictures of " + std::to_string(h) +
                                 " x " + std::to_string(w) + "; the batch must be 0 or more, the others at least 1");
  Draws r{seed, 0x6d69786261746368ull + epoch, static_cast<std::uint64_t>(batch), std::uint64_t{1} << 40};
  Mix m;
  const double which = r.next(), turn = r.next(), x = r.next(), y = r.next();
  m.cutmix = a.cutmix > 0 && (!(a.mixup > 0) || which < 0.5);
  const std::int64_t distance = count > 1 ? 1 + std::min(static_cast<std::int64_t>(turn * static_cast<double>(count - 1)), count - 2) : 0;
  for (std::int64_t k = 0; k < count; ++k) m.partner.push_back((k + distance) % count);
  m.share = draw_beta(m.cutmix ? a.cutmix : a.mixup, r);
  if (m.cutmix) {  // the paper's box: a middle anywhere, sides by the root of the share, cut at the edge; the share is then what it really
                   // is
    const double half = 0.5 * std::sqrt(1 - m.share);
    const auto half_w = static_cast<std::int64_t>(half * static_cast<double>(w)),
               half_h = static_cast<std::int64_t>(half * static_cast<double>(h));
    const auto cx = static_cast<std::int64_t>(x * static_cast<double>(w)), cy = static_cast<std::int64_t>(y * static_cast<double>(h));
    m.x0 = std::max<std::int64_t>(cx - half_w, 0), m.x1 = std::min(cx + half_w, w);
    m.y0 = std::max<std::int64_t>(cy - half_h, 0), m.y1 = std::min(cy + half_h, h);
    m.share = 1 - static_cast<double>((m.x1 - m.x0) * (m.y1 - m.y0)) / static_cast<double>(w * h);
  }
  return m;
}

void apply_mix(float* images, std::int64_t c, std::int64_t h, std::int64_t w, const Mix& m) {
  const auto count = static_cast<std::int64_t>(m.partner.size());
  const bool partners = std::all_of(m.partner.begin(), m.partner.end(), [&](std::int64_t p) { return p >= 0 && p < count; });
  if (!partners || (m.cutmix && !(m.x0 >= 0 && m.y0 >= 0 && m.x0 <= m.x1 && m.y0 <= m.y1 && m.x1 <= w && m.y1 <= h)))
    throw Error(Code::usage, "mix: made for other pictures than " + std::to_string(count) + " of " + std::to_string(h) + " x " +
                                 std::to_string(w) + "; draw it with the batch's own sizes");
  const std::int64_t plane = h * w, pixels = c * plane;
  const std::vector<float> before(images, images + count * pixels);  // a partner may have been mixed already
  const float own = static_cast<float>(m.share), other = static_cast<float>(1 - m.share);
  for (std::int64_t k = 0; k < count; ++k) {
    float* to = images + k * pixels;
    const float* from = before.data() + m.partner[static_cast<std::size_t>(k)] * pixels;
    if (!m.cutmix) {
      for (std::int64_t i = 0; i < pixels; ++i) to[i] = own * to[i] + other * from[i];
      continue;
    }
    for (std::int64_t ch = 0; ch < c; ++ch)
      for (std::int64_t y = m.y0; y < m.y1; ++y)
        std::copy(from + ch * plane + y * w + m.x0, from + ch * plane + y * w + m.x1, to + ch * plane + y * w + m.x0);
  }
}

}  // namespace graft
