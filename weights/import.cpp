#include "weights/import.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "engine/base/file.h"
#include "weights/formats/json_guard.h"
#include "weights/packings.h"
#include "weights/statistics.h"

namespace graft {
namespace {

// "layer3.12.conv.weight" -> "layer#.#.conv.weight": names that differ in numbers alone are one complaint.
std::string without_numbers(const std::string& name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool digit = std::isdigit(static_cast<unsigned char>(name[i])) != 0;
    if (!digit) out += name[i];
    else if (out.empty() || out.back() != '#') out += '#';
  }
  return out;
}

std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t up = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = up;
    }
  }
  return row[b.size()];
}

// "'layer#.#.x' (3 tensors, nearest there: 'layer1.0.y')"
std::string grouped(const std::vector<std::string>& names, const std::vector<std::string>& other_side) {
  std::map<std::string, std::vector<std::string>> groups;
  for (const auto& n : names) groups[without_numbers(n)].push_back(n);
  std::string out;
  std::size_t shown = 0;
  for (const auto& [pattern, of] : groups) {
    if (++shown > 12) {
      out += " and " + std::to_string(groups.size() - 12) + " more kinds";
      break;
    }
    std::string nearest;
    std::size_t least = 1 + of[0].size() / 2;  // farther ones help nobody
    if (shown <= 4)
      for (std::size_t i = 0; i < std::min<std::size_t>(other_side.size(), 2000); ++i)
        if (const std::size_t d = distance(of[0], other_side[i]); d < least) least = d, nearest = other_side[i];
    out += (out.empty() ? "" : ", ") + in_quotes(of.size() > 1 ? pattern : of[0]);
    if (of.size() > 1 || !nearest.empty())
      out += " (" + (of.size() > 1 ? std::to_string(of.size()) + " tensors" : std::string()) +
             (of.size() > 1 && !nearest.empty() ? "; " : "") + (nearest.empty() ? "" : "nearest: " + in_quotes(nearest)) + ")";
  }
  return out;
}

}  // namespace

const WeightMap* choose_map(const Source& source, const std::string& file, std::vector<WeightMap>& own) {
  if (!file.empty()) {
    own = parse_maps(read_text(file, 1 << 20), file);
    if (own.empty()) throw Error(Code::usage, file + ": holds no map; it begins with: name NAME");
    return &own[0];
  }
  const auto r = recognise(source, bare_names(source));
  return r ? r->map : nullptr;
}

Import::Import(const std::string& path, HeadPolicy policy, std::string head, const std::string& map, const std::string& adapter)
    : policy_(policy), head_(std::move(head)) {
  if (!adapter.empty()) adapter_ = read_peft(adapter);
  std::shared_ptr<const Source> source = open_source(path);
  refuse_packed(*source);
  const WeightMap* chosen = choose_map(*source, map, own_);
  if (chosen) map_name_ = chosen->name;
  mapping_.emplace(std::move(source), chosen);
}

// Adapters name tensors as the base model does.
Tensor Import::adapted(const MappedTensor& t, const Tensor& x) {
  const std::string& name = mapping_->bare(t.from[0]);
  const auto layer = adapter_->layers.find(name);
  const auto whole = adapter_->whole.find(name);
  if (layer == adapter_->layers.end() && whole == adapter_->whole.end()) return x;
  if (t.rule && t.rule->kind != MapRule::Kind::rename && t.rule->kind != MapRule::Kind::tie)
    throw Error(Code::input, adapter_->path + ": " + in_quotes(name) + " is " + t.how +
                                 " on its way into this model, and an adapter is not; merge it where it was made");
  of_adapter_.insert(name);
  if (whole != adapter_->whole.end()) return whole->second;
  return adapter_->merged(name, x);
}

Params::Lookup Import::lookup() {
  return [this](const std::string& name) -> Tensor {
    const MappedTensor* t = mapping_->find(name);
    asked_.insert(t ? t->name : name);
    if (policy_ == HeadPolicy::fresh && in_head(name)) return {};
    if (!t && adapter_)  // a head that the base model has not
      if (const auto it = adapter_->whole.find(name); it != adapter_->whole.end()) return of_adapter_.insert(name), it->second;
    if (!t) return {};
    Tensor x = mapping_->load(*t);
    if (!is_float(x.dtype())) {
      const StoredTensor& of = source().tensors[t->from[0]];
      throw Error(Code::input, source().files[of.file] + ": the numbers of tensor " + in_quotes(mapping_->came_from(*t)) + " are " +
                                   of.dtype + " at byte " + std::to_string(of.offset) + " (" + in_quotes(name) +
                                   "), and weights are floats; if scales belong to them, get the checkpoint that was packed");
    }
    if (adapter_) x = adapted(*t, x);
    const TensorStatistics s = statistics_of(x);
    const auto warn = [&](const std::string& what) {
      warnings_.push_back(source().path + ": tensor " + in_quotes(mapping_->came_from(*t)) + " " + what);
    };
    if (s.nan || s.infinite)
      warn("holds " + std::to_string(s.nan) + " NaN and " + std::to_string(s.infinite) + " infinite numbers of " + std::to_string(s.count));
    else if (x.rank() > 1 && s.count > 0 && s.zero == s.count) warn("is zero throughout");
    return x;
  };
}

