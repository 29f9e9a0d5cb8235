// The walk over a pickle's values. Objects of torch are torch_rebuild.cpp's, arrays of numpy numpy_values.cpp's.
#include "weights/formats/torch_values.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_set>

#include "engine/base/json.h"
#include "engine/base/text.h"
#include "kernels/core/error.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/pickle_globals.h"
#include "weights/formats/torch_rebuild.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

using K = PickleKind;
using R = PickleRole;

constexpr std::size_t kDeepest = 200, kMostVisits = 1'000'000, kLongestNote = std::size_t{1} << 20, kLongestText = 65536, kSpreadDict = 256;

class Walk {
 public:
  Walk(const PickleTree& tree, std::uint64_t file_bytes, const TensorOfId& of_id)
      : t_(tree), file_bytes_(file_bytes), rebuild_(tree, out_, of_id), plain_(tree.count(), 0) {}

  PickledContents run() {
    // Classes that no list has are data as long as they are modules: these say by their state what they are. Anything else might mean
    // anything.
    for (PickleId id = 0; id < t_.count(); ++id)
      if (t_[id].kind == K::object && (is_module(id) || is_script(id))) {
        modules_ = true;
        break;
      }
    if (!modules_ && !t_.unknown.empty()) {
      const PickleId id = t_.unknown.front();
      const std::string name = one_line(t_[id].text);
      bool tensors = false;
      for (PickleId v = 0; v < t_.count() && !tensors; ++v) tensors = t_[v].kind == K::object && rebuild_.is_tensor(v);
      t_.refuse(id, "needs " + name + (tensors ? ", which stands among the tensors," : ": this file holds no tensors"), "",
                tensors ? "graft runs nothing that a file names: save the state_dict() alone" : "name the file of the weights");
    }
    value(t_.root, "", 0);
    return std::move(out_);
  }

 private:
  // ---- what an object is ----
  const PickleGlobal* row(PickleId id) const { return rebuild_.row(id); }
  bool is_module(PickleId id) const {
    const PickleId state = t_[id].state;
    if (!t_.is(state, K::dict) || row(id)) return false;
    return is_mapping(t_.get(state, "_modules")) && is_mapping(t_.get(state, "_parameters")) && is_mapping(t_.get(state, "_buffers"));
  }
  bool is_script(PickleId id) const {
    const PickleId of = t_[id].of;
    return t_.is(of, K::global) && t_[of].text.starts_with("__torch__.") && (t_.is(t_[id].state, K::dict) || t_[id].state == kNoPickle);
  }
  bool is_mapping(PickleId id) const {
    if (t_.is(id, K::dict)) return true;
    const PickleGlobal* r = t_.is(id, K::object) ? row(id) : nullptr;
    return r && (r->role == R::mapping || r->role == R::default_mapping || r->role == R::counter);
  }
  bool is_sequence(PickleId id) const {
    if (t_.is(id, K::list) || t_.is(id, K::tuple) || t_.is(id, K::set)) return true;
    const PickleGlobal* r = t_.is(id, K::object) ? row(id) : nullptr;
    return r &&
           (r->role == R::sequence || r->role == R::set_of || r->role == R::size || r->role == R::int_list || r->role == R::tensor_list);
  }
  // key, value, key, value: what was set, after what the mapping was made from (Python 2 hands an OrderedDict its pairs, a Counter its
  // dict)
  std::vector<PickleId> pairs(PickleId id) const {
    std::vector<PickleId> all;
    if (t_.is(id, K::object) && t_[id].args != kNoPickle) {
      const auto args = t_.items(t_[id].args);
      const std::size_t from = row(id)->role == R::default_mapping ? 1 : 0;  // the factory
      if (args.size() > from) {
        const PickleId with = args[from];
        if (is_mapping(with) && with != id) {
          const auto inner = t_.items(with);
          all.assign(inner.begin(), inner.end());
        } else if (t_.is(with, K::list) || t_.is(with, K::tuple)) {
          for (const PickleId pair : t_.items(with)) {
            const auto two = t_.items(pair);
            if ((!t_.is(pair, K::list) && !t_.is(pair, K::tuple)) || two.size() != 2)
              t_.refuse(id, "a dict made of what are no pairs", "", "the file is damaged, get it again");
            all.insert(all.end(), two.begin(), two.end());
          }
        }
      }
    }
    const auto own = t_.items(id);
    all.insert(all.end(), own.begin(), own.end());
    return all;
  }
  std::vector<PickleId> sequence(PickleId id) const {
    std::vector<PickleId> all;
    if (t_.is(id, K::object)) {
      if (const auto args = t_[id].args == kNoPickle ? std::span<const PickleId>() : t_.items(t_[id].args);
          !args.empty() && is_sequence(args[0]) && args[0] != id) {
        const auto inner = t_.items(args[0]);
        all.assign(inner.begin(), inner.end());
      }
      const auto more = t_.elements(id);
      all.insert(all.end(), more.begin(), more.end());
    } else {
      const auto own = t_.items(id);
      all.assign(own.begin(), own.end());
    }
    return all;
  }

