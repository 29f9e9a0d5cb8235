// A checkpoint seen with a model's names: prefixes that training programs add are taken off, then a map's rules say what each tensor is
// there. Nothing is loaded before somebody asks; and the way back is known, so that trained values can be written with the names and
// layouts they came with.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "weights/maps/rules.h"
#include "weights/source.h"

namespace graft {

// The names of a source's tensors without what wraps them: containers ("state_dict" beside "optimizer") and prefixes that all of them share
// ("module.").
struct BareNames {
  std::vector<std::string> names;   // per tensor; empty: beside the model
  std::vector<std::string> beside;  // per tensor: why it is no part of the model, else empty
  std::string stripped;             // "state_dict.module.", for people and for the way back
};
BareNames bare_names(const Source& source);

struct Recognised {
  const WeightMap* map = nullptr;
  std::map<std::string, std::int64_t> facts;
  std::string recipe;  // empty: graft has no such model yet
};
// The first carried map whose signature the source has, by its config.json's model_type where a folder has one, else by names and shapes.
std::optional<Recognised> recognise(const Source& source, const BareNames& bare);

struct MappedTensor {
  std::string name;               // the model's
  std::string how;                // used, renamed, permuted, split, joined, reordered, reshaped, shifted, tied
  std::vector<std::size_t> from;  // tensors of the source
  const MapRule* rule = nullptr;  // nullptr: as it is
  std::size_t part = 0;           // of a split
};

class Mapping {
 public:
  // `map` may be nullptr (names are the model's already) and must outlive the object. Error(input): two tensors of one name come out, or a
  // rule lacks some of its tensors.
  Mapping(std::shared_ptr<const Source> source, const WeightMap* map);

  const Source& source() const { return *source_; }
  const std::vector<MappedTensor>& tensors() const { return tensors_; }
  const MappedTensor* find(std::string_view name) const;
  Tensor load(const MappedTensor& t) const;

  struct Dropped {
    std::size_t tensor;
    std::string reason;
  };
  const std::vector<Dropped>& dropped() const { return dropped_; }
  const std::string& stripped() const { return bare_.stripped; }
  const std::string& bare(std::size_t i) const { return bare_.names[i]; }  // name of tensor i of the source without what wraps it
  std::string came_from(const MappedTensor& t) const;                      // names in the source, for people

  // The way back: what tensor i of the source is when the model's tensors are what `value` gives (undefined: none of that name). An
  // undefined tensor where nothing of the model went into it. Error(usage) where a part of it is missing.
  Tensor back(std::size_t i, const std::function<Tensor(const std::string& name)>& value) const;

 private:
  void apply(const MapRule& rule, const std::vector<std::string>& parts, std::size_t first, std::vector<bool>& taken);
  void add(MappedTensor t);
  std::shared_ptr<const Source> source_;
  BareNames bare_;
  std::vector<MappedTensor> tensors_;
  std::unordered_map<std::string, std::size_t> at_, by_bare_;
  std::vector<Dropped> dropped_;
};

}  // namespace graft
