#include "engine/data/audit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <numeric>
#include <set>

#include "engine/base/context.h"
#include "engine/base/text.h"
#include "engine/data/lookalikes.h"
#include "kernels/core/thread_pool.h"

namespace graft {
namespace {

// What is kept of a picture.
struct Facts {
  AuditPlace place;
  std::int64_t label = 0, height = 0, width = 0, bands = 0, strange = 0;  // strange: values that are not finite
  Digest digest;
  Image::Depth depth = Image::Depth::u8;
  bool constant = false;
};
struct Read {
  std::vector<Facts> facts;  // of the readable ones, in their order
  std::vector<Look> looks;
  std::vector<AuditCase> unreadable;
};

void look_at(const Image& image, Facts& f, Look& look) {
  f.height = image.height, f.width = image.width, f.bands = image.bands, f.depth = image.depth;
  f.digest = content_digest(image);
  f.constant = image.height * image.width > 1;
  with_depth(image.depth, [&](auto zero) {
    using T = decltype(zero);
    const T* at = image.data<T>();
    const std::int64_t n = image.numel();
    for (std::int64_t i = image.bands; i < n && f.constant; ++i) f.constant = at[i] == at[i % image.bands];
    if constexpr (std::is_floating_point_v<T>)
      for (std::int64_t i = 0; i < n; ++i) f.strange += !std::isfinite(at[i]);
  });
  if (!f.constant && !f.strange) look = look_of(image);
}

Read read_all(const std::vector<AuditPart>& parts, const SharedClasses& classes, const AuditProgress& progress) {
  Read all;
  std::int64_t total = 0, done = 0;
  for (const AuditPart& p : parts) total += p.data.size();
  constexpr std::int64_t kChunk = 256;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const Dataset& d = parts[p].data;
    for (std::int64_t at = 0; at < d.size(); at += kChunk) {
      if (progress) progress(done, total);
      const std::int64_t count = std::min(kChunk, d.size() - at);
      std::vector<Facts> facts(static_cast<std::size_t>(count));
      std::vector<Look> looks(facts.size());
      std::vector<std::string> problems(facts.size());
      parallel_ranges(current_queue().pool(), count, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t k = begin; k < end; ++k) {
          const auto i = static_cast<std::size_t>(k);
          facts[i].place = {static_cast<std::int64_t>(p), at + k};
          facts[i].label = classes.labels[p][static_cast<std::size_t>(at + k)];
          try {
            look_at(d.image(at + k), facts[i], looks[i]);
          } catch (const Error& e) {
            if (e.code() == Code::bug) throw;
            problems[i] = one_line(e.what());
          }
        }
      });
      for (std::size_t i = 0; i < facts.size(); ++i) {
        if (problems[i].empty()) all.facts.push_back(facts[i]), all.looks.push_back(looks[i]);
        else all.unreadable.push_back({problems[i], {facts[i].place}});
      }
      done += count;
    }
  }
  if (progress) progress(done, total);
  return all;
}

void add(AuditReport& r, const char* kind, std::string title, std::string advice, std::vector<AuditCase> cases) {
  if (!cases.empty()) r.findings.push_back({kind, std::move(title), std::move(advice), std::move(cases)});
}

