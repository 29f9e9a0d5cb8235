#include "weights/maps/mapping.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "weights/formats/json_guard.h"

namespace graft {
namespace {

// In the order in which they are taken off.
constexpr std::string_view kPrefixes[] = {"module", "model", "_orig_mod", "state_dict", "net", "student", "ema"};
constexpr std::string_view kContainers[] = {"state_dict", "model_state_dict", "model", "params", "network", "weights", "ema_state_dict"};
constexpr std::string_view kBeside[] = {"optimizer",
                                        "optimizer_state_dict",
                                        "optimizer_state",
                                        "optimizers",
                                        "optim",
                                        "optimizer_weights",
                                        "ema",
                                        "ema_state_dict",
                                        "model_ema",
                                        "scheduler",
                                        "lr_scheduler",
                                        "lr_schedulers",
                                        "scaler",
                                        "amp",
                                        "loss_scaler",
                                        "rng_state",
                                        "teacher",
                                        "callbacks",
                                        "loops"};

bool among(std::span<const std::string_view> all, std::string_view s) { return std::find(all.begin(), all.end(), s) != all.end(); }
std::string_view first_part(std::string_view name) {
  const auto dot = name.find('.');
  return dot == std::string_view::npos ? std::string_view{} : name.substr(0, dot);
}

const MapRule& counters() {
  static const MapRule rule{MapRule::Kind::drop, {"**num_batches_tracked"}, {}, {}, 0, "a counter that nothing reads", 0};
  return rule;
}

std::string how_of(const MapRule& r, bool same_name) {
  switch (r.kind) {
    case MapRule::Kind::rename: return same_name ? "used" : "renamed";
    case MapRule::Kind::permute: return r.numbers == std::vector<std::int64_t>{1, 0} ? "transposed" : "permuted";
    case MapRule::Kind::split: return "split";
    case MapRule::Kind::cat: return "joined";
    case MapRule::Kind::blocks: return "reordered";
    case MapRule::Kind::reshape: return "reshaped";
    case MapRule::Kind::add: return "shifted";
    case MapRule::Kind::tie: return "tied";
    case MapRule::Kind::drop: break;
  }
  return "unused";
}

Tensor parts_in_order(const Tensor& t, int axis, const std::vector<std::int64_t>& order, const std::string& what) {
  const auto n = static_cast<std::int64_t>(order.size());
  if (axis >= t.rank() || t.size(axis) % n)
    throw Error(Code::input, what + " is " + t.str() + ", which axis " + std::to_string(axis) + " does not cut into " + std::to_string(n) +
                                 " equal blocks");
  const std::int64_t width = t.size(axis) / n;
  Tensors pieces;
  for (const std::int64_t k : order) pieces.push_back(slice(t, axis, k * width, (k + 1) * width));
  return cat(pieces, axis);
}

std::vector<std::int64_t> inverse(const std::vector<std::int64_t>& order) {
  std::vector<std::int64_t> out(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) out[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  return out;
}

Tensor permuted(const Tensor& t, const std::vector<std::int64_t>& order, const std::string& what) {
  if (t.rank() != static_cast<int>(order.size()))
    throw Error(Code::input, what + " is " + t.str() + " but its rule orders " + std::to_string(order.size()) + " axes");
  return contiguous(permute(t, std::vector<int>(order.begin(), order.end())));
}

Tensor shifted(const Tensor& t, double by) { return cast(graft::add(cast(t, DType::f64), by), t.dtype()); }

}  // namespace

BareNames bare_names(const Source& source) {
  const std::size_t n = source.tensors.size();
  BareNames out{{}, std::vector<std::string>(n), {}};
  for (const StoredTensor& t : source.tensors) out.names.push_back(t.name);
  while (true) {
    std::set<std::string, std::less<>> firsts;
    for (std::size_t i = 0; i < n; ++i)
      if (out.beside[i].empty()) firsts.emplace(first_part(out.names[i]));
    std::string take;
    if (firsts.size() == 1 && (among(kPrefixes, *firsts.begin()) || among(kContainers, *firsts.begin()))) {
      take = *firsts.begin();
    } else if (firsts.size() > 1) {
      for (const std::string_view c : kContainers)
        if (take.empty() && firsts.count(c) &&
            std::all_of(firsts.begin(), firsts.end(), [&](const std::string& f) { return f == c || among(kBeside, f); }))
          take = c;
    }
    if (take.empty()) break;
    for (std::size_t i = 0; i < n; ++i) {
      if (!out.beside[i].empty()) continue;
      if (first_part(out.names[i]) == take) {
        out.names[i].erase(0, take.size() + 1);
      } else {
        out.beside[i] = "stands beside the model, in '" + std::string(first_part(out.names[i])) + "'";
        out.names[i].clear();
      }
    }
    out.stripped += take + ".";
  }
  return out;
}

std::optional<Recognised> recognise(const Source& source, const BareNames& bare) {
  const auto type = source.beside.find("model_type");
  const auto shape_fits = [](const std::vector<std::int64_t>& wanted, const std::vector<std::int64_t>& shape) {
    return wanted.size() == shape.size() &&
           std::equal(wanted.begin(), wanted.end(), shape.begin(), [](std::int64_t w, std::int64_t s) { return w == -1 || w == s; });
  };
  const auto any = [&](const ShapePattern& p) {
    for (std::size_t i = 0; i < bare.names.size(); ++i)
      if (bare.beside[i].empty() && fits(p.name, bare.names[i]) && (!p.shape || shape_fits(*p.shape, source.tensors[i].shape))) return true;
    return false;
  };
  const auto described = [&](const WeightMap& m) {
    Recognised r{&m, {}, {}};
    for (const MapFact& f : m.facts) {
      std::int64_t value = 0;
      bool found = false;
      for (std::size_t i = 0; i < bare.names.size(); ++i) {
        if (!bare.beside[i].empty() || !fits(f.pattern, bare.names[i])) continue;
        const auto& shape = source.tensors[i].shape;
        if (f.axis < 0) ++value, found = true;
        else if (static_cast<std::size_t>(f.axis) < shape.size() && !found) value = shape[static_cast<std::size_t>(f.axis)], found = true;
      }
      if (found) r.facts[f.name] = value;
    }
    for (const MapRecipe& recipe : m.recipes)
      if (r.recipe.empty() && std::all_of(recipe.facts.begin(), recipe.facts.end(), [&](const auto& f) {
            const auto it = r.facts.find(f.first);
            return it != r.facts.end() && it->second == f.second;
          }))
        r.recipe = recipe.name;
    return r;
  };
  for (const WeightMap& m : carried_maps())
    if (type != source.beside.end() && std::find(m.types.begin(), m.types.end(), type->second) != m.types.end()) return described(m);
  for (const WeightMap& m : carried_maps())
    if (!m.has.empty() && std::all_of(m.has.begin(), m.has.end(), any) &&
        std::none_of(m.lacks.begin(), m.lacks.end(), [&](const std::string& l) {
          return any({l, {}});
        }))
      return described(m);
  return {};
}

Mapping::Mapping(std::shared_ptr<const Source> source, const WeightMap* map) : source_(std::move(source)), bare_(bare_names(*source_)) {
  const std::size_t n = source_->tensors.size();
  for (std::size_t i = 0; i < n; ++i)
    if (bare_.beside[i].empty()) by_bare_.emplace(bare_.names[i], i);
  std::vector<bool> taken(n, false);
  for (std::size_t i = 0; i < n; ++i) {
    if (!bare_.beside[i].empty()) {
      dropped_.push_back({i, bare_.beside[i]});
      continue;
    }
    if (taken[i]) continue;
    bool done = false;
    if (map)
      for (const MapRule& r : map->rules) {
        if (r.kind == MapRule::Kind::tie) continue;
        // The tensors of a cat are met in any order; the first name of the rule stands for all.
        for (const std::string& pattern : r.from) {
          const auto parts = fits(pattern, bare_.names[i]);
          if (!parts) continue;
          apply(r, *parts, i, taken);
          done = true;
          break;
        }
        if (done) break;
      }
    if (!done && fits(counters().from[0], bare_.names[i])) apply(counters(), {}, i, taken), done = true;
    if (!done) add({bare_.names[i], "used", {i}, nullptr, 0});
  }
  if (!map) return;
  for (const MapRule& r : map->rules) {
    if (r.kind != MapRule::Kind::tie) continue;
    std::vector<MappedTensor> ties;
    for (const MappedTensor& t : tensors_)
      if (const auto parts = fits(r.from[0], t.name); parts && !at_.count(filled(r.to[0], *parts))) {
        MappedTensor tie = t;
        tie.name = filled(r.to[0], *parts);
        tie.how = "tied";
        ties.push_back(std::move(tie));
      }
    for (MappedTensor& t : ties) add(std::move(t));
  }
}

void Mapping::add(MappedTensor t) {
  const auto [at, is_new] = at_.emplace(t.name, tensors_.size());
  if (!is_new)
    throw Error(Code::input, source_->path + ": " + in_quotes(came_from(t)) + " and " + in_quotes(came_from(tensors_[at->second])) +
                                 " would both be " + in_quotes(t.name) + "; correct the map's rules");
  tensors_.push_back(std::move(t));
}

void Mapping::apply(const MapRule& rule, const std::vector<std::string>& parts, std::size_t first, std::vector<bool>& taken) {
  taken[first] = true;
  if (rule.kind == MapRule::Kind::drop) {
    dropped_.push_back({first, rule.reason});
    return;
  }
  std::vector<std::size_t> from;
  for (const std::string& pattern : rule.from) {
    const std::string name = filled(pattern, parts);
    const auto it = by_bare_.find(name);
    if (it == by_bare_.end())
      throw Error(Code::input, source_->path + ": " + in_quotes(bare_.names[first]) + " is to be joined with " + in_quotes(name) +
                                   ", which is not there; get the whole checkpoint");
    from.push_back(it->second);
    taken[it->second] = true;
  }
  for (std::size_t p = 0; p < rule.to.size(); ++p) {
    const std::string name = filled(rule.to[p], parts);
    add({name, how_of(rule, name == bare_.names[first]), from, &rule, p});
  }
}

const MappedTensor* Mapping::find(std::string_view name) const {
  if (const auto it = at_.find(std::string(name)); it != at_.end()) return &tensors_[it->second];
  // A model may have the very names that were taken for wrapping.
  if (bare_.stripped.empty() || !name.starts_with(bare_.stripped)) return nullptr;
  const auto it = at_.find(std::string(name.substr(bare_.stripped.size())));
  return it == at_.end() || tensors_[it->second].rule ? nullptr : &tensors_[it->second];
}

std::string Mapping::came_from(const MappedTensor& t) const {
  std::string s;
  for (const std::size_t i : t.from) s += (s.empty() ? "" : " + ") + source_->tensors[i].name;
  return s;
}

Tensor Mapping::load(const MappedTensor& t) const {
  NoGrad off;
  UseQueue host(host_queue());
  const std::string what = source_->path + ": tensor " + in_quotes(came_from(t));
  Tensor x = source_->load(t.from[0]);
  if (!t.rule) return x;
  const MapRule& r = *t.rule;
  using Kind = MapRule::Kind;
  switch (r.kind) {
    case Kind::permute: x = permuted(x, r.numbers, what); break;
    case Kind::split: {
      const auto axis = static_cast<int>(r.numbers[0]);
      const auto n = static_cast<std::int64_t>(r.to.size());
      if (axis >= x.rank() || x.size(axis) % n)
        throw Error(Code::input, what + " is " + x.str() + ", which axis " + std::to_string(axis) + " does not cut into " +
                                     std::to_string(n) + " equal parts");
      const std::int64_t width = x.size(axis) / n, begin = static_cast<std::int64_t>(t.part) * width;
      x = contiguous(slice(x, axis, begin, begin + width));
      break;
    }
    case Kind::cat: {
      Tensors all{x};
      for (std::size_t k = 1; k < t.from.size(); ++k) all.push_back(source_->load(t.from[k]));
      x = cat(all, static_cast<int>(r.numbers[0]));
      break;
    }
    case Kind::blocks: x = parts_in_order(x, static_cast<int>(r.numbers[0]), {r.numbers.begin() + 1, r.numbers.end()}, what); break;
    case Kind::reshape: {
      std::int64_t known = 1;
      for (const std::int64_t s : r.numbers) known *= s == -1 ? 1 : s;
      std::vector<std::int64_t> sizes = r.numbers;
      for (std::int64_t& s : sizes)
        if (s == -1) s = known > 0 ? x.numel() / known : 0;
      if (Shape(sizes).numel() != x.numel())
        throw Error(Code::input, what + " is " + x.str() + ", which has other elements than " + Shape(sizes).str() + " of its rule");
      x = reshape(x, Shape(sizes));
      break;
    }
    case Kind::add: x = shifted(x, r.value); break;
    case Kind::rename:
    case Kind::tie:
    case Kind::drop: break;
  }
  x.set_name(t.name);
  return x;
}

Tensor Mapping::back(std::size_t i, const std::function<Tensor(const std::string& name)>& value) const {
  NoGrad off;
  UseQueue host(host_queue());
  // All of the model that came of tensor i, in the order of its parts.
  std::vector<const MappedTensor*> of;
  for (const MappedTensor& t : tensors_)
    if (t.how != "tied" && std::find(t.from.begin(), t.from.end(), i) != t.from.end()) of.push_back(&t);
  if (of.empty()) return {};
  Tensors now;
  for (const MappedTensor* t : of) {
    Tensor x = value(t->name);
    if (!x.defined())
      throw Error(Code::usage, source_->path + ": tensor " + in_quotes(source_->tensors[i].name) + " is made of " + in_quotes(t->name) +
                                   ", which the model does not have");
    now.push_back(std::move(x));
  }
  const MapRule* r = of[0]->rule;
  const std::string what = "tensor " + in_quotes(of[0]->name);
  if (!r) return now[0];
  using Kind = MapRule::Kind;
  switch (r->kind) {
    case Kind::permute: return permuted(now[0], inverse(r->numbers), what);
    case Kind::split: return cat(now, static_cast<int>(r->numbers[0]));
    case Kind::cat: {
      const auto axis = static_cast<std::size_t>(r->numbers[0]);
      std::int64_t begin = 0;
      for (const std::size_t k : of[0]->from) {
        const std::int64_t width = source_->tensors[k].shape.at(axis);
        if (k == i) return contiguous(slice(now[0], static_cast<int>(axis), begin, begin + width));
        begin += width;
      }
      return {};
    }
    case Kind::blocks:
      return parts_in_order(now[0], static_cast<int>(r->numbers[0]), inverse({r->numbers.begin() + 1, r->numbers.end()}), what);
    case Kind::reshape: {
      const Shape shape(source_->tensors[i].shape);
      if (shape.numel() != now[0].numel())
        throw Error(Code::usage, what + " is " + now[0].str() + " and cannot be written as " + in_quotes(source_->tensors[i].name) +
                                     ", which is " + shape.str());
      return reshape(now[0], shape);
    }
    case Kind::add: return shifted(now[0], -r->value);
    case Kind::rename:
    case Kind::tie:
    case Kind::drop: break;
  }
  return now[0];
}

}  // namespace graft
