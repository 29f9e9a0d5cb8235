// graft inspect FILE: what a checkpoint holds, from its lists alone: a tree of tensors with types, shapes and bytes, what its network is
// recognised as, which prefixes wrap its names. --values reads the numbers too: mean, deviation, range, NaN and infinite ones, a hash.
// graft diff A B: what two checkpoints differ in.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <set>

#include "cli/common.h"
#include "engine/autograd/tape.h"
#include "engine/base/text.h"
#include "engine/ops/ops.h"
#include "weights/hash.h"
#include "weights/maps/mapping.h"
#include "weights/packings.h"
#include "weights/source.h"
#include "weights/statistics.h"

namespace graft::cli {
namespace {

std::string sizes(const std::vector<std::int64_t>& shape) {
  std::string s = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + std::to_string(shape[i]);
  return s + "]";
}
std::string human(double bytes) {
  const char* units[] = {"B", "KB", "MB", "GB", "TB"};
  int u = 0;
  while (bytes >= 1000 && u < 4) bytes /= 1000, ++u;
  char text[32];
  std::snprintf(text, sizeof text, u == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
  return text;
}
std::string grouped_digits(std::uint64_t n) {
  std::string s = std::to_string(n);
  for (std::size_t i = s.size(); i > 3; i -= 3) s.insert(i - 3, ",");
  return s;
}
std::int64_t elements(const StoredTensor& t) {
  std::int64_t n = 1;
  for (const std::int64_t s : t.shape) n *= s;
  return n;
}

struct Totals {
  std::int64_t elements = 0;
  std::uint64_t bytes = 0;
  std::size_t tied = 0;
};
Totals totals_of(const Source& s) {
  Totals sum;
  std::set<std::int64_t> seen;
  for (const StoredTensor& t : s.tensors) {
    if (t.storage >= 0 && !seen.insert(t.storage).second) {
      ++sum.tied;  // the same memory again
      continue;
    }
    sum.elements += elements(t);
    sum.bytes += t.bytes;
  }
  return sum;
}

struct Values {
  TensorStatistics statistics;
  std::string hash;
};
Values values_of(const Source& s, std::size_t i) {
  NoGrad off;
  const Tensor t = contiguous(s.load(i));
  return {statistics_of(t), bytes_hash({static_cast<const std::byte*>(t.raw()), static_cast<std::size_t>(t.bytes())})};
}

Json facts_of(const Recognised& r) {
  Json j = Json::object();
  for (const auto& [name, value] : r.facts) j[name] = value;
  return j;
}

// Of all tensors before anything is shown: a file that turns out to be damaged shows nothing.
std::vector<Values> all_values(const Source& s) {
  std::vector<Values> all;
  for (std::size_t i = 0; i < s.tensors.size(); ++i) all.push_back(values_of(s, i));
  return all;
}

Json as_json(const Source& s, const BareNames& bare, const std::optional<Recognised>& known, bool values) {
  const Totals sum = totals_of(s);
  Json tensors = Json::array();
  for (std::size_t i = 0; i < s.tensors.size(); ++i) {
    const StoredTensor& t = s.tensors[i];
    Json j{{"name", t.name}, {"dtype", t.dtype}, {"shape", t.shape}, {"bytes", t.bytes}, {"offset", t.offset}, {"file", t.file}};
    if (!t.strides.empty()) j["strides"] = t.strides;
    if (t.storage >= 0) j["storage"] = t.storage;
    if (!bare.beside[i].empty()) j["beside"] = true;
    if (values) {
      const Values v = values_of(s, i);
      const TensorStatistics& x = v.statistics;
      j["mean"] = x.mean, j["deviation"] = x.deviation, j["least"] = x.least, j["most"] = x.most, j["nan"] = x.nan,
      j["infinite"] = x.infinite, j["zero"] = x.zero, j["xxh3"] = v.hash;
    }
    tensors.push_back(std::move(j));
  }
  Json out{{"verb", "inspect"},        {"path", s.path},
           {"format", s.format},       {"files", s.files},
           {"elements", sum.elements}, {"bytes", sum.bytes},
           {"shared", sum.tied},       {"stripped", bare.stripped},
           {"recognised", nullptr},    {"metadata", s.metadata},
           {"beside", s.beside},       {"warnings", s.warnings},
           {"notes", s.notes},         {"tensors", std::move(tensors)}};
  if (const auto p = packing_of(s)) out["packed"] = {{"method", p->method}, {"tensor", s.tensors[p->tensor].name}, {"layers", p->layers}};
  if (known)
    out["recognised"] = {{"name", known->map->name},
                         {"what", known->map->what},
                         {"recipe", known->recipe.empty() ? Json(nullptr) : Json(known->recipe)},
                         {"facts", facts_of(*known)}};
  return out;
}

// layer2 before layer10: runs of digits count as numbers.
bool natural_less(const std::string& a, const std::string& b) {
  std::size_t i = 0, j = 0;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      std::size_t ie = i, je = j;
      while (ie < a.size() && digit(a[ie])) ++ie;
      while (je < b.size() && digit(b[je])) ++je;
      if (ie - i != je - j) return ie - i < je - j;
      if (const int c = a.compare(i, ie - i, b, j, je - j)) return c < 0;
      i = ie, j = je;
    } else if (a[i] != b[j]) {
      return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
    } else {
      ++i, ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

// `values`: of all tensors, or empty.
void print_tree(const Source& s, const std::vector<Values>& values) {
  std::vector<std::size_t> order(s.tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return natural_less(s.tensors[a].name, s.tensors[b].name); });
  std::vector<std::string> open;  // the branches that are printed already
  for (const std::size_t i : order) {
    const StoredTensor& t = s.tensors[i];
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin <= t.name.size();) {
      const auto dot = std::min(t.name.find('.', begin), t.name.size());
      parts.push_back(t.name.substr(begin, dot - begin));
      begin = dot + 1;
    }
    std::size_t same = 0;
    while (same < open.size() && same + 1 < parts.size() && open[same] == parts[same]) ++same;
    open.resize(same);
    for (std::size_t k = same; k + 1 < parts.size(); ++k) {
      std::printf("%*s%s\n", static_cast<int>(2 * k), "", one_line(parts[k]).c_str());
      open.push_back(parts[k]);
    }
    const int indent = static_cast<int>(2 * (parts.size() - 1));
    std::printf("%*s%-*s %-5s %-18s %9s", indent, "", std::max(1, 34 - indent), one_line(parts.back()).c_str(), t.dtype.c_str(),
                sizes(t.shape).c_str(), human(static_cast<double>(t.bytes)).c_str());
    if (!t.strides.empty()) std::printf("  strides %s", sizes(t.strides).c_str());
    if (t.storage >= 0) {
      const auto first = std::find_if(s.tensors.begin(), s.tensors.end(), [&](const StoredTensor& o) { return o.storage == t.storage; });
      if (first->name != t.name) std::printf("  shares memory with %s", one_line(first->name).c_str());
    }
    if (!values.empty()) {
      const Values& v = values[i];
      const TensorStatistics& x = v.statistics;
      std::printf("  mean %.4g  deviation %.4g  in [%.4g, %.4g]  %s", x.mean, x.deviation, x.least, x.most, v.hash.substr(0, 12).c_str());
      if (x.nan || x.infinite)
        std::printf("  NaN: %lld, infinite: %lld", static_cast<long long>(x.nan), static_cast<long long>(x.infinite));
      if (x.count > 1 && x.zero == x.count) std::printf("  all zero");
    }
    std::printf("\n");
  }
}

struct InspectOptions {
  std::string path;
  bool values = false, strict = false, json = false;
};

int inspect_verb(const InspectOptions& o) {
  const auto source = open_source(o.path);
  const BareNames bare = bare_names(*source);
  const auto known = recognise(*source, bare);
  for (const auto& w : source->warnings) std::fprintf(stderr, "graft: warning: %s\n", w.c_str());
  if (o.json) {
    print_json(as_json(*source, bare, known, o.values));
    return 0;
  }
  const std::vector<Values> values = o.values ? all_values(*source) : std::vector<Values>();
  const Totals sum = totals_of(*source);
  std::printf("%s: %s%s\n", source->path.c_str(), source->format.c_str(),
              source->files.size() > 1 ? (", " + std::to_string(source->files.size()) + " files").c_str() : "");
  if (known) {
    std::string facts;
    for (const auto& [name, value] : known->facts) facts += (facts.empty() ? " (" : ", ") + name + " " + std::to_string(value);
    std::printf("recognised as %s%s%s: %s\n", known->map->what.c_str(), facts.c_str(), facts.empty() ? "" : ")",
                known->recipe.empty() ? "graft has no such network yet" : ("recipe " + known->recipe).c_str());
  } else {
    std::printf("not recognised as a network that graft knows\n");
  }
  if (const auto p = packing_of(*source))
    std::printf("packed by %s: %zu layer%s, the first by %s; graft does not unpack them, and import refuses them\n", p->method.c_str(),
                p->layers, p->layers == 1 ? "" : "s", one_line(source->tensors[p->tensor].name).c_str());
  if (!bare.stripped.empty()) std::printf("names are wrapped in '%s'\n", bare.stripped.c_str());
  std::printf("%zu tensors, %s numbers, %s", source->tensors.size(), grouped_digits(static_cast<std::uint64_t>(sum.elements)).c_str(),
              human(static_cast<double>(sum.bytes)).c_str());
  if (sum.tied) std::printf(" (%zu tensors lie in the memory of others and are counted once)", sum.tied);
  std::printf("\n");
  constexpr std::size_t kShown = 24;
  std::size_t shown = 0;
  for (const auto& [key, value] : source->beside)
    std::printf("  config.json: %s: %s\n", one_line(key).c_str(), one_line(value.substr(0, 120)).c_str());
  for (const auto& [key, value] : source->metadata)
    if (++shown <= kShown) std::printf("  %s: %s\n", one_line(key).c_str(), one_line(value.substr(0, 120)).c_str());
  if (shown > kShown) std::printf("  and %zu more of such values (--json has all)\n", shown - kShown);
  if (o.strict)
    for (const auto& n : source->notes) std::printf("note: %s\n", n.c_str());
  print_tree(*source, values);
  return 0;
}

// ---- diff ---------------------------------------------------------------------------------------

struct DiffOptions {
  std::string a, b;
  double tolerance = 0;
  bool bare = false, json = false;
};

// The largest |x - y| over elements that differ; NaN and NaN are the same.
double farthest(const Tensor& x, const Tensor& y, std::int64_t& different) {
  const std::vector<double> a = x.values(), b = y.values();
  double most = 0;
  different = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    ++different;
    const double d = std::fabs(a[i] - b[i]);
    most = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(most, d);
  }
  return most;
}

int diff_verb(const DiffOptions& o) {
  NoGrad off;
  const auto a = open_source(o.a), b = open_source(o.b);
  const auto names = [&](const Source& s) {
    const BareNames bare = bare_names(s);
    std::map<std::string, std::size_t> at;
    for (std::size_t i = 0; i < s.tensors.size(); ++i)
      if (!o.bare || bare.beside[i].empty()) at.emplace(o.bare ? bare.names[i] : s.tensors[i].name, i);
    return at;
  };
  const auto in_a = names(*a), in_b = names(*b);
  Json rows = Json::array();
  std::size_t same = 0;
  const auto say = [&](const std::string& name, const std::string& what, Json more = Json::object()) {
    if (!o.json) std::printf("%-40s %s\n", one_line(name).c_str(), what.c_str());
    Json row{{"name", name}, {"what", what}};
    row.update(more);
    rows.push_back(std::move(row));
  };
  for (const auto& [name, i] : in_a) {
    const auto it = in_b.find(name);
    if (it == in_b.end()) {
      say(name, "only in " + o.a);
      continue;
    }
    const StoredTensor &x = a->tensors[i], &y = b->tensors[it->second];
    if (x.shape != y.shape) {
      say(name, sizes(x.shape) + " and " + sizes(y.shape));
      continue;
    }
    std::int64_t different = 0;
    const double most = farthest(a->load(i), b->load(it->second), different);
    if (most > o.tolerance) {
      char text[96];
      std::snprintf(text, sizeof text, "%lld of %lld numbers differ, by at most %.6g", static_cast<long long>(different),
                    static_cast<long long>(elements(x)), most);
      say(name, text, {{"different", different}, {"most", std::isinf(most) ? Json("infinite") : Json(most)}});
    } else if (x.dtype != y.dtype && o.tolerance == 0) {
      say(name, x.dtype + " and " + y.dtype + ", with equal numbers");
    } else {
      ++same;
    }
  }
  for (const auto& [name, i] : in_b)
    if (!in_a.count(name)) say(name, "only in " + o.b);
  if (o.json) print_json(Json{{"verb", "diff"}, {"a", o.a}, {"b", o.b}, {"same", same}, {"differences", rows}});
  else std::printf("%zu tensors are the same, %zu are not\n", same, rows.size());
  return rows.empty() ? 0 : static_cast<int>(Code::no);
}

}  // namespace

void add_inspect(const Verb& app) {
  {
    const Verb sub = app.verb("inspect", "what a checkpoint holds, whatever program wrote it");
    auto o = std::make_shared<InspectOptions>();
    sub.option("path", o->path, "file or folder").required();
    sub.flag("--values", o->values, "read the numbers: mean, deviation, range, NaN, hash");
    sub.flag("--strict", o->strict, "tell what is legal but unusual");
    sub.flag("--json", o->json, "one JSON document on stdout");
    sub.does([=] { return inspect_verb(*o); });
  }
  const Verb sub = app.verb("diff", "what two checkpoints differ in; exit 1 when they do");
  auto o = std::make_shared<DiffOptions>();
  sub.option("a", o->a, "file or folder").required();
  sub.option("b", o->b, "file or folder").required();
  sub.option("--tolerance", o->tolerance, "largest difference that counts as none (types may then differ)").not_negative();
  sub.flag("--bare", o->bare, "compare names without what wraps them (module., state_dict.)");
  sub.flag("--json", o->json, "one JSON document on stdout");
  sub.does([=] { return diff_verb(*o); });
}

}  // namespace graft::cli
