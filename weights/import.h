// Checkpoint to model: a lookup for Params::from, and the account of every tensor on both sides. What is not explained stops the import.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/nn/params.h"
#include "weights/maps/mapping.h"
#include "weights/peft.h"
#include "weights/source.h"

namespace graft {

enum class HeadPolicy {
  automatic,  // a head of another size is drawn anew, one that fits is kept
  keep,       // must fit
  fresh,      // is drawn anew
};

class Import {
 public:
  // `path`: any checkpoint (weights/source.h). `map`: a file of rules; empty: the carried map that recognises the checkpoint, or none,
  // where its names are the model's. `head`: path of the layer that HeadPolicy speaks of, or several with spaces between. `adapter`: a
  // folder of PEFT's (weights/peft.h), added to the weights on the way in; empty: none.
  Import(const std::string& path, HeadPolicy policy, std::string head, const std::string& map = {}, const std::string& adapter = {});
  Params::Lookup lookup();

  struct Line {
    std::string name, how;
  };
  // After the model was built: one line per tensor of the model and per tensor of the checkpoint that it left. Throws Error(input) when a
  // tensor is missing, does not fit or is unused without a reason, naming all of them: shapes in a row each, names grouped by pattern with
  // the nearest name on the other side.
  std::vector<Line> account(const std::vector<ParamSource>& sources) const;
  const Source& source() const { return mapping_->source(); }
  const Mapping& mapping() const { return *mapping_; }
  const std::string& map_name() const { return map_name_; }  // empty: none
  // Of the tensors that were taken: NaN or infinite numbers, weights that are zero throughout.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  bool in_head(const std::string& name) const { return below(head_, name); }
  std::vector<WeightMap> own_;  // of the user's file
  std::optional<Mapping> mapping_;
  std::string map_name_;
  HeadPolicy policy_;
  std::string head_;
  Tensor adapted(const MappedTensor& t, const Tensor& x);
  std::optional<PeftAdapter> adapter_;
  std::set<std::string> of_adapter_;  // its names that were used
  std::set<std::string> asked_;
  std::vector<std::string> warnings_;
};

// The map for `source`: the one of `file` where that is not empty, else the carried one that recognises it, else nullptr. `own` keeps a
// file's maps.
const WeightMap* choose_map(const Source& source, const std::string& file, std::vector<WeightMap>& own);

}  // namespace graft