  // ---- values without tensors ----
  // Whether nothing under it is a tensor or anything else that wants a look of its own. Each value is asked once, so that shared values
  // cost nothing.
  enum : std::uint8_t { kUnasked, kAsking, kPlain, kNotPlain };
  bool plain(PickleId id, std::size_t depth = 0) {
    if (plain_[id] == kAsking) t_.refuse(id, "a value that holds itself", "", "no checkpoint does, do not trust the file");
    if (plain_[id] != kUnasked) return plain_[id] == kPlain;
    if (depth > kDeepest)
      t_.refuse(id, "values nested deeper than " + std::to_string(kDeepest), "", "no checkpoint is that deep, do not trust the file");
    plain_[id] = kAsking;
    bool yes = false;
    switch (t_[id].kind) {
      case K::none:
      case K::boolean:
      case K::integer:
      case K::big:
      case K::real:
      case K::text:
      case K::string8: yes = true; break;
      case K::global: yes = t_[id].number >= 0; break;
      case K::bytes:
      case K::persistent: break;
      case K::list:
      case K::tuple:
      case K::set:
      case K::dict:
      case K::object:
        if (is_mapping(id) || is_sequence(id)) {
          yes = true;
          const auto all = is_mapping(id) ? pairs(id) : sequence(id);
          for (const PickleId v : all) yes = plain(v, depth + 1) && yes;
        } else {
          const PickleGlobal* r = row(id);
          yes = r && (r->role == R::text_of || r->role == R::device || r->role == R::layout || r->role == R::numpy_scalar ||
                      r->role == R::numpy_dtype);
        }
        break;
    }
    plain_[id] = yes ? kPlain : kNotPlain;
    return yes;
  }
  // As JSON, up to a length.
  void json(PickleId id, std::string& to) {
    if (to.size() > kLongestNote) return;
    switch (t_[id].kind) {
      case K::none: to += "null"; return;
      case K::boolean: to += t_[id].number ? "true" : "false"; return;
      case K::integer: to += std::to_string(t_[id].number); return;
      case K::real: {
        const double v = t_.real(id);
        to += std::isfinite(v) ? json_number(v) : std::isnan(v) ? "\"nan\"" : v < 0 ? "\"-inf\"" : "\"inf\"";
        return;
      }
      default: break;
    }
    if (is_mapping(id)) {
      to += '{';
      bool first = true;
      const auto all = pairs(id);
      for (std::size_t i = 0; i + 1 < all.size() && to.size() <= kLongestNote; i += 2) {
        to += first ? "" : ", ";
        first = false;
        to += json_string(key(all[i])) + ": ";
        json(all[i + 1], to);
      }
      to += '}';
    } else if (is_sequence(id)) {
      to += '[';
      bool first = true;
      for (const PickleId v : sequence(id)) {
        if (to.size() > kLongestNote) break;
        to += first ? "" : ", ";
        first = false;
        json(v, to);
      }
      to += ']';
    } else if (const auto number = scalar(id)) {
      to += *number;
    } else {
      to += json_string(word(id).substr(0, kLongestText));
    }
  }
  // numpy's numbers as JSON
  std::optional<std::string> scalar(PickleId id) {
    const PickleGlobal* r = t_.is(id, K::object) ? row(id) : nullptr;
    if (!r || r->role != R::numpy_scalar) return {};
    return rebuild_.numpy_number(id);
  }
  // Names, devices, paths and strings as text.
  std::string word(PickleId id) {
    switch (t_[id].kind) {
      case K::text:
      case K::string8: return t_.text(id);
      case K::global: return std::string(t_[id].text);
      case K::big: return "a whole number of " + std::to_string(t_[id].text.size()) + " bytes";
      case K::object: break;
      default: return "";
    }
    const auto args = t_[id].args == kNoPickle ? std::span<const PickleId>() : t_.items(t_[id].args);
    std::string all;
    for (const PickleId a : args) {
      const bool text = t_.is_text(a);
      if (!text && !t_.is(a, K::integer)) continue;
      const bool path = row(id) && row(id)->role == R::text_of && !all.empty() && all != "/";
      all += (all.empty() || all == "/" ? "" : path ? "/" : ":") + (text ? t_.text(a) : std::to_string(t_[a].number));
    }
    return all;
  }
  std::string key(PickleId id) {
    if (t_.is_text(id)) return t_.text(id);
    if (t_.is(id, K::boolean)) return t_[id].number ? "True" : "False";
    if (t_.is(id, K::none)) return "None";
    if (t_.is(id, K::global)) return std::string(t_[id].text);
    if (t_.is(id, K::bytes)) return one_line(t_[id].text.substr(0, 1000));
    if (const auto number = scalar(id)) return *number;
    if (const bool shown = plain(id); !shown && t_.is(id, K::object))
      return std::string("object");  // asked of every kind: it bounds the depth that json() goes to
    std::string text;
    json(id, text);
    return text;
  }

