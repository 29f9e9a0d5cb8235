#include "engine/nn/params.h"

#include <algorithm>
#include <cmath>

#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {

struct Params::State {
  Lookup lookup;
  std::uint64_t seed = 0;
  DType dtype = DType::f32;
  std::vector<Parameter> all;
  std::vector<ParamSource> sources;
  LayerRules rules;
  std::vector<Adapted> adapted;
};

std::uint64_t stream_of(std::string_view name) {
  std::uint64_t h = 1469598103934665603ull;
  for (const unsigned char c : name) h = (h ^ c) * 1099511628211ull;
  return h;
}

namespace {
// PyTorch's _calculate_fan_in_and_fan_out: sizes beyond the second are the receptive field.
void fans(const Shape& s, double& in, double& out) {
  double field = 1;
  for (int i = 2; i < s.rank(); ++i) field *= static_cast<double>(s[i]);
  in = (s.rank() > 1 ? static_cast<double>(s[1]) : static_cast<double>(s.rank() ? s[0] : 1)) * field;
  out = (s.rank() ? static_cast<double>(s[0]) : 1) * field;
}
Tensor draw_all(const Shape& s, const Init& init, std::uint64_t seed, const std::string& name) {
  RandomState r{seed, stream_of(name), 0};
  double in = 1, out = 1;
  fans(s, in, out);
  using K = Init::Kind;
  switch (init.kind) {
    case K::zeros: return Tensor::zeros(s, DType::f32);
    case K::constant: return Tensor::full(s, init.a, DType::f32);
    case K::uniform: return rand_uniform(s, -init.a, init.a, r);
    case K::normal: return rand_normal(s, 0, init.a, r);
    case K::kaiming_uniform: {
      const double b = init.a * std::sqrt(3 / std::max(1.0, in));
      return rand_uniform(s, -b, b, r);
    }
    case K::kaiming_normal: return rand_normal(s, 0, init.a / std::sqrt(std::max(1.0, in)), r);
    case K::xavier_uniform: {
      const double b = init.a * std::sqrt(6 / std::max(1.0, in + out));
      return rand_uniform(s, -b, b, r);
    }
    case K::xavier_normal: return rand_normal(s, 0, init.a * std::sqrt(2 / std::max(1.0, in + out)), r);
  }
  return {};
}
Tensor draw(const Shape& s, const Init& init, std::uint64_t seed, const std::string& name) {
  const Tensor t = draw_all(s, init, seed, name);
  if (init.zero_row >= 0) fill_(select(t, 0, init.zero_row), 0);
  return t;
}
// A checkpoint's tensor on the device that this thread's operations run on.
Tensor arrived(const Tensor& t) { return t.defined() ? t.to(current_queue().device()) : t; }
}  // namespace

Params Params::init(std::uint64_t seed, DType dtype) { return from({}, seed, dtype); }
Params Params::from(Lookup lookup, std::uint64_t seed, DType dtype) {
  auto s = std::make_shared<State>();
  s->lookup = std::move(lookup);
  s->seed = seed;
  s->dtype = dtype;
  return Params(std::move(s));
}
Params Params::operator/(std::string_view part) const {
  Params p(state_);
  p.path_ = path_.empty() ? std::string(part) : path_ + "." + std::string(part);
  return p;
}

Tensor Params::get(std::string_view part, const Shape& shape, const Init& init) const {
  const std::string name = path_.empty() ? std::string(part) : path_ + "." + std::string(part);
  for (const Parameter& p : state_->all)
    if (p.name == name) throw Error(Code::bug, "parameter '" + name + "' was asked for twice");
  Tensor t;
  ParamSource source{ParamSource::How::drawn, name, std::string(name_of(state_->dtype)) + shape.str()};
  if (state_->lookup) {
    const Tensor found = arrived(state_->lookup(name));
    if (!found.defined()) {
      source.how = ParamSource::How::missing;
    } else if (!(found.shape() == shape)) {
      source.how = ParamSource::How::reshaped;
      source.detail += ", checkpoint has " + found.str();
    } else if (!is_float(found.dtype())) {
      throw Error(Code::input, "parameter '" + name + "' is " + found.str() + " in the checkpoint but must be a float dtype");
    } else {
      source.how = ParamSource::How::loaded;
      t = found.dtype() == state_->dtype ? raw::copy_of(found) : raw::cast(found, state_->dtype);
    }
  }
  if (!t.defined()) t = raw::cast(draw(shape, init, state_->seed, name), state_->dtype);
  t.set_name(name);
  t.set_requires_grad();
  state_->sources.push_back(std::move(source));
  state_->all.push_back({name, t, true});
  return t;
}

