#include "engine/data/split.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "engine/base/text.h"
#include "engine/data/dataset.h"
#include "kernels/core/error.h"

namespace graft {

std::vector<Share> parse_shares(const std::string& text) {
  const auto refuse = [&](const std::string& what) {
    return Error(Code::usage,
                 "--parts " + one_line(text) + ": " + what + "; it wants NAME=SHARE,... such as train=0.8,validation=0.1,test=0.1");
  };
  std::vector<Share> parts;
  double sum = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string one = text.substr(at, end - at);
    at = end + 1;
    const std::size_t equals = one.find('=');
    if (equals == std::string::npos) throw refuse("'" + one_line(one) + "' has no share");
    Share s{one.substr(0, equals), 0};
    if (s.name.empty() || s.name[0] == '.' || s.name.find('/') != std::string::npos || s.name.find('\0') != std::string::npos)
      throw refuse("'" + one_line(s.name) + "' is no name of a folder");
    if (std::any_of(parts.begin(), parts.end(), [&](const Share& p) { return p.name == s.name; }))
      throw refuse("'" + one_line(s.name) + "' comes twice");
    const auto [stop, ec] = std::from_chars(one.data() + equals + 1, one.data() + one.size(), s.share);
    if (ec != std::errc{} || stop != one.data() + one.size() || !(s.share > 0 && s.share <= 1))
      throw refuse("the share of '" + one_line(s.name) + "' must be above 0 and at most 1");
    sum += s.share;
    parts.push_back(std::move(s));
  }
  if (std::abs(sum - 1) > 1e-6)
    throw refuse("the shares sum to " + std::to_string(sum) + " and not to 1");  // thirds are written as 0.333333
  return parts;
}

std::vector<std::size_t> split_items(const std::vector<std::int64_t>& labels, const std::vector<std::int64_t>& groups,
                                     const std::vector<Share>& parts, std::uint64_t seed, bool stratify) {
  using Unit = std::vector<std::size_t>;  // items that go together
  std::map<std::int64_t, Unit> together;
  for (std::size_t i = 0; i < labels.size(); ++i) together[groups.empty() ? static_cast<std::int64_t>(i) : groups[i]].push_back(i);
  std::map<std::int64_t, std::vector<Unit>> strata;
  for (auto& [group, unit] : together) strata[stratify ? labels[unit[0]] : 0].push_back(std::move(unit));
  std::vector<std::size_t> part_of(labels.size());
  for (auto& [label, units] : strata) {
    std::size_t items = 0;
    for (const Unit& u : units) items += u.size();
    std::vector<std::size_t> order;
    for (const std::int64_t k :
         permutation(static_cast<std::int64_t>(units.size()), seed, 0x73706c6974ull + (static_cast<std::uint64_t>(label) << 40)))
      order.push_back(static_cast<std::size_t>(k));
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return units[a].size() > units[b].size(); });
    std::vector<double> lacks;
    for (const Share& p : parts) lacks.push_back(p.share * static_cast<double>(items));
    for (const std::size_t u : order) {
      const auto to = static_cast<std::size_t>(std::max_element(lacks.begin(), lacks.end()) - lacks.begin());
      lacks[to] -= static_cast<double>(units[u].size());
      for (const std::size_t i : units[u]) part_of[i] = to;
    }
  }
  return part_of;
}

}  // namespace graft