  void note(const std::string& path, std::string text, std::size_t most) {
    if (text.size() > most) text = text.substr(0, first_not_utf8(std::string_view(text).substr(0, most))) + "...";
    out_.metadata.emplace(path.empty() ? "value" : path, std::move(text));
  }

  // ---- the walk ----
  void visit(PickleId id, std::size_t depth) {
    if (++visits_ > kMostVisits)
      t_.refuse(id, "the values unfold to more than " + std::to_string(kMostVisits), "", "no checkpoint does, do not trust the file");
    if (depth > kDeepest)
      t_.refuse(id, "values nested deeper than " + std::to_string(kDeepest), "", "no checkpoint is that deep, do not trust the file");
  }
  static std::string join(const std::string& path, const std::string& name) { return path.empty() ? name : path + "." + name; }

  void tensor(PickledTensor t, PickleId at, const std::string& path) {
    t.name = path.empty() ? "tensor" : path;
    if (!names_.insert(t.name).second)
      t_.refuse(at, "two tensors of one name", in_quotes(t.name), "readers would differ on which one counts, save it anew");
    const StoredType* type = stored_type(t.dtype);
    const auto bytes = type ? stored_bytes(*type, t.shape) : std::nullopt;
    claimed_ += bytes.value_or(0);
    // Small files may tie and expand as they like; the slack is what a page of metadata is beside real weights.
    constexpr std::uint64_t kSlack = 65536;
    if (claimed_ > 4 * file_bytes_ + kSlack)
      t_.refuse(at, "the tensors up to this one are " + std::to_string(claimed_) + " bytes, more than four times the file",
                in_quotes(t.name), "they are views of one another or expanded: save clones of what is meant");
    out_.tensors.push_back(std::move(t));
  }

  void value(PickleId id, const std::string& path, std::size_t depth) {
    visit(id, depth);
    if (rebuild_.is_tensor(id)) return tensor(rebuild_.tensor(id, path), id, path);
    if (t_.is(id, K::object) && is_module(id)) return module(id, path, depth);
    if (t_.is(id, K::object) && is_script(id)) return script(id, path, depth);
    if (is_mapping(id)) {
      const auto all = pairs(id);
      if (all.size() / 2 > kSpreadDict && plain(id)) {
        std::string text;
        json(id, text);
        return note(path, std::move(text), kLongestNote);
      }
      enter(id);
      std::set<std::string> seen;
      for (std::size_t i = 0; i + 1 < all.size(); i += 2) {
        const std::string name = key(all[i]);
        if (!seen.insert(name).second)
          t_.refuse(all[i], "a key is there twice in one dict", in_quotes(join(path, name)),
                    "readers would differ on which one counts, save it anew");
        value(all[i + 1], join(path, name), depth + 1);
      }
      return leave(id);
    }
    if (is_sequence(id)) {
      if (plain(id)) {
        std::string text;
        json(id, text);
        return note(path, std::move(text), kLongestNote);
      }
      enter(id);
      std::size_t i = 0;
      for (const PickleId v : sequence(id)) value(v, join(path, std::to_string(i++)), depth + 1);
      return leave(id);
    }
    switch (t_[id].kind) {
      case K::none:
      case K::boolean:
      case K::integer:
      case K::real: {
        std::string text;
        json(id, text);
        return note(path, std::move(text), kLongestText);
      }
      case K::text:
      case K::string8:
      case K::big: return note(path, word(id), kLongestText);
      case K::bytes:
        return out_.notes.push_back(in_quotes(path) + " is " + std::to_string(t_[id].text.size()) +
                                    " bytes that are no tensor; they are left out");
      case K::global:
        if (t_[id].number >= 0) return note(path, word(id), kLongestText);
        return left_out(path, id);
      case K::persistent: return left_out(path, t_[id].args);
      default: break;
    }
    bool single = false;
    if (const PickleId list = rebuild_.object_array(id, single); list != kNoPickle)
      return value(single ? t_.items(list)[0] : list, path, depth + 1);
    if (const PickleGlobal* r = row(id)) {
      rebuild_.refuse_foreign(id, r->role, path);
      if (plain(id)) {
        if (const auto number = scalar(id)) return note(path, *number, kLongestText);
        return note(path, word(id), kLongestText);
      }
      if (r->role == R::tagged && t_.items(t_[id].args).size() == 2) return value(t_.items(t_[id].args)[0], path, depth + 1);
    }
    left_out(path, t_[id].of);
  }
  void left_out(const std::string& path, PickleId of) {
    out_.notes.push_back(in_quotes(path.empty() ? "value" : path) + " is an object of " +
                         (t_.is(of, K::global) ? one_line(t_[of].text) : "a class of the file") + "; it is left out");
  }
  void enter(PickleId id) {
    if (!within_.insert(id).second) t_.refuse(id, "a value that holds itself", "", "no checkpoint does, do not trust the file");
  }
  void leave(PickleId id) { within_.erase(id); }

