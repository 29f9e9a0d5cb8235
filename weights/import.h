// Checkpoint to model: a lookup for Params::from, and the account of every tensor on both sides. What is not explained stops the import.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "engine/nn/params.h"
#include "weights/formats/safetensors.h"

namespace graft {

enum class HeadPolicy {
  automatic,  // a head of another size is drawn anew, one that fits is kept
  keep,       // must fit
  fresh,      // is drawn anew
};

class Import {
 public:
  // `head`: path of the layer that HeadPolicy speaks of.
  Import(const std::string& path, HeadPolicy policy, std::string head);
  Params::Lookup lookup();

  struct Line { std::string name, how; };
  // After the model was built: one line per tensor of the model and per tensor of the checkpoint that it left. Throws Error(input) when a tensor
  // is missing, does not fit or is unused without a reason, naming all of them.
  std::vector<Line> account(const std::vector<ParamSource>& sources) const;
  const Checkpoint& checkpoint() const { return checkpoint_; }

 private:
  bool in_head(const std::string& name) const { return name.rfind(head_ + ".", 0) == 0; }
  Checkpoint checkpoint_;
  HeadPolicy policy_;
  std::string head_;
  std::set<std::string> asked_;
};

}  // namespace graft