class Groups {  // disjoint sets; the smallest member stands for each
 public:
  explicit Groups(std::size_t n) : up_(n) { std::iota(up_.begin(), up_.end(), std::size_t{0}); }
  std::size_t of(std::size_t i) {
    while (up_[i] != i) i = up_[i] = up_[up_[i]];
    return i;
  }
  void join(std::size_t a, std::size_t b) {
    a = of(a), b = of(b);
    up_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<std::size_t> up_;
};

using Members = std::vector<std::size_t>;
AuditCase case_of(const Read& all, const Members& members, std::string text) {
  AuditCase c{std::move(text), {}};
  for (const std::size_t m : members) c.places.push_back(all.facts[m].place);
  return c;
}
bool across(const Read& all, const Members& members) {
  return std::any_of(members.begin(), members.end(),
                     [&](std::size_t m) { return all.facts[m].place.part != all.facts[members[0]].place.part; });
}
std::string labels_text(const Read& all, const Members& members, const std::vector<std::string>& names) {
  std::set<std::int64_t> labels;
  for (const std::size_t m : members) labels.insert(all.facts[m].label);
  if (labels.size() < 2) return {};
  std::string text;
  for (const std::int64_t l : labels) text += (text.empty() ? "" : ", ") + one_line(names[static_cast<std::size_t>(l)]);
  return text;
}

struct Doubles {
  std::map<std::size_t, Members> same;  // by the first of each content
  Groups groups;                        // joins first ones that are nearly the same
  std::map<std::size_t, float> most;    // of each group of several: the largest difference that it was joined by
};
Doubles doubles_of(Read& all) {
  const std::size_t n = all.facts.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return std::pair(all.facts[a].digest, a) < std::pair(all.facts[b].digest, b); });
  Doubles d{{}, Groups(n), {}};
  for (std::size_t i = 0; i < n;) {
    Members members;
    for (const Digest& d = all.facts[order[i]].digest; i < n && all.facts[order[i]].digest == d; ++i) members.push_back(order[i]);
    for (std::size_t k = 1; k < members.size(); ++k) all.looks[members[k]].scale = 0;  // the first one is compared for all
    const std::size_t first = members[0];
    d.same.emplace(first, std::move(members));
  }
  const auto pairs = find_lookalikes(all.looks, current_queue().pool());
  for (const Lookalike& l : pairs) d.groups.join(static_cast<std::size_t>(l.a), static_cast<std::size_t>(l.b));
  for (const Lookalike& l : pairs) {
    float& m = d.most[d.groups.of(static_cast<std::size_t>(l.a))];
    m = std::max(m, l.difference);
  }
  return d;
}

void find_doubles(AuditReport& r, Read& all) {
  auto [same, groups, most] = doubles_of(all);
  std::map<std::size_t, Members> near;
  for (const auto& [first, members] : same)
    if (most.contains(groups.of(first))) near[groups.of(first)].insert(near[groups.of(first)].end(), members.begin(), members.end());

  std::vector<AuditCase> exact_across, exact_within, near_across, near_within, conflicts;
  for (const auto& [first, members] : same) {
    if (members.size() < 2) continue;
    const std::string text = std::to_string(members.size()) + " pictures";
    (across(all, members) ? exact_across : exact_within).push_back(case_of(all, members, text));
    if (!most.contains(groups.of(first)))
      if (const std::string labels = labels_text(all, members, r.classes); !labels.empty())
        conflicts.push_back(case_of(all, members, labels));
  }
  for (auto& [first, members] : near) {
    std::sort(members.begin(), members.end());
    char text[64];
    std::snprintf(text, sizeof text, "%zu pictures, difference up to %.4f", members.size(), static_cast<double>(most[first]));
    (across(all, members) ? near_across : near_within).push_back(case_of(all, members, text));
    if (const std::string labels = labels_text(all, members, r.classes); !labels.empty())
      conflicts.push_back(case_of(all, members, labels));
  }
  std::sort(conflicts.begin(), conflicts.end(), [](const AuditCase& a, const AuditCase& b) { return a.places < b.places; });
  add(r, "duplicate_across", "the same picture in two parts",
      "what is judged on was learnt: remove it from one of them, or split anew with graft data split --group-duplicates",
      std::move(exact_across));
  add(r, "duplicate_within", "the same picture more than once in a part", "it counts as often as it is there; keep one",
      std::move(exact_within));
  add(r, "near_across", "nearly the same picture in two parts",
      "what is judged on was nearly learnt: look at them, and split anew with graft data split --group-duplicates", std::move(near_across));
  add(r, "near_within", "nearly the same picture more than once in a part", "look at them and keep one", std::move(near_within));
  add(r, "conflict", "the same or nearly the same picture with different labels",
      "no model can learn both: correct the labels or remove the pictures", std::move(conflicts));
}