  // As torch.nn.Module.state_dict names them: parameters, buffers that are meant to be kept, then the children's.
  void module(PickleId id, const std::string& path, std::size_t depth) {
    visit(id, depth);
    enter(id);
    const PickleId state = t_[id].state, skipped = t_.get(state, "_non_persistent_buffers_set");
    std::set<std::string> skip;
    if (skipped != kNoPickle && is_sequence(skipped))
      for (const PickleId v : sequence(skipped)) skip.insert(key(v));
    for (const char* part : {"_parameters", "_buffers"}) {
      const auto all = pairs(t_.get(state, part));
      for (std::size_t i = 0; i + 1 < all.size(); i += 2) {
        const std::string name = key(all[i]);
        if (t_.is(all[i + 1], K::none) || (part[1] == 'b' && skip.count(name))) continue;
        if (t_.is(all[i + 1], K::object) && row(all[i + 1])) rebuild_.refuse_foreign(all[i + 1], row(all[i + 1])->role, join(path, name));
        if (!rebuild_.is_tensor(all[i + 1]))
          t_.refuse(all[i + 1], "a module's parameter is no tensor", in_quotes(join(path, name)), "the file is damaged, get it again");
        visit(all[i + 1], depth);
        tensor(rebuild_.tensor(all[i + 1], join(path, name)), all[i + 1], join(path, name));
      }
    }
    const auto all = pairs(t_.get(state, "_modules"));
    for (std::size_t i = 0; i + 1 < all.size(); i += 2) {
      if (t_.is(all[i + 1], K::none)) continue;
      const std::string name = join(path, key(all[i]));
      if (!t_.is(all[i + 1], K::object) || !is_module(all[i + 1]))
        t_.refuse(all[i + 1], "a module's child is no module", in_quotes(name), "the file is damaged, get it again");
      module(all[i + 1], name, depth + 1);
    }
    leave(id);
  }

  // TorchScript keeps parameters, buffers and children as attributes beside constants; constants are the program's.
  void script(PickleId id, const std::string& path, std::size_t depth) {
    enter(id);
    const auto all = t_[id].state == kNoPickle ? std::span<const PickleId>() : t_.items(t_[id].state);
    for (std::size_t i = 0; i + 1 < all.size(); i += 2)
      if (const PickleId v = all[i + 1]; (t_.is(v, K::object) && is_script(v)) || !plain(v)) value(v, join(path, key(all[i])), depth + 1);
    leave(id);
  }

  const PickleTree& t_;
  std::uint64_t file_bytes_, claimed_ = 0;
  PickledContents out_;
  TorchRebuild rebuild_;
  std::vector<std::uint8_t> plain_;
  std::unordered_set<PickleId> within_;
  std::set<std::string> names_;
  std::size_t visits_ = 0;
  bool modules_ = false;
};

}  // namespace

PickledContents collect_tensors(const PickleTree& tree, std::uint64_t file_bytes, const TensorOfId& tensor_of_id) {
  return Walk(tree, file_bytes, tensor_of_id).run();
}

}  // namespace graft
