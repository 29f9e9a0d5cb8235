#include "weights/import.h"

namespace graft {

Import::Import(const std::string& path, HeadPolicy policy, std::string head) : checkpoint_(open_checkpoint(path)), policy_(policy), head_(std::move(head)) {}

Params::Lookup Import::lookup() {
  return [this](const std::string& name) -> Tensor {
    asked_.insert(name);
    if (policy_ == HeadPolicy::fresh && in_head(name)) return {};
    const SafetensorsEntry* e = checkpoint_.find(name);
    return e ? load(*e) : Tensor{};
  };
}

std::vector<Import::Line> Import::account(const std::vector<ParamSource>& sources) const {
  std::vector<Line> lines;
  std::string wrong;
  const auto complain = [&](const std::string& what) { wrong += (wrong.empty() ? "" : "; ") + what; };
  for (const ParamSource& s : sources) {
    switch (s.how) {
      case ParamSource::How::loaded: lines.push_back({s.name, "loaded " + s.detail}); break;
      case ParamSource::How::drawn: lines.push_back({s.name, "drawn " + s.detail}); break;
      case ParamSource::How::missing:
        if (in_head(s.name) && policy_ == HeadPolicy::fresh) lines.push_back({s.name, "new head, drawn " + s.detail});
        else if (in_head(s.name) && policy_ == HeadPolicy::automatic) lines.push_back({s.name, "new head, not in the checkpoint, drawn " + s.detail});
        else complain("'" + s.name + "' is missing");
        break;
      case ParamSource::How::reshaped:
        if (in_head(s.name) && policy_ == HeadPolicy::automatic) lines.push_back({s.name, "new head, drawn " + s.detail});
        else complain("'" + s.name + "' is " + s.detail + (in_head(s.name) ? " (init.head=new draws another)" : ""));
        break;
    }
  }
  for (const SafetensorsEntry& e : checkpoint_.tensors)
    if (!asked_.count(e.name)) complain("'" + e.name + "' is in the checkpoint but the model has no use for it");
  if (!wrong.empty()) throw Error(Code::input, checkpoint_.path + " does not fit this model: " + wrong);
  return lines;
}

}  // namespace graft
