// Which part of a data set each of its items goes to: train, validation, test.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace graft {

struct Share {
  std::string name;
  double share = 0;
};
// "train=0.8,validation=0.1,test=0.1". Error(usage): no name, one with a slash, one twice or beginning with a dot, a share that is not
// above 0, a sum that is not 1.
std::vector<Share> parse_shares(const std::string& text);

// For each item the index of its part: a function of (labels, groups, seed) alone. Items are shuffled; each goes where most is missing to
// the share, so that no part is a whole item off. Items of one group (the same number in `groups`; empty: each alone) go together, the
// largest groups first, and a part may be off by less than a group. With `stratify` this holds within each label (a group has its first
// item's).
std::vector<std::size_t> split_items(const std::vector<std::int64_t>& labels, const std::vector<std::int64_t>& groups,
                                     const std::vector<Share>& parts, std::uint64_t seed, bool stratify);

}  // namespace graft