// Pictures whose value of a property is not the one that most have. Where there is no value that half of them have, the finding is the
// variety.
template <class Value, class Text>
std::vector<AuditCase> odd_ones(const Read& all, Value value, Text text) {
  std::map<decltype(value(all.facts[0])), std::int64_t> counts;
  for (const Facts& f : all.facts) ++counts[value(f)];
  if (counts.size() < 2) return {};
  const auto usual = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (usual->second * 2 < static_cast<std::int64_t>(all.facts.size()))
    return {{std::to_string(counts.size()) + " kinds, from " + text(counts.begin()->first) + " to " + text(counts.rbegin()->first) + "; " +
                 text(usual->first) + " is the most frequent",
             {}}};
  std::vector<AuditCase> odd;
  for (const Facts& f : all.facts)
    if (value(f) != usual->first) odd.push_back({text(value(f)) + ", most have " + text(usual->first), {f.place}});
  return odd;
}

void find_odd(AuditReport& r, const Read& all, const AuditOptions& o) {
  std::vector<AuditCase> constant, strange, one;
  const auto dot = [](const Facts& f) { return f.height == 1 && f.width == 1; };
  const bool dots = std::all_of(all.facts.begin(), all.facts.end(), dot);  // numbers and no pictures
  for (const Facts& f : all.facts) {
    if (f.constant) constant.push_back({"every pixel is the same", {f.place}});
    if (f.strange)
      strange.push_back(
          {std::to_string(f.strange) + " of " + std::to_string(f.height * f.width * f.bands) + " values are NaN or infinite", {f.place}});
    if (dot(f) && !dots) one.push_back({"1 x 1", {f.place}});
  }
  add(r, "constant", "pictures of one colour", "nothing can be learnt of them but their label: remove them", std::move(constant));
  add(r, "not_finite", "NaN or infinity in pictures", "one of them makes the loss NaN: repair or remove them", std::move(strange));
  add(r, "one_pixel", "pictures of a single pixel", "probably placeholders: remove them", std::move(one));
  if (!o.any_size)
    add(r, "size", "pictures of other sizes", "set data.size to bring them to one, or remove them",
        odd_ones(
            all, [](const Facts& f) { return std::pair(f.height, f.width); },
            [](const auto& v) { return std::to_string(v.first) + " x " + std::to_string(v.second); }));
  auto bands = odd_ones(
      all, [](const Facts& f) { return f.bands; }, [](std::int64_t v) { return std::to_string(v) + (v == 1 ? " band" : " bands"); });
  if (o.bands != 0) {
    bands.clear();
    for (const Facts& f : all.facts)
      if (f.bands > 4)
        bands.push_back({std::to_string(f.bands) + " bands, which cannot become data.bands=" + std::to_string(o.bands), {f.place}});
  }
  add(r, "bands", "pictures with other bands",
      o.bands ? "remove them, or leave data.bands at 0" : "set data.bands to bring them to one, or remove them", std::move(bands));
  constexpr const char* kDepths[] = {"8 bits", "16 bits", "float"};
  add(r, "depth", "pictures of other depth", "white is 1 for each depth, so that they can be mixed; look whether they were meant to",
      odd_ones(
          all, [](const Facts& f) { return static_cast<int>(f.depth); }, [&](int v) { return std::string(kDepths[v]); }));
}

}  // namespace

std::int64_t AuditReport::readable() const {
  std::int64_t n = 0;
  for (const Part& p : parts) n += p.readable;
  return n;
}
const AuditFinding* AuditReport::find(const std::string& kind) const {
  for (const AuditFinding& f : findings)
    if (f.kind == kind) return &f;
  return nullptr;
}

SharedClasses shared_classes(const std::vector<AuditPart>& parts) {
  SharedClasses s;
  for (const AuditPart& p : parts) {
    std::vector<std::int64_t> number;
    for (const std::string& n : p.data.class_names) {
      const auto it = std::find(s.names.begin(), s.names.end(), n);
      number.push_back(it - s.names.begin());
      if (it == s.names.end()) s.names.push_back(n);
    }
    auto& labels = s.labels.emplace_back();
    for (std::int64_t i = 0; i < p.data.size(); ++i)
      labels.push_back(number[static_cast<std::size_t>(p.data.labels.data<std::int64_t>()[i])]);
  }
  return s;
}