Tensor Params::buffer(std::string_view part, const Shape& shape, double value) const {
  const std::string name = path_.empty() ? std::string(part) : path_ + "." + std::string(part);
  Tensor t;
  ParamSource source{ParamSource::How::drawn, name, "f32" + shape.str()};
  if (state_->lookup) {
    const Tensor found = arrived(state_->lookup(name));
    source.how = !found.defined()         ? ParamSource::How::missing
                 : found.shape() == shape ? ParamSource::How::loaded
                                          : ParamSource::How::reshaped;
    if (source.how == ParamSource::How::loaded) t = found.dtype() == DType::f32 ? raw::copy_of(found) : raw::cast(found, DType::f32);
    if (source.how == ParamSource::How::reshaped) source.detail += ", checkpoint has " + found.str();
  }
  if (!t.defined()) t = Tensor::full(shape, value, DType::f32);
  t.set_name(name);
  state_->sources.push_back(std::move(source));
  state_->all.push_back({name, t, false});
  return t;
}

Tensor Adapter::on(const Tensor& weight) const {
  if (!a.defined()) return weight;
  return add(weight, reshape(mul(matmul(b, a), scale), weight.shape()));
}

Adapter Params::adapter(const Tensor& weight) const {
  const LayerRules& r = state_->rules;
  if (r.lora_rank == 0 || !r.lora_on || !r.lora_on(path_)) return {};
  const std::int64_t out = weight.size(0);
  const auto fresh = [&](const char* part, const Shape& shape, const Init& init) {
    const Tensor t = get(part, shape, init);
    ParamSource& source = state_->sources.back();  // a checkpoint without adapters lacks nothing
    if (source.how == ParamSource::How::missing) source.how = ParamSource::How::drawn;
    return t;
  };
  Adapter made{fresh("lora_A", {r.lora_rank, weight.numel() / std::max<std::int64_t>(1, out)}, Init::kaiming_uniform(std::sqrt(1.0 / 3))),
               fresh("lora_B", {out, r.lora_rank}, Init::zeros()), r.lora_scale};
  Tensor base = weight;
  base.set_requires_grad(false);
  state_->adapted.push_back({weight.name(), made});
  return made;
}
void Params::set_rules(LayerRules rules) const { state_->rules = std::move(rules); }
const LayerRules& Params::rules() const { return state_->rules; }
const std::vector<Params::Adapted>& Params::adapted() const { return state_->adapted; }
bool below(std::string_view paths, std::string_view name) {
  while (!paths.empty()) {
    const std::string_view path = paths.substr(0, paths.find(' '));
    if (!path.empty() && name.size() > path.size() && name.starts_with(path) && name[path.size()] == '.') return true;
    paths.remove_prefix(std::min(paths.size(), path.size() + 1));
  }
  return false;
}
bool Params::in_head(std::string_view name) const { return below(state_->rules.head, name); }
bool Params::is_adapter(std::string_view name) const {
  return std::any_of(state_->adapted.begin(), state_->adapted.end(),
                     [&](const Adapted& x) { return x.adapter.a.name() == name || x.adapter.b.name() == name; });
}

const std::vector<Parameter>& Params::all() const { return state_->all; }
const std::vector<ParamSource>& Params::sources() const { return state_->sources; }
Tensors Params::trainable() const {
  Tensors t;
  for (const Parameter& p : state_->all)
    if (p.trainable && p.tensor.requires_grad()) t.push_back(p.tensor);
  return t;
}

}  // namespace graft