std::vector<Import::Line> Import::account(const std::vector<ParamSource>& sources) const {
  std::vector<Line> lines;
  std::vector<std::string> missing, unused, present, wanted;
  std::string shapes;
  const auto came = [&](const std::string& name) -> std::string {
    const MappedTensor* t = mapping_->find(name);
    const std::string from = t ? mapping_->came_from(*t) : name;
    const std::string with = !adapter_ || !t                                      ? ""
                             : adapter_->layers.count(mapping_->bare(t->from[0])) ? "with its adapter, "
                             : adapter_->whole.count(mapping_->bare(t->from[0]))  ? "of the adapter, "
                                                                                  : "";
    return with + (!t || from == name ? "loaded " : t->how + " from " + from + ", ");
  };
  const auto place = [&](const std::string& name) -> std::string {  // where the checkpoint has it
    const MappedTensor* t = mapping_->find(name);
    const std::uint64_t at = t ? source().tensors[t->from[0]].offset : 0;
    return at > 0 ? " at byte " + std::to_string(at) : "";
  };
  for (const MappedTensor& t : mapping_->tensors()) {
    present.push_back(t.name);
    if (asked_.count(t.name)) continue;
    // A graph's constants that are no weights by their use are read with the graph.
    if (source().format == "ONNX") lines.push_back({t.name, "unused: a constant of the graph"});
    else unused.push_back(t.name);
  }
  for (const ParamSource& s : sources) {
    wanted.push_back(s.name);
    switch (s.how) {
      case ParamSource::How::loaded: lines.push_back({s.name, came(s.name) + s.detail}); break;
      case ParamSource::How::drawn: lines.push_back({s.name, "drawn " + s.detail}); break;
      case ParamSource::How::missing:
        if (in_head(s.name) && policy_ == HeadPolicy::fresh) lines.push_back({s.name, "new head, drawn " + s.detail});
        else if (in_head(s.name) && policy_ == HeadPolicy::automatic)
          lines.push_back({s.name, "new head, not in the checkpoint, drawn " + s.detail});
        else missing.push_back(s.name);
        break;
      case ParamSource::How::reshaped:
        if (in_head(s.name) && policy_ == HeadPolicy::automatic) lines.push_back({s.name, "new head, drawn " + s.detail});
        else
          shapes += (shapes.empty() ? "" : "; ") + ("'" + s.name + "' is " + s.detail) +
                    (in_head(s.name) ? " (init.head=new draws another)" : "") + place(s.name);
        break;
    }
  }
  std::string wrong = shapes;
  const auto complain = [&](const std::string& what) { wrong += (wrong.empty() ? "" : "; ") + what; };
  if (!missing.empty()) complain(grouped(missing, unused) + (missing.size() == 1 ? " is missing" : " are missing"));
  if (!unused.empty())
    complain(grouped(unused, missing) + (unused.size() == 1 ? " is" : " are") + " in the checkpoint but the model has no use for " +
             (unused.size() == 1 ? "it" : "them"));
  if (adapter_) {
    std::vector<std::string> left, names;
    for (const auto& [name, l] : adapter_->layers)
      if (!of_adapter_.count(name)) left.push_back(name);
    const auto dropped = [&](const std::string& name) {
      return std::any_of(mapping_->dropped().begin(), mapping_->dropped().end(),
                         [&](const Mapping::Dropped& d) { return mapping_->bare(d.tensor) == name; });
    };
    for (const auto& [name, t] : adapter_->whole)
      if (!of_adapter_.count(name) && !dropped(name)) left.push_back(name);
    for (const MappedTensor& t : mapping_->tensors()) names.push_back(mapping_->bare(t.from[0]));
    if (!left.empty()) complain("the adapter " + adapter_->path + " is for " + grouped(left, names) + ", which the checkpoint has not");
  }
  if (!wrong.empty())
    throw Error(Code::input, source().path + ": does not fit this model: " + wrong +
                                 "; name the recipe whose network it is, or give rules for its names and layouts (--map FILE, init.map)");
  std::map<std::string, std::vector<std::size_t>> dropped;
  for (const Mapping::Dropped& d : mapping_->dropped()) dropped[d.reason].push_back(d.tensor);
  for (const auto& [reason, of] : dropped)
    for (const std::size_t i : of) {
      const bool many = of.size() > 4;  // an optimizer's moments: a line for all
      lines.push_back({source().tensors[i].name + (many ? " and " + std::to_string(of.size() - 1) + " more" : ""), "unused: " + reason});
      if (many) break;
    }
  return lines;
}

}  // namespace graft