void audit_classes(AuditReport& r, const AuditOptions& o, const std::string& item) {
  std::vector<AuditCase> empty, missing, few, imbalance;
  for (std::size_t c = 0; c < r.classes.size(); ++c) {
    const std::string name = one_line(r.classes[c]);
    const auto in = [&](const AuditReport::Part& p) { return p.per_class[c] > 0; };
    if (std::none_of(r.parts.begin(), r.parts.end(), in)) {
      empty.push_back({name + ": no " + item, {}});
      continue;
    }
    for (const auto& p : r.parts)
      if (!in(p) && std::any_of(p.per_class.begin(), p.per_class.end(), [](std::int64_t n) { return n > 0; }))
        missing.push_back({name + ": no " + item + " in " + p.name, {}});
    if (const std::int64_t n = r.parts[0].per_class[c]; n > 0 && n < o.few)
      few.push_back({name + ": " + std::to_string(n) + " in " + r.parts[0].name, {}});
  }
  if (!r.parts.empty()) {
    std::size_t least = 0, most = 0;
    const auto& n = r.parts[0].per_class;
    for (std::size_t c = 0; c < n.size(); ++c) {
      if (n[c] > 0 && (n[least] == 0 || n[c] < n[least])) least = c;
      if (n[c] > n[most]) most = c;
    }
    if (!n.empty() && n[least] > 0 && static_cast<double>(n[most]) >= o.imbalance * static_cast<double>(n[least])) {
      char ratio[32];
      std::snprintf(ratio, sizeof ratio, "%.1f", static_cast<double>(n[most]) / static_cast<double>(n[least]));
      imbalance.push_back({one_line(r.classes[most]) + " has " + std::to_string(n[most]) + ", " + one_line(r.classes[least]) + " has " +
                               std::to_string(n[least]) + ": " + ratio + " times as many",
                           {}});
    }
  }
  add(r, "empty_class", "classes without a " + item, "put some there or remove the class", std::move(empty));
  add(r, "class_missing", "classes that a part lacks",
      "what is not in train cannot be learnt, what is not in the others is not judged: split anew with graft data split --stratify",
      std::move(missing));
  add(r, "few", "classes with few " + item + "s to learn from", "collect more, or join classes", std::move(few));
  add(r, "imbalance", "classes of very different sizes",
      "accuracy will mostly be that of the large ones: look at it by class, or take data.per_class", std::move(imbalance));
}

std::vector<std::int64_t> duplicate_groups(const Dataset& d, const AuditProgress& progress) {
  const std::vector<AuditPart> parts = {{d.name, d, {}, ""}};
  Read all = read_all(parts, shared_classes(parts), progress);
  Doubles doubles = doubles_of(all);
  std::vector<std::int64_t> group(static_cast<std::size_t>(d.size()));
  std::iota(group.begin(), group.end(), 0);
  for (const auto& [first, members] : doubles.same)
    for (const std::size_t m : members)
      group[static_cast<std::size_t>(all.facts[m].place.index)] = all.facts[doubles.groups.of(first)].place.index;
  return group;
}

AuditReport audit_pictures(const std::vector<AuditPart>& parts, const AuditOptions& options, const AuditProgress& progress) {
  AuditReport r;
  SharedClasses classes = shared_classes(parts);
  Read all = read_all(parts, classes, progress);
  r.classes = std::move(classes.names);
  std::vector<AuditCase> closed;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const std::string& name = parts[p].name;
    AuditReport::Part part{name, parts[p].data.size(), 0, std::vector<std::int64_t>(r.classes.size())};
    for (const std::int64_t l : classes.labels[p]) ++part.per_class[static_cast<std::size_t>(l)];
    r.parts.push_back(std::move(part));
    for (const std::string& n : parts[p].notes) r.notes.push_back(name + ": " + n);
    if (!parts[p].problem.empty()) closed.push_back({name + ": " + one_line(parts[p].problem), {}});
  }
  for (const Facts& f : all.facts) ++r.parts[static_cast<std::size_t>(f.place.part)].readable;
  add(r, "part", "parts that cannot be opened", "the others were looked at", std::move(closed));
  add(r, "unreadable", "pictures that cannot be read", "repair or remove them: training stops at the first one", all.unreadable);
  find_doubles(r, all);
  audit_classes(r, options, "picture");
  find_odd(r, all, options);
  return r;
}

}  // namespace graft
